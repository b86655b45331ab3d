"""Queries: the parameters of each endpoint, checked when a query is created.

So every existing query can be sent. Each fault raises a `ConfigError` that says what to write instead. Source: the
parameters in the vendor's reference (documentation version 1.0.17.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from attrs import field, fields, frozen

from isnotai_async._models import validation
from isnotai_async._models.validation import FilterValue, Milliseconds, check_id, check_order, check_text, one_of

METRICS: Final = ("ApiCalls", "Events", "Sessions", "StorageBytes", "BotAnalyses")


def _user_id(value: str) -> str:
    return check_id(value, "user_id")


def _period(value: str | None) -> str | None:
    return None if value is None else check_text(value, "period")


def _group_by(value: str | None) -> str | None:
    return None if value is None else check_text(value, "group_by")


def _metric(value: str | None) -> str | None:
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
        values = {name: getattr(self, name) for name in self._names() if name != "session_id"}
        # Plain int, because msgspec cannot encode a subclass of int.
        return {
            name: int(value) if isinstance(value, Milliseconds) else value
            for name, value in values.items()
            if value is not None
        }


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class SessionIdQuery(Query):
    """Query for one session.

    Attributes:
        session_id: Id of the session.

    Raises:
        ConfigError: The id cannot be one.
    """

    session_id: str = field(converter=check_id)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class EventFilters(Query):
    """Filters of events, whatever their session.

    Attributes:
        page_size: Events a page, from 1; None for the server's default (100, clamped by the tier).
        type: Message-type byte (0 to 255, as a number or ``"0x01"``) or short name (``"keypress"``).
        start_time: Earliest timestamp, inclusive, in Unix milliseconds; an aware datetime is converted.
        end_time: Latest timestamp, inclusive, in the same forms.

    Raises:
        ConfigError: The API would reject or misread a value.
    """

    page_size: int | None = field(default=None, converter=validation.page_size)
    type: str | None = field(default=None, converter=validation.event_type)
    start_time: int | None = field(default=None, converter=validation.start_time)
    end_time: int | None = field(default=None, converter=validation.end_time)

    def __attrs_post_init__(self) -> None:
        check_order(self, "start_time", "end_time")

    def of(self, session_id: str) -> EventQuery:
        """Return the query for the events of a session; raises `ConfigError` for an id that cannot be one."""
        values = {name: getattr(self, name) for name in EventFilters._names()}
        return EventQuery(session_id=session_id, **values)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class EventQuery(EventFilters):
    """Query for the events of one session.

    Attributes:
        session_id: Id of the session.

    Raises:
        ConfigError: The id cannot be one, or a filter as of `EventFilters`.
    """

    session_id: str = field(converter=check_id)

    @property
    def session(self) -> str:
        """Session whose events are asked for."""
        return self.session_id


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class SessionQuery(Query):
    """Query for the sessions of the key's integration.

    Attributes:
        page_size: Sessions a page, from 1; None for the server's default (50, clamped by the tier).
        status: Session status, such as ``"active"`` or ``"closed"``.
        bot_only: True for sessions with a bot score of at least 0.7 only.
        start_date: Created at or after: an aware datetime, a date (its first instant, UTC) or an ISO 8601 string.
        end_date: Created at or before: the same forms (a date means its last microsecond, UTC).

    Raises:
        ConfigError: The API would reject or misread a value.
    """

    page_size: int | None = field(default=None, converter=validation.page_size)
    status: str | None = field(default=None, converter=validation.status)
    bot_only: bool | None = field(default=None, converter=validation.bot_only)
    start_date: str | None = field(default=None, converter=validation.start_date)
    end_date: str | None = field(default=None, converter=validation.end_date)

    def __attrs_post_init__(self) -> None:
        check_order(self, "start_date", "end_date")


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class UserQuery(Query):
    """Query for the users of the learning platform.

    Attributes:
        page_size: Users a page, from 1; None for the server's default (50, clamped by the tier).
        search: Part of the user's id or name, in any case.

    Raises:
        ConfigError: The API would reject or misread a value.
    """

    page_size: int | None = field(default=None, converter=validation.page_size)
    search: str | None = field(default=None, converter=validation.search)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class UserSessionQuery(Query):
    """Query for the sessions of one user.

    Attributes:
        user_id: Id of the user. It counts as a filter, so that a position records which user its sessions belong to.
        page_size: Sessions a page, from 1; None for the server's default (50, clamped by the tier).

    Raises:
        ConfigError: The API would reject or misread a value.
    """

    user_id: str = field(converter=_user_id)
    page_size: int | None = field(default=None, converter=validation.page_size)


@frozen(kw_only=True, repr=False, weakref_slot=False, cache_hash=True)
class CourseQuery(Query):
    """Query for the courses.

    Attributes:
        page_size: Courses a page, from 1; None for the server's default (50, clamped by the tier).

    Raises:
        ConfigError: The API would reject or misread a value.
    """

    page_size: int | None = field(default=None, converter=validation.page_size)


@frozen(kw_only=True, repr=False, weakref_slot=False)
class AnalyticsQuery(Query):
    """Query for the analytics of a period that ends now.

    Attributes:
        period: Any text; documented are ``"24h"``, ``"7d"``, ``"30d"`` and ``"90d"``. None for the server's default,
            7d.
        group_by: Any text; documented are ``"hour"``, ``"day"`` and ``"week"``. None for the server's default, day.

    Raises:
        ConfigError: A value is not text, or is empty.
    """

    period: str | None = field(default=None, converter=_period)
    group_by: str | None = field(default=None, converter=_group_by)


@frozen(kw_only=True, repr=False, weakref_slot=False)
class UsageQuery(Query):
    """Query for the consumption of the API.

    Attributes:
        start_date: Start, inclusive, in the forms of `SessionQuery`; None for 30 days before `end_date`.
        end_date: End, inclusive, in the same forms; None for today, UTC.
        metric: ``"ApiCalls"``, ``"Events"``, ``"Sessions"``, ``"StorageBytes"`` or ``"BotAnalyses"``, in any case;
            None for all.

    Raises:
        ConfigError: The API would reject or misread a value.
    """

    start_date: str | None = field(default=None, converter=validation.start_date)
    end_date: str | None = field(default=None, converter=validation.end_date)
    metric: str | None = field(default=None, converter=_metric)

    def __attrs_post_init__(self) -> None:
        check_order(self, "start_date", "end_date")
