"""The twelve operations of the API: one class, the only copy of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from attrs import evolve

from isnotai_async._http import endpoints
from isnotai_async._http.endpoints import Endpoint, ListEndpoint
from isnotai_async._http.messages import Request, Response
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position
from isnotai_async._models.queries import (
    AnalyticsQuery,
    CourseQuery,
    EventQuery,
    Query,
    SessionIdQuery,
    SessionQuery,
    UsageQuery,
    UserQuery,
    UserSessionQuery,
)
from isnotai_async._models.records import Event, Health, Session, SessionDetails, User
from isnotai_async._models.responses import RawResponse
from isnotai_async._models.validation import explain_names
from isnotai_async._streaming.history import Clock, HistoryWatch, wall_clock
from isnotai_async._streaming.paginator import FetchPage, Paginator
from isnotai_async.errors import ConfigError, ResumePosition

T = TypeVar("T")


class Fetch(Protocol):
    """Sends a request and reads its answer."""

    def __call__(self, request: Request, read: Callable[[Response], T]) -> Awaitable[T]:
        """Send a request and read its answer; raise the errors of both."""


class Operations:
    """The operations of the API, as methods.

    Every method raises the errors of `isnotai_async.errors`: `ConfigError` before anything is sent,
    `TransportError` if the API did not answer, `APIError` if it answered with an error, `DecodeError` if the answer
    does not follow the contract.

    Args:
        fetch: Sends a request and reads its answer, within the deadline of a call.
        region: Name of the region that is asked.
        clock: Returns the time of day, to know how far back a tier can see.
    """

    def __init__(self, fetch: Fetch, region: str, *, clock: Clock = wall_clock) -> None:
        self._fetch = fetch
        self._region_name = region
        self._clock = clock

    async def health(self) -> Health:
        """Ask whether the API is alive; needs no key.

        Reference page: "Health check".
        """
        return await self._get(endpoints.HEALTH)

    async def get_integration(self) -> dict[str, Any]:
        """Return the integration that the key stands for: the best test of a key.

        Reference page: "Get the current integration". Only ``apiKeyMasked`` of its schema is known here, so the
        answer is a plain dict, as the server sent it. The API's own OpenAPI document has the schema: run
        ``isnotai doctor``.

        Raises:
            AuthenticationError: The key is not known in this region.
        """
        return await self._get(endpoints.GET_INTEGRATION)

    @explain_names
    def list_sessions(
        self,
        *,
        page_size: int | None = None,
        status: str | None = None,
        bot_only: bool | None = None,
        start_date: datetime | date | str | None = None,
        end_date: datetime | date | str | None = None,
        max_items: int | None = None,
        resume: ResumePosition | None = None,
    ) -> Paginator[Session]:
        """List the sessions of the key's integration.

        Reference page: "List sessions".

        Example:
            >>> async for session in client.list_sessions(bot_only=True, start_date="2026-06-08"):
            ...     print(session.id, session.bot_score)
            ses-ae9f8f9c4f7ae686 0.8781
            ses-947290bb5878c030 0.8372

        Args:
            page_size: Sessions a page, from 1; default the server's 50. The tier's cap clamps it.
            status: Only sessions of this status, such as ``"active"`` or ``"closed"``.
            bot_only: True for only sessions with a bot score of at least 0.7.
            start_date: Created at or after: an aware datetime, a date (its first instant, UTC) or ISO 8601 text.
                Before the tier's history window the API answers with an empty page, not with an error.
            end_date: Created at or before, in the same forms (a date means its last microsecond, UTC).
            max_items: Sessions after which to stop; None for all.
            resume: Position to resume from; it must have the same filters.

        Returns:
            A `Paginator`: await it for one page, iterate it for sessions, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API would reject or misread.

        Warns:
            IsNotAIWarning: There was no session, and `start_date` is before the tier's history window.
        """
        query = SessionQuery(
            page_size=page_size, status=status, bot_only=bot_only, start_date=start_date, end_date=end_date
        )
        return self._list(endpoints.LIST_SESSIONS, query, max_items=max_items, resume=resume)

    async def get_session(self, session_id: str) -> Session:
        """Return one session.

        Reference page: "Get a session".

        Example:
            >>> session = await client.get_session("big-1000")
            >>> session.status, session.created_at.isoformat()
            ('closed', '2026-06-04T12:00:00+00:00')

        Raises:
            ConfigError: The id is empty, ``.``, ``..``, too long, or has control characters.
            NotFoundError: There is no such session.
        """
        return await self._get(endpoints.GET_SESSION, SessionIdQuery(session_id=session_id))

    async def get_session_details(self, session_id: str) -> SessionDetails:
        """Return timeline, event counts and page history of one session.

        Reference page: "Get session details".

        Its counts are for planning; the API does not promise that they equal the number of listed events.

        Example:
            >>> details = await client.get_session_details("big-1000")
            >>> details.duration_seconds, details.event_counts.keyboard
            (271.435, 333)

        Raises:
            ConfigError: As of `get_session`.
            NotFoundError: There is no such session.
            ServerError: The details are not available now (503).
        """
        return await self._get(endpoints.GET_SESSION_DETAILS, SessionIdQuery(session_id=session_id))

    @explain_names
    def list_events(
        self,
        session_id: str | Session,
        *,
        page_size: int | None = None,
        type: int | str | None = None,
        start_time: int | datetime | None = None,
        end_time: int | datetime | None = None,
        max_items: int | None = None,
        resume: ResumePosition | None = None,
    ) -> Paginator[Event]:
        """List the events of one session.

        Reference page: "List event-level metadata for a session".

        Example:
            >>> async for event in client.list_events("big-1000", type="keypress", max_items=2):
            ...     print(event.event_id, event.timestamp)
            ev-434e58bd-d97695f5 1780574400162
            ev-434e58bd-b41d0308 1780574400373
            >>> page = await client.list_events("big-1000", page_size=50)
            >>> len(page.data), page.has_more
            (50, True)

        Args:
            session_id: Id of the session, or its record.
            page_size: Events a page, from 1; default the server's 100. The tier's cap clamps it.
            type: Message-type byte (0 to 255, or ``"0x01"``) or short name (``"keypress"``).
            start_time: Earliest timestamp, inclusive: Unix **milliseconds** or an aware datetime.
            end_time: Latest timestamp, inclusive, in the same forms.
            max_items: Events after which to stop; None for all.
            resume: Position to resume from; it must have the same session and filters.

        Returns:
            A `Paginator`: await it for one page, iterate it for events, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API would reject or misread.

        Warns:
            IsNotAIWarning: There was no event, and `start_time` is before the tier's history window.
        """
        query = EventQuery(
            session_id=session_id.id if isinstance(session_id, Session) else session_id,
            page_size=page_size,
            type=type,
            start_time=start_time,
            end_time=end_time,
        )
        return self._list(endpoints.LIST_EVENTS, query, max_items=max_items, resume=resume)

    @explain_names
    def list_users(
        self,
        *,
        page_size: int | None = None,
        search: str | None = None,
        max_items: int | None = None,
        resume: ResumePosition | None = None,
    ) -> Paginator[User]:
        """List the users of the learning platform.

        Reference page of ``listUsers``.

        Example:
            >>> [user.user_name async for user in client.list_users(search="souza")]
            ['Ana Souza']

        Args:
            page_size: Users a page, from 1; default the server's 50. The tier's cap clamps it.
            search: Only users with this in their id or name, in any case.
            max_items: Users after which to stop; None for all.
            resume: Position to resume from; it must have the same filters.

        Returns:
            A `Paginator`: await it for one page, iterate it for users, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API would reject or misread.
        """
        query = UserQuery(page_size=page_size, search=search)
        return self._list(endpoints.LIST_USERS, query, max_items=max_items, resume=resume)

    @explain_names
    def get_user_sessions(
        self,
        user_id: str,
        *,
        page_size: int | None = None,
        max_items: int | None = None,
        resume: ResumePosition | None = None,
    ) -> Paginator[Session]:
        """List the sessions of one user.

        Reference page of ``getUserSessions``. The vendor does not publish the schema of its items; this client reads
        them like those of `list_sessions`.

        Args:
            user_id: Id of the user, as in `Session` and `User`.
            page_size: Sessions a page, from 1; default the server's 50. The tier's cap clamps it.
            max_items: Sessions after which to stop; None for all.
            resume: Position to resume from; it must have the same user and page size.

        Returns:
            A `Paginator`: await it for one page, iterate it for sessions, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API would reject or misread.
        """
        query = UserSessionQuery(user_id=user_id, page_size=page_size)
        return self._list(endpoints.GET_USER_SESSIONS, query, max_items=max_items, resume=resume)

    @explain_names
    def list_courses(
        self, *, page_size: int | None = None, max_items: int | None = None, resume: ResumePosition | None = None
    ) -> Paginator[dict[str, Any]]:
        """List the courses that the API found in the addresses of the sessions' pages.

        Reference page of ``listCourses``. The schema of a course is not known here, so each is a plain dict, as
        the server sent it. The API's own OpenAPI document has the schema: run ``isnotai doctor``.

        Args:
            page_size: Courses a page, from 1; default the server's 50. The tier's cap clamps it.
            max_items: Courses after which to stop; None for all.
            resume: Position to resume from; it must have the same page size. No field is known to identify a course,
                so a course that has changed in any way counts as another one.

        Returns:
            A `Paginator`: await it for one page, iterate it for courses, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API would reject or misread.
        """
        query = CourseQuery(page_size=page_size)
        return self._list(endpoints.LIST_COURSES, query, max_items=max_items, resume=resume)

    @explain_names
    async def get_analytics(self, *, period: str | None = None, group_by: str | None = None) -> Analytics:
        """Return summary and time series of a period that ends now.

        Reference page of ``getAnalytics``.

        Args:
            period: An open list; documented are ``"24h"``, ``"7d"``, ``"30d"`` and ``"90d"``. Default the server's,
                7d.
            group_by: Width of a point of the time series, an open list; documented are ``"hour"``, ``"day"`` and
                ``"week"``. Default the server's, day.

        Raises:
            ConfigError: A period or width that is no text, or empty.
        """
        query = AnalyticsQuery(period=period, group_by=group_by)
        return await self._get(endpoints.GET_ANALYTICS, query)

    async def get_stats(self) -> dict[str, Any]:
        """Return high-level counters.

        Reference page of ``getStats``. Its schema is not known here, so the answer is a plain dict, as the
        server sent it. The API's own OpenAPI document has the schema: run ``isnotai doctor``.
        """
        return await self._get(endpoints.GET_STATS)

    @explain_names
    async def get_usage(
        self,
        *,
        start_date: datetime | date | str | None = None,
        end_date: datetime | date | str | None = None,
        metric: str | None = None,
    ) -> Usage:
        """Return the consumption of the API.

        Reference page of ``getUsage``. The answer has no pages.

        Args:
            start_date: The first instant, inclusive: an aware datetime, a date (its first instant, UTC) or ISO 8601
                text; default the server's, 30 days before `end_date`.
            end_date: The last instant, inclusive, in the same forms (a date means its last microsecond, UTC); default
                the server's, today in UTC.
            metric: Only this one: ``"ApiCalls"``, ``"Events"``, ``"Sessions"``, ``"StorageBytes"`` or
                ``"BotAnalyses"``, in any case; default all.

        Raises:
            ConfigError: A value that the API would reject or misread.
        """
        query = UsageQuery(start_date=start_date, end_date=end_date, metric=metric)
        return await self._get(endpoints.GET_USAGE, query)

    @explain_names
    async def request(self, path: str, *, params: Mapping[str, str | float | None] | None = None) -> RawResponse:
        """Get any path of the API, also one without a method here. It is paced, retried and checked like every call.

        The key is sent, except to ``/health``, ``/openapi/v3.json`` and ``/swagger``, which are documented as open.

        Args:
            path: Absolute path without a query, such as ``"/v1/sessions"``.
            params: Parameters of the query, by the API's own names; None values are left out.

        Returns:
            The answer as it came, if its status is 2xx; every other status is an error.

        Raises:
            ConfigError: The path or a parameter cannot be sent.
        """
        return await self._fetch(endpoints.build_request(path, params), endpoints.read_raw)

    def _get(self, endpoint: Endpoint[T], query: Query | None = None) -> Awaitable[T]:
        return self._fetch(endpoint.build(query), endpoint.read)

    def _list(
        self, endpoint: ListEndpoint[T], query: Query, *, max_items: int | None, resume: ResumePosition | None
    ) -> Paginator[T]:
        start = partial(Position.start, endpoint.operation, self._region_name, query)
        if resume is not None:
            if not isinstance(resume, Position):
                kind = type(resume).__name__
                raise ConfigError(f"resume must be a Position, not {kind}; use Position.from_json(text)")
            resume.check(start())
        return Paginator(
            partial(self._fetch_page, endpoint, query),
            start=start if resume is None else resume,
            mark=endpoint.mark,
            record=None if endpoint.page_of is dict else endpoint.page_of,
            since=partial(self._fetch_since, endpoint, query) if isinstance(query, EventQuery) else None,
            max_items=max_items,
            on_empty=HistoryWatch(query, self._clock).see_empty,
        )

    def _fetch_since(self, endpoint: ListEndpoint[T], query: EventQuery, start_time: int) -> FetchPage[T]:
        return partial(self._fetch_page, endpoint, evolve(query, start_time=start_time))

    def _fetch_page(self, endpoint: ListEndpoint[T], query: Query, cursor: str | None) -> Awaitable[Page[T]]:
        return self._fetch(endpoint.build(query, cursor), endpoint.read)
