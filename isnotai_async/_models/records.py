"""Records: events, sessions, details, users, as frozen values with snake_case field names.

They know no JSON; `codec` reads them. Names of events, statuses and flags stay open strings, because the vendor
does not publish closed lists. Source: the schemas of the vendor's reference (documentation version 1.0.17.0).

The annotations say what can be there at run time. The vendor's document marks no field as required and says that
list items come "minus a few fields". So only what identifies a record, and the numbers of an event, are always there.
Tuples and mappings are empty if the answer lacks them. A field with the default None is documented as nullable; any
other None is a deviation, which the client reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta, Struct

from isnotai_async._models.times import to_time
from isnotai_async._values import equals, hashed, show

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
"""A number of the contract's format ``int32``."""

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A number of the contract's format ``int64``."""

Id = Annotated[str, Meta(min_length=1)]
"""A text that identifies a record, so it is not empty: two rows without an id could not be distinguished."""

_FIELDS: Any = {name: field() for name in ("event_id", "message_id", "event_type_name", "timestamp", "payload_size")}


# An attrs class whose objects are made in C: msgspec reads JSON straight into them, which halves what decoding costs.
@frozen(these=_FIELDS, slots=False, init=False, eq=False, match_args=False, getstate_setstate=False)
class Event(Struct, frozen=True, gc=False, rename="camel"):
    """Metadata of one event of a session; the API never returns a payload.

    Example:
        >>> event = await client.list_events("big-1000").first()
        >>> event.event_type_name, event.timestamp, event.time.isoformat(), event.payload_size
        ('init', 1780574400000, '2026-06-04T12:00:00+00:00', 212)

    Attributes:
        event_id: Id of the event.
        message_id: The message-type byte.
        event_type_name: Name of that type, such as ``"keypress"``; an open list. None if the answer has none.
        timestamp: Unix time in **milliseconds**.
        payload_size: Size of the payload in bytes.
    """

    event_id: Id
    message_id: Int32
    event_type_name: str | None
    timestamp: Int64
    payload_size: Int32

    __repr__ = show

    @property
    def time(self) -> datetime:
        """`timestamp` as an aware UTC datetime, exact to the millisecond.

        Raises:
            OverflowError: The timestamp is outside the years 1 to 9999.
        """
        return to_time(self.timestamp)


@frozen(kw_only=True)
class Session:
    """One tracking session.

    Example:
        >>> session = await client.get_session("big-1000")
        >>> session.status, session.bot_score, session.detection_flags
        ('closed', 0.08, ())

    Attributes:
        id: Id of the session.
        created_at: When it began (UTC).
        updated_at: When it last changed (UTC).
        status: Such as ``"active"`` or ``"closed"``; an open list.
        bot_score: From 0 to 1, or None while unknown; the API calls 0.7 and above a bot.
        detection_flags: What the detection noticed; an open list.
        page_url: Page the session was recorded on.
        user_agent_summary: Browser and system in words.
        user_id: Id of the user in the learning platform.
        user_name: Name of that user.
        user_url: Page of that user.
        extra: Fields that the contract does not have, by the API's own names.
    """

    id: Id
    created_at: datetime | None
    updated_at: datetime | None
    status: str | None
    bot_score: float | None = None
    detection_flags: tuple[str, ...]
    page_url: str | None = None
    user_agent_summary: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    user_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen
class EventCounts:
    """Events of a session by kind. Not promised to equal the number of listed events.

    Example:
        >>> details = await client.get_session_details("big-1000")
        >>> details.event_counts.total, details.event_counts.mouse
        (1000, 325)

    Attributes:
        total: Events in all.
        mouse: Events of the mouse.
        scroll: Events of scrolling.
        keyboard: Events of the keyboard.
        touch: Events of a touch screen.
        form: Events of form fields.
        extra: Fields that the contract does not have, by the API's own names.
    """

    total: Int32 | None
    mouse: Int32 | None
    scroll: Int32 | None
    keyboard: Int32 | None
    touch: Int32 | None
    form: Int32 | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen
