"""Queries: the parameters of each endpoint, checked and brought into the form that is sent when a query is created.

So every query can be sent. Each mistake raises a `ConfigError` that says what to write instead. Source: the
parameters in the vendor's reference (documentation version 1.0.17.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from functools import cache
from typing import Final

from attrs import field, fields, frozen

from isnotai_async._models.times import EPOCH, MILLISECOND
from isnotai_async._models.validation import FilterValue, Milliseconds, check_id, check_int, check_text, one_of
from isnotai_async.errors import ConfigError, quoted

METRICS: Final = ("ApiCalls", "Events", "Sessions", "StorageBytes", "BotAnalyses")

EVENT_TYPES: Final = ("init", "mouse_move", "keypress")
"""The names of event types that are documented; the full list is not public."""

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_SECONDS: Final = range(10**9, 10**10)
_NUMBER: Final = r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)"
_BYTE: Final = r"0[xX]0*[0-9a-fA-F]{1,2}|0*(?:[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])"


def _page_size(value: int | None) -> int | None:
    return None if value is None else check_int(value, "page_size", 1, _INT32_MAX)


def _event_type(value: int | str | None) -> str | None:
    """Check a message-type byte, as a number or as text, or a short name."""
    if value is None:
        return None
    if isinstance(value, int):
        return str(check_int(value, "type", 0, 255))
    check_text(value, "type")
    if re.fullmatch(_NUMBER, value) and not re.fullmatch(_BYTE, value):
        raise ConfigError(f"type {quoted(value)} is not a byte; it must be from 0 to 255 (0x00 to 0xff)")
    return value


def hint_at_type(asked: str) -> str:
    """Return what to write in place of a type that the API rejected."""
    names = ", ".join(EVENT_TYPES)
    close = get_close_matches(asked.lower(), EVENT_TYPES, n=1)
    guess = f"Did you mean {close[0]} instead of {quoted(asked)}? " if close else ""
    return f"{guess}Documented names are {names}; the API knows more, and bytes from 0 to 255"


def _start_time(value: int | datetime | None) -> int | None:
    """Turn an inclusive lower bound into Unix milliseconds."""
    return None if value is None else _to_milliseconds(value, "start_time", up=True)


def _end_time(value: int | datetime | None) -> int | None:
    """Turn an inclusive upper bound into Unix milliseconds."""
    return None if value is None else _to_milliseconds(value, "end_time", up=False)


def _start_date(value: datetime | date | str | None) -> str | None:
    """Turn an inclusive lower bound into ISO 8601 text in UTC; a day means its first instant."""
    return _instant(value, "start_date", time.min)


def _end_date(value: datetime | date | str | None) -> str | None:
    """Turn an inclusive upper bound into ISO 8601 text in UTC; a day means its last microsecond."""
    return _instant(value, "end_date", time.max)


def _status(value: str | None) -> str | None:
    return None if value is None else check_text(value, "status")


def _search(value: str | None) -> str | None:
    return None if value is None else check_text(value, "search")


def _bot_only(value: bool | None) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"bot_only must be True, False or None, not {type(value).__name__}")
    return value


def _check_order(query: object, start: str, end: str) -> None:
    """Check that one field of a query is not after another, if both are given."""
    # Instants as text are normalised to UTC with the same number of digits, so their order is that of time.
    first, last = getattr(query, start), getattr(query, end)
    if first is None or last is None:
        return
    # Two instants within one millisecond become such a pair: an empty window, which is no mistake.
    is_empty = isinstance(first, int) and first == last + 1
    if first > last and not is_empty:
        unit = " (both are inclusive, in Unix milliseconds)" if isinstance(first, int) else ""
        raise ConfigError(f"{start} {first} lies after {end} {last}; exchange them{unit}")


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


def _to_milliseconds(value: int | datetime, name: str, *, up: bool) -> Milliseconds:
    if isinstance(value, datetime):
        since = _aware(value, name) - EPOCH
        # Bounds are inclusive and whole milliseconds: within one, a start moves up and an end moves down.
        return Milliseconds(-(-since // MILLISECOND) if up else since // MILLISECOND)
    return check_milliseconds(value, name)


def _aware(value: datetime, name: str) -> datetime:
    if value.utcoffset() is None:
        raise ConfigError(
            f"{name} {value.isoformat()} has no time zone; add one (…Z in text, tzinfo=datetime.UTC in Python)"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ConfigError(f"{name} {value.isoformat()} is outside the years 1 to 9999 in UTC; leave it out") from None


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


def _user_id(value: str) -> str:
    return check_id(value, "user_id")


def _period(value: str | None) -> str | None:
    return None if value is None else check_text(value, "period")


def _group_by(value: str | None) -> str | None:
    return None if value is None else check_text(value, "group_by")


def _metric(value: str | None) -> str | None:
    if value is None:
        return None
    # The only parameter for which the API ignores case.
    names = {name.lower(): name for name in METRICS}
    return one_of(names.get(value.lower(), value) if isinstance(value, str) else value, "metric", METRICS)


@frozen(eq=False, repr=False, weakref_slot=False)
class Query:
    """The parameters of a request. Those that its endpoint's path names become part of the path."""

    @property
    def session(self) -> str | None:
        """Session whose events are asked for; None for everything else."""
        return None

    @classmethod
    @cache
    def _names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    def __repr__(self) -> str:
        # attrs' own repr fails if the construction failed, and then a traceback with locals fails too.
        known = {name: getattr(self, name) for name in self._names() if hasattr(self, name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in known.items())})"

    @property
    def filters(self) -> Mapping[str, FilterValue]:
        """All parameters that are set, except the session, by field name."""
        found = dict[str, FilterValue]()
        for name in self._names():
            value = getattr(self, name)
            if value is not None and name != "session_id":
                # Plain int, because msgspec cannot encode a subclass of int.
                found[name] = int(value) if isinstance(value, Milliseconds) else value
        return found


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class SessionIdQuery(Query):
    """Query for one session."""

    session_id: str = field(converter=check_id)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class EventFilters(Query):
    """Filters of events, whatever their session: arguments and errors as of `Operations.list_events`.

    The times are Unix milliseconds, also if they were given as an aware datetime.
    """

    page_size: int | None = field(default=None, converter=_page_size)
    type: str | None = field(default=None, converter=_event_type)
    start_time: int | None = field(default=None, converter=_start_time)
    end_time: int | None = field(default=None, converter=_end_time)

    def __attrs_post_init__(self) -> None:
        _check_order(self, "start_time", "end_time")

    def of(self, session_id: str) -> EventQuery:
        """Return the query for the events of a session; raises `ConfigError` for an id that cannot be one."""
        values = {name: getattr(self, name) for name in EventFilters._names()}
        return EventQuery(session_id=session_id, **values)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class EventQuery(EventFilters):
    """Query for the events of one session: arguments and errors as of `Operations.list_events`."""

    session_id: str = field(converter=check_id)

    @property
    def session(self) -> str:
        """Session whose events are asked for."""
        return self.session_id


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class SessionQuery(Query):
    """Query for the sessions of the key's integration: arguments and errors as of `Operations.list_sessions`.

    The dates are ISO 8601 text in UTC.
    """

    page_size: int | None = field(default=None, converter=_page_size)
    status: str | None = field(default=None, converter=_status)
    bot_only: bool | None = field(default=None, converter=_bot_only)
    start_date: str | None = field(default=None, converter=_start_date)
    end_date: str | None = field(default=None, converter=_end_date)

    def __attrs_post_init__(self) -> None:
        _check_order(self, "start_date", "end_date")


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class UserQuery(Query):
    """Query for the users of the learning platform: arguments and errors as of `Operations.list_users`."""

    page_size: int | None = field(default=None, converter=_page_size)
    search: str | None = field(default=None, converter=_search)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class UserSessionQuery(Query):
    """Query for the sessions of one user: arguments and errors as of `Operations.get_user_sessions`.

    The user counts as a filter, so that a position records which user its sessions belong to.
    """

    user_id: str = field(converter=_user_id)
    page_size: int | None = field(default=None, converter=_page_size)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class CourseQuery(Query):
    """Query for the courses: arguments and errors as of `Operations.list_courses`."""

    page_size: int | None = field(default=None, converter=_page_size)


@frozen(kw_only=True, repr=False, weakref_slot=False)
class AnalyticsQuery(Query):
    """Query for the analytics of a period that ends now: errors as of `Operations.get_analytics`."""

    period: str | None = field(default=None, converter=_period)
    group_by: str | None = field(default=None, converter=_group_by)


@frozen(kw_only=True, repr=False, weakref_slot=False)
class UsageQuery(Query):
    """Query for the consumption of the API: arguments and errors as of `Operations.get_usage`."""

    start_date: str | None = field(default=None, converter=_start_date)
    end_date: str | None = field(default=None, converter=_end_date)
    metric: str | None = field(default=None, converter=_metric)

    def __attrs_post_init__(self) -> None:
        _check_order(self, "start_date", "end_date")
