"""Reads the times in options: a day, an instant, Unix milliseconds, or how long ago; all in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from isnotai_async._models.queries import check_milliseconds
from isnotai_async._models.times import to_time
from isnotai_async.errors import ConfigError, quoted

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY_IN_DIGITS: Final = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS_BACK: Final = {"today": 0, "yesterday": 1}
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_MOST_DAYS: Final = 9_999  # of a number without a unit that was probably meant as days
_LEAST_SECONDS: Final = 10**9  # in 2001
_LEAST_MILLISECONDS: Final = 10**10


def read_time(text: str | None, option: str, *, now: datetime, is_end: bool = False) -> datetime | None:
    """Read the time in the value of an option.

    Args:
        text: ``7d``, ``12h``, ``now``, ``yesterday``, ``2026-06-10``, ``2026-06-10T12:00:00Z`` or Unix milliseconds.
        option: The option, for messages.
        now: The time that relative times count from.
        is_end: Whether a day means its last microsecond instead of its first.

    Returns:
        The instant in UTC; None if there is no text.
    """
    if text is None:
        return None
    now = now.replace(microsecond=0)
    try:
        return _read_day(text, now, is_end=is_end) or _read_instant(text, option, now)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option} {quoted(text)} is no time; write 7d or 12h (ago), yesterday, 2026-06-10, 2026-06-10T12:00:00Z "
            "or Unix milliseconds (1781092800000)"
        ) from None


def _read_day(text: str, now: datetime, *, is_end: bool) -> datetime | None:
    if text in _DAYS_BACK:
        day = now.date() - timedelta(days=_DAYS_BACK[text])
    elif _DAY.fullmatch(text):
        day = date.fromisoformat(text)
    else:
        return None
    return datetime.combine(day, time.max if is_end else time.min, tzinfo=UTC)


def _read_instant(text: str, option: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if _DAY_IN_DIGITS.fullmatch(text):
        raise ConfigError(
            f"{option} {quoted(text)} looks like a day, and as Unix milliseconds would be in 1970; write it "
            f"{text[:4]}-{text[4:6]}-{text[6:]}"
        )
    if _NUMBER.fullmatch(text):
        return to_time(_read_milliseconds(text, option))
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ConfigError(f"{option} {quoted(text)} has no time zone; add one, such as Z for UTC")
    return moment.astimezone(UTC)


def _read_milliseconds(text: str, option: str) -> int:
    number = int(text)
    if 0 <= number < _LEAST_SECONDS:
        example = f"{number}d" if 0 < number <= _MOST_DAYS else "7d"
        raise ConfigError(
            f"{option} {quoted(text)} has no unit; write {example} or {example[:-1]}h (ago), or Unix milliseconds of "
            "13 digits (1781092800000)"
        )
    if _LEAST_SECONDS <= number < _LEAST_MILLISECONDS:
        raise ConfigError(f"{option} {number} looks like seconds; multiply by 1000: {text}000")
    return check_milliseconds(number, option)


def is_relative(text: str) -> bool:
    """Return whether a time is counted from now, such as ``7d`` or ``yesterday``."""
    return text == "now" or text in _DAYS_BACK or _AGO.fullmatch(text) is not None


def read_duration(text: str, option: str) -> timedelta:
    """Read a duration such as ``7d`` or ``12h``."""
    found = _AGO.fullmatch(text)
    if found is None:
        raise ConfigError(f"{option} {quoted(text)} is no duration; write 7d, 24h or 90m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
