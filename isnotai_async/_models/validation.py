"""Checks the arguments of a caller (ids, times, dates, numbers, proxies), and converts them to the form that is sent.

Each function takes a value from the caller and returns the value to send, or None to send nothing. A value that the
API would reject or misread raises a `ConfigError`, which says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from math import inf
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from attrs import Attribute

from isnotai_async.errors import ConfigError, quoted

Validator = Callable[[object, "Attribute[Any]", object], None]
"""Checks a value for a field of an attrs class."""

MAX_ID_BYTES: Final = 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_id(value: str, name: str = "session_id") -> str:
    """Check an id that becomes one path segment.

    Anything else than the cases below is allowed, whatever its alphabet: it is percent-encoded as a whole.

    Args:
        value: The id.
        name: What to call it in the message.

    Raises:
        ConfigError: It is no string, empty, ``.`` or ``..`` (which no encoding can neutralise), longer than
            1 KiB, or has control characters or lone surrogates.
    """
    check_text(value, name)
    if value in {".", ".."}:
        raise ConfigError(f"{name} {value!r} would point at another path; pass the id as the API gave it")
    if len(value.encode()) > MAX_ID_BYTES:
        raise ConfigError(f"{name} is longer than {MAX_ID_BYTES} bytes; pass one id as the API gave it")
    return value


def check_path(value: str) -> str:
    """Check the path of a request, without its query.

    Raises:
        ConfigError: It does not start with one slash, has a query, a fragment or a dot segment, or a character that
            a URL parser could take for another.
    """
    check_text(value, "path")
    if not value.startswith("/") or value.startswith("//"):
        raise ConfigError(f"path {quoted(value)} must start with one slash, like /v1/sessions")
    if "?" in value or "#" in value:
        raise ConfigError(f"path {quoted(value)} has a query or a fragment; pass the query as params=")
    plain = unquote(value)
    if "\\" in plain or not {".", ".."}.isdisjoint(plain.split("/")):
        raise ConfigError(f"path {quoted(value)} could lead to another path; write it without '.', '..' and '\\'")
    return value


def check_text(value: object, name: str) -> str:
    """Check a text that is not empty and can be sent.

    Raises:
        ConfigError: It is no string, empty, or has control characters or lone surrogates.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, not {type(value).__name__}")
    if not value:
        raise ConfigError(f"{name} is empty")
    if value.isascii() and value.isprintable():  # as ids are: there is nothing else to look for
        return value
    if _CONTROL.search(value):
        raise ConfigError(f"{name} {quoted(value)} has control characters; remove them")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name} has a lone surrogate and is not valid text; decode it properly first") from None
    return value


def check_int(value: object, name: str, low: int, high: int, *, kind: str = "an int") -> int:
    """Check a whole number, which a bool or a float is not.

    Raises:
        ConfigError: It is no int, or outside the range from `low` to `high`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{name} must be {kind}, not {type(value).__name__}")
    if not low <= value <= high:
        # Python refuses to print integers of thousands of digits.
        shown = value if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        raise ConfigError(f"{name} is {shown}; it must be from {low} to {high}")
    return value


def in_range(low: int, high: int, *, also: tuple[object, ...] = (), kind: str = "an int") -> Validator:
    """Return a validator of a field that is a whole number from `low` to `high`, or one of the values in `also`."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value not in also:
            check_int(value, attribute.name, low, high, kind=kind)

    return check


