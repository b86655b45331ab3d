"""The sandbox's own time, which stands still, and the API's way to write times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

DAY_MS: Final = 86_400_000
_FIRST_MS: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST_MS: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND

# The instant of the contract's own example. A wall clock would make two runs differ.
NOW_MS: Final = 1_781_092_800_000


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def iso(at_ms: int) -> str:
    """Write Unix milliseconds as the API does: seven decimals and an offset, ``…T12:00:00.0000000+00:00``.

    What lies outside the years 1 to 9999, which this form cannot say, becomes their first or last instant.
    """
    moment = _EPOCH + timedelta(milliseconds=min(max(at_ms, _FIRST_MS), _LAST_MS))
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}0000+00:00"