class TimelineBucket:
    """One stretch of a session's timeline.

    Example:
        >>> details = await client.get_session_details("big-1000")
        >>> details.timeline[0].event_count, details.timeline[0].dominant_event_type
        (16, 'keypress')

    Attributes:
        timestamp: Start of the stretch (UTC).
        event_count: Events in it.
        dominant_event_type: The most frequent kind.
        activity_level: How busy it was; the scale is not documented.
        extra: Fields that the contract does not have, by the API's own names.
    """

    timestamp: datetime | None
    event_count: Int32 | None
    dominant_event_type: str | None
    activity_level: float | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class PageVisit:
    """One page seen during a session.

    Example:
        >>> details = await client.get_session_details("big-1000")
        >>> details.page_history[0].url, details.page_history[0].duration_ms
        ('https://learn.example.edu/courses/hist-204/forum', 106776)

    Attributes:
        url: Address of the page.
        timestamp: When it was opened (UTC).
        type: Kind of visit; an open list.
        duration_ms: Milliseconds spent there, or None.
        extra: Fields that the contract does not have, by the API's own names.
    """

    url: str | None
    timestamp: datetime | None
    type: str | None
    duration_ms: Int32 | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen
class SessionDetails:
    """Timeline, event counts and page history of one session.

    Example:
        >>> details = await client.get_session_details("big-1000")
        >>> details.duration_seconds, len(details.timeline), len(details.page_history)
        (271.435, 49, 5)

    Attributes:
        session_id: Id of the session.
        start_time: When it began (UTC).
        end_time: When it ended (UTC).
        duration_seconds: Its length in seconds.
        event_counts: Events by kind.
        timeline: Stretches of activity.
        page_history: Pages seen.
        extra: Fields that the contract does not have, by the API's own names.
    """

    session_id: str | None
    start_time: datetime | None
    end_time: datetime | None
    duration_seconds: float | None
    event_counts: EventCounts | None
    timeline: tuple[TimelineBucket, ...]
    page_history: tuple[PageVisit, ...]
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class User:
    """A user of the learning platform, over all sessions.

    Example:
        >>> user = await client.list_users(search="souza").first()
        >>> user.user_name, user.session_count, user.risk_level
        ('Ana Souza', 3, 'medium')

    Attributes:
        user_id: Id in the learning platform; the `user_id` of the sessions.
        user_name: Name, or None if it is not known.
        session_count: Sessions.
        bot_session_count: Sessions that look like a bot's.
        medium_session_count: Sessions between the two; the thresholds are not documented.
        average_bot_score: From 0 to 1.
        max_bot_score: From 0 to 1.
        device_count: Devices.
        first_seen: Start of the first session (UTC).
        last_seen: When the user was last seen (UTC).
        risk_level: Such as ``"low"``; an open list.
        sparkline: Counts for a small chart; what one of them counts is not documented.
        user_url: Page of the user, or None.
        extra: Fields that the contract does not have, by the API's own names.
    """

    user_id: Id
    user_name: str | None = None
    session_count: Int32 | None
    bot_session_count: Int32 | None
    medium_session_count: Int32 | None
    average_bot_score: float | None
    max_bot_score: float | None
    device_count: Int32 | None
    first_seen: datetime | None
    last_seen: datetime | None
    risk_level: str | None
    sparkline: tuple[Int32, ...]
    user_url: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen
class Health:
    """Answer of the unauthenticated health check.

    Example:
        >>> health = await client.health()
        >>> health.status, health.version
        ('healthy', '1.0.17.0')

    Attributes:
        status: Such as ``"healthy"``.
        version: Version of the API.
        timestamp: Clock of the server (UTC).
        extra: Fields that the contract does not have, by the API's own names.
    """

    status: str | None
    version: str | None
    timestamp: datetime | None
    extra: Mapping[str, Any] = field(factory=dict, hash=False, repr=False)

    __repr__, __eq__, __hash__ = show, equals, hashed