def is_one_of(*choices: str) -> Validator:
    """Return a validator of a field that is one of these texts."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value not in choices:
            names = " or ".join(map(repr, choices))
            raise ConfigError(f"{attribute.name} must be {names}, not {quoted(value)}")

    return check


def is_flag(_: object, attribute: Attribute[Any], value: object) -> None:
    """Validate a field that is a switch; errors as of `check_flag`."""
    check_flag(value, attribute.name)


def check_flag(value: object, name: str) -> bool:
    """Check a switch, which no number or word is.

    Raises:
        ConfigError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def check_quota(value: object, name: str = "quota") -> float:
    """Check a share of the key's rate.

    Raises:
        ConfigError: It is no number, or not above 0 and at most 1.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    shown = f"{value!r:.50}" if isinstance(value, int | float) else type(value).__name__
    raise ConfigError(
        f"{name} must be a number above 0 and at most 1, not {shown}; with four processes on one key it is 0.25"
    )


def check_seconds(value: float | None, name: str) -> float | None:
    """Check a duration; None is no limit.

    Raises:
        ConfigError: It is no number, or not more than 0.
    """
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} must be seconds or None for no limit, not {type(value).__name__}")
    if not value > 0:
        raise ConfigError(f"{name} is {value!r} seconds, so nothing could be sent; use None for no limit")
    return float(value)


def check_duration(value: float, name: str) -> float:
    """Check a duration that has to end.

    Raises:
        ConfigError: It is None or infinite, or as of `check_seconds`.
    """
    seconds = check_seconds(value, name)
    if seconds is None or seconds == inf:
        raise ConfigError(f"{name} must be seconds, not {value!r}")
    return seconds


def check_proxy(proxy: str | None) -> str | None:
    """Check the URL of a proxy.

    Raises:
        ConfigError: It is none. The message shows nothing of it: it may hold a password.
    """
    if proxy is None:
        return None
    try:
        parts = urlsplit(proxy)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ConfigError("proxy is not the URL of an HTTP proxy; write it like http://proxy.example:3128")
    return proxy


FilterValue = str | int | bool

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_SECONDS: Final = range(10**9, 10**10)
_NUMBER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)")
_BYTE: Final = re.compile(r"0[xX]0*[0-9a-fA-F]{1,2}|0*(?:[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])")


def page_size(value: int | None) -> int | None:
    """Check a page size, from 1."""
    return None if value is None else check_int(value, "page_size", 1, _INT32_MAX)


def event_type(value: int | str | None) -> str | None:
    """Check a message-type byte, as a number or as text, or a short name."""
    if value is None:
        return None
    if isinstance(value, int):
        return str(check_int(value, "type", 0, 255))
    check_text(value, "type")
    if _NUMBER.fullmatch(value) and not _BYTE.fullmatch(value):
        raise ConfigError(f"type {quoted(value)} is not a byte; it must be from 0 to 255 (0x00 to 0xff)")
    return value


def start_time(value: int | datetime | None) -> int | None:
    """Turn an inclusive lower bound into Unix milliseconds."""
    return _milliseconds(value, "start_time", up=True)


def end_time(value: int | datetime | None) -> int | None:
    """Turn an inclusive upper bound into Unix milliseconds."""
    return _milliseconds(value, "end_time", up=False)


def start_date(value: datetime | date | str | None) -> str | None:
    """Turn an inclusive lower bound into ISO 8601 text in UTC; a day means its first instant."""
    return _instant(value, "start_date", time.min)


def end_date(value: datetime | date | str | None) -> str | None:
    """Turn an inclusive upper bound into ISO 8601 text in UTC; a day means its last microsecond."""
    return _instant(value, "end_date", time.max)


def status(value: str | None) -> str | None:
    """Check a session status, an open list."""
    return None if value is None else check_text(value, "status")


def search(value: str | None) -> str | None:
    """Check a text to search for."""
    return None if value is None else check_text(value, "search")


def bot_only(value: bool | None) -> bool | None:
    """Check a switch, which no number or word is."""
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"bot_only must be True, False or None, not {type(value).__name__}")
    return value


def one_of(value: str | None, name: str, choices: tuple[str, ...]) -> str | None:
    """Check a value of a list that the contract closes.

    Args:
        value: The value.
        name: What to call it in the message.
        choices: The list.
    """
    if value is None or value in choices:
        return value
    shown = quoted(value) if isinstance(value, str) else type(value).__name__
    raise ConfigError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {shown}")


def check_order(query: object, start: str, end: str) -> None:
    """Check that one field of a query is not after another, if both are given.

    Raises:
        ConfigError: It does.
    """
    # Instants as text are normalised to UTC with the same number of digits, so their order is that of time.
    first, last = getattr(query, start), getattr(query, end)
    if first is None or last is None:
        return
    # Two instants within one millisecond become such a pair: an empty window, which is no mistake.
    is_empty = isinstance(first, int) and first == last + 1
    if first > last and not is_empty:
        unit = " (both are inclusive, in Unix milliseconds)" if isinstance(first, int) else ""
        raise ConfigError(f"{start} {first} lies after {end} {last}; exchange them{unit}")


class Milliseconds(int):
    """A time in Unix milliseconds that needs no check: it comes from a datetime, or from the server."""

    __slots__ = ()


def check_milliseconds(value: int, name: str) -> Milliseconds:
    """Check a time in Unix milliseconds that a caller passed.

    Args:
        value: The time.
        name: What to call it in the message.

    Raises:
        ConfigError: It is no int, is negative, or can only be meant as seconds: as seconds these are the years 2001
            to 2286, as milliseconds the spring of 1970.
    """
    if isinstance(value, Milliseconds):
        return value
    check_int(value, name, 0, _INT64_MAX, kind="an int (Unix milliseconds) or an aware datetime")
    if value in _SECONDS:
        raise ConfigError(f"{name} {value} looks like seconds; multiply by 1000, or pass a datetime")
    return Milliseconds(value)


def _milliseconds(value: int | datetime | None, name: str, *, up: bool) -> Milliseconds | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        since = _aware(value, name) - _EPOCH
        # Bounds are inclusive and whole milliseconds: within one, a start moves up and an end moves down.
        return Milliseconds(-(-since // _MILLISECOND) if up else since // _MILLISECOND)
    return check_milliseconds(value, name)


def _aware(value: datetime, name: str) -> datetime:
    if value.utcoffset() is None:
        raise ConfigError(
            f"{name} {value.isoformat()} has no time zone; add one (…Z in text, tzinfo=datetime.UTC in Python)"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ConfigError(
            f"{name} {value.isoformat()} lies outside the years 1 to 9999 in UTC; leave it out"
        ) from None


def _instant(value: datetime | date | str | None, name: str, of_day: time) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = _parse_date(value, name)
    if not isinstance(value, date):
        kind = type(value).__name__
        raise ConfigError(f"{name} must be an aware datetime, a date or an ISO 8601 string, not {kind}")
    if not isinstance(value, datetime):
        value = datetime.combine(value, of_day, tzinfo=UTC)
    return _aware(value, name).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_date(value: str, name: str) -> date:
    for kind in (date, datetime):
        try:
            return kind.fromisoformat(value)
        except ValueError:
            continue
    raise ConfigError(f"{name} {quoted(value)} is no ISO 8601 date; write it like 2026-06-10T12:00:00Z")
