"""Queries: what a caller may ask, checked at birth, in our words.

A query that exists can be sent. Each fault is a `ConfigError` that says what to write instead. Sources: the
parameters of "List event-level metadata for a session" and "List sessions" in the vendor's reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar, Final

from attrs import field, frozen

from isnotai_async.checks import check_id, check_int, check_text
from isnotai_async.errors import ConfigError, quoted

FilterValue = str | int | bool

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NUMBER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+)")
_BYTE: Final = re.compile(r"0[xX]0*[0-9a-fA-F]{1,2}|0*(?:[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])")


def _page_size(value: int | None) -> int | None:
    return None if value is None else check_int(value, "page_size", 1, _INT32_MAX)


def _event_type(value: int | str | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, int):
        return str(check_int(value, "type", 0, 255))
    check_text(value, "type")
    if _NUMBER.fullmatch(value) and not _BYTE.fullmatch(value):
        raise ConfigError(f"type {quoted(value)} is not a byte; it must be from 0 to 255 (0x00 to 0xff)")
    return value


def _milliseconds(value: int | datetime | None, name: str, *, up: bool) -> int | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        since = _aware(value, name) - _EPOCH
        # Bounds are inclusive and whole milliseconds: within one, a start moves up and an end moves down.
        return -(-since // _MILLISECOND) if up else since // _MILLISECOND
    kind = "an int (Unix milliseconds) or an aware datetime"
    return check_int(value, name, -_INT64_MAX - 1, _INT64_MAX, kind=kind)


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


def _start_time(value: int | datetime | None) -> int | None:
    return _milliseconds(value, "start_time", up=True)


def _end_time(value: int | datetime | None) -> int | None:
    return _milliseconds(value, "end_time", up=False)


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


def _start_date(value: datetime | date | str | None) -> str | None:
    return _instant(value, "start_date", time.min)


def _end_date(value: datetime | date | str | None) -> str | None:
    return _instant(value, "end_date", time.max)


def _status(value: str | None) -> str | None:
    return None if value is None else check_text(value, "status")


def _bot_only(value: bool | None) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"bot_only must be True, False or None, not {type(value).__name__}")
    return value


def _given(**values: FilterValue | None) -> dict[str, FilterValue]:
    return {name: value for name, value in values.items() if value is not None}


class _Query:
    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # attrs' own fails on a query whose construction was refused, and takes tracebacks with locals down with it.
        known = {name: getattr(self, name) for name in self.__slots__ if hasattr(self, name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in known.items())})"


@frozen(kw_only=True, repr=False, weakref_slot=False)
class EventQuery(_Query):
    """The events of one session.

    Attributes:
        session_id: Id of the session.
        page_size: Events a page, from 1; None for the server's default (100, clamped by the tier).
        type: Message-type byte (0 to 255, as a number or ``"0x01"``) or short name (``"keypress"``).
        start_time: Earliest timestamp, inclusive, in Unix milliseconds; an aware datetime is converted.
        end_time: Latest timestamp, inclusive, likewise.

    Raises:
        ConfigError: A value that the API could only refuse or misread.
    """

    operation: ClassVar[str] = "list_events"

    session_id: str = field(converter=check_id)
    page_size: int | None = field(default=None, converter=_page_size)
    type: str | None = field(default=None, converter=_event_type)
    start_time: int | None = field(default=None, converter=_start_time)
    end_time: int | None = field(default=None, converter=_end_time)

    def __attrs_post_init__(self) -> None:
        if self.start_time is not None and self.end_time is not None and self.start_time > self.end_time:
            raise ConfigError(
                f"start_time {self.start_time} lies after end_time {self.end_time}; exchange them "
                "(both are inclusive, in Unix milliseconds)"
            )

    @property
    def filters(self) -> Mapping[str, FilterValue]:
        """Everything but the session that was asked for, by our names."""
        return _given(page_size=self.page_size, type=self.type, start_time=self.start_time, end_time=self.end_time)


@frozen(kw_only=True, repr=False, weakref_slot=False)
class SessionQuery(_Query):
    """The sessions of the key's integration.

    Attributes:
        page_size: Sessions a page, from 1; None for the server's default (50, clamped by the tier).
        status: Session status, such as ``"active"`` or ``"closed"``.
        bot_only: True for sessions with a bot score of at least 0.7 only.
        start_date: Created at or after: an aware datetime, a date (its first instant, UTC) or an ISO 8601 string.
        end_date: Created at or before: likewise (a date means its last microsecond, UTC).

    Raises:
        ConfigError: A value that the API could only refuse or misread.
    """

    operation: ClassVar[str] = "list_sessions"
    session_id: ClassVar[None] = None

    page_size: int | None = field(default=None, converter=_page_size)
    status: str | None = field(default=None, converter=_status)
    bot_only: bool | None = field(default=None, converter=_bot_only)
    start_date: str | None = field(default=None, converter=_start_date)
    end_date: str | None = field(default=None, converter=_end_date)

    def __attrs_post_init__(self) -> None:
        # Both are normalised to UTC with the same number of digits, so text order is time order.
        if self.start_date is not None and self.end_date is not None and self.start_date > self.end_date:
            raise ConfigError(f"start_date {self.start_date} lies after end_date {self.end_date}; exchange them")

    @property
    def filters(self) -> Mapping[str, FilterValue]:
        """Everything that was asked for, by our names."""
        return _given(
            page_size=self.page_size,
            status=self.status,
            bot_only=self.bot_only,
            start_date=self.start_date,
            end_date=self.end_date,
        )


ListQuery = EventQuery | SessionQuery
