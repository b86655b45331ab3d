"""Unix milliseconds as times and back, exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Return an aware time as Unix milliseconds, rounded down."""
    return (moment - EPOCH) // MILLISECOND


def to_time(milliseconds: int) -> datetime:
    """Return Unix milliseconds as a UTC time.

    Raises:
        OverflowError: They are outside the years 1 to 9999.
    """
    return EPOCH + timedelta(milliseconds=milliseconds)
