"""The sandbox's own time, which stands still, and the API's way to write times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

DAY_MS: Final = 86_400_000

# The instant of the contract's own example. A wall clock would make two runs differ.
NOW_MS: Final = 1_781_092_800_000


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def iso(at_ms: int) -> str:
    """Write Unix milliseconds as the API does: seven decimals and an offset, ``…T12:00:00.0000000+00:00``."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{ms:03d}0000+00:00"
