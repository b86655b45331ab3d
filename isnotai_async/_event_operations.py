"""Operations on events: list those of one session, or stream those of many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from isnotai_async._http import endpoints as wire
from isnotai_async._http.messages import Request, Response
from isnotai_async._models.pages import Page
from isnotai_async._models.positions import ANY, Position, StreamPosition, Watermark, mark_event
from isnotai_async._models.queries import EventQuery, ListQuery
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._streaming.history import Clock, HistoryWatch, wall_clock
from isnotai_async._streaming.options import OnError, Split, StreamOptions
from isnotai_async._streaming.paginator import Paginator
from isnotai_async._streaming.sources import Sessions, read_sessions
from isnotai_async._streaming.splitting import Feed
from isnotai_async._streaming.stream import EventStream
from isnotai_async.errors import ConfigError, quoted

T = TypeVar("T")


class Fetch(Protocol):
    """Sends a request and reads its answer."""

    def __call__(self, request: Request, read: Callable[[Response], T]) -> Awaitable[T]:
        """Send and read; raises what sending and reading raise."""
        ...


class EventOperations:
    """What can be asked about events; the base of `Operations`, whose errors it has.

    Args:
        fetch: Sends a request and reads its answer, within the deadline of a call.
        fetch_unhurried: Likewise without a deadline, for streams: waiting for the quota is what they are there for.
        region: Name of the region that is asked.
        clock: Tells the time of day, to know how far back a tier can see.
    """

    def __init__(self, fetch: Fetch, fetch_unhurried: Fetch, region: str, *, clock: Clock = wall_clock) -> None:
        self._fetch = fetch
        self._fetch_unhurried = fetch_unhurried
        self._region_name = region
        self._clock = clock

    def list_events(
        self,
        session_id: str,
        *,
        page_size: int | None = None,
        type: int | str | None = None,
        start_time: int | datetime | None = None,
        end_time: int | datetime | None = None,
        max_items: int | None = None,
        resume: Position | None = None,
    ) -> Paginator[Event]:
        """List the events of one session.

        Reference page: "List event-level metadata for a session".

        Args:
            session_id: Id of the session.
            page_size: Events a page, from 1; default the server's 100. The tier's cap clamps it.
            type: Message-type byte (0 to 255, or ``"0x01"``) or short name (``"keypress"``).
            start_time: Earliest timestamp, inclusive: Unix **milliseconds** or an aware datetime.
            end_time: Latest timestamp, inclusive: likewise.
            max_items: Events after which to stop; None for all.
            resume: Position to go on from; session and filters have to be those it was made with.

        Returns:
            A `Paginator`: await it for one page, iterate it for events, `pages()` for pages.

        Raises:
            ConfigError: At the call, for a value that the API could only refuse or misread.

        Warns:
            IsNotAIWarning: There was no event, and `start_time` lies before the tier's history window.
        """
        query = EventQuery(
            session_id=session_id, page_size=page_size, type=type, start_time=start_time, end_time=end_time
        )
        read = partial(wire.read_events, session_id=query.session_id)
        return self._list(query, read, mark_event, max_items=max_items, resume=resume)

    def stream_events(
        self,
        sessions: Sessions,
        *,
        concurrency: int = 16,
        buffer: int | None = None,
        split: Split = None,
        ordered: bool = False,
        on_error: OnError = "raise",
        resume: StreamPosition | None = None,
        page_size: int | None = None,
        type: int | str | None = None,
        start_time: int | datetime | None = None,
        end_time: int | datetime | None = None,
    ) -> EventStream:
        """Stream the events of many sessions, or of one in parallel: ``async with client.stream_events(…) as pages``.

        Args:
            sessions: One session, or any source of them (a list, a generator, ``client.list_sessions()``): ids or
                `Session` records. It is read as sessions are needed, so it may be as long as you like.
            concurrency: Most requests in flight; the client's `max_concurrency` is a bound as well.
            buffer: Most pages that are fetched and wait for you; who does not take pages stops the fetching. Default
                2 for each reader, and 10 where an ordered split has to hold pages back.
            split: Read each session in so many windows of time at once, for one request more, to plan them;
                ``"auto"`` decides by the session's size, the round trip and the tier (free and pro are not worth
                it). None for one walk each.
            ordered: Hand out the windows of a session in time order. If the server's rows within one are not in
                time order, they come as the server sent them.
            on_error: ``"raise"``: the first error ends the stream, behind the pages that were ready. ``"collect"``:
                it ends its session only, and `EventStream.failures` tells.
            resume: Position of an earlier stream over the same sessions, to go on from.
            page_size: Events a page, as of `list_events`, as all below.
            type: Message-type byte or short name.
            start_time: Earliest timestamp, inclusive.
            end_time: Latest timestamp, inclusive.

        Returns:
            An `EventStream`: open it with ``async with``, iterate it for pages or `events()` for events.

        Raises:
            ConfigError: At the call, for an option that cannot work; from the stream, for an id that cannot be.

        Warns:
            IsNotAIWarning: A session had no event, and `start_time` lies before the tier's history window; once for
                each stream.
        """
        options = StreamOptions(
            concurrency=concurrency, buffer=buffer, split=split, ordered=ordered, on_error=on_error
        )
        # The id is replaced by each session's.
        template = EventQuery(
            session_id="any", page_size=page_size, type=type, start_time=start_time, end_time=end_time
        )
        sources = {ANY: read_sessions(sessions, self._region_name)}
        find_feed = partial(self._find_feed, HistoryWatch(template, self._clock))
        return EventStream(sources, find_feed=find_feed, template=template, options=options, resume=resume)

    def _find_feed(self, watch: HistoryWatch, name: str) -> Feed:
        if name != self._region_name:
            raise ConfigError(
                f"the position to resume from has sessions of {quoted(name)}, this client asks "
                f"{quoted(self._region_name)}; resume with a client of that region, or with a SessionManager"
            )
        return Feed(name, partial(self._fetch_event_page, watch), self._fetch_details)

    async def _fetch_event_page(self, watch: HistoryWatch, query: EventQuery, cursor: str | None) -> Page[Event]:
        read = partial(wire.read_events, session_id=query.session_id)
        page = await self._fetch_unhurried(wire.build_list(query, cursor, bulk=True), read)
        # A window of a session that was split may well be empty: it has other filters.
        if cursor is None and not page.data and not page.has_more and query.filters == watch.query.filters:
            watch.see_empty(page)
        return page

    def _fetch_details(self, session_id: str) -> Awaitable[SessionDetails]:
        return self._fetch_unhurried(wire.build_session_details(session_id, bulk=True), wire.read_session_details)

    def _list(
        self,
        query: ListQuery,
        read: Callable[[Response], Page[T]],
        mark: Callable[[T], Watermark],
        *,
        max_items: int | None,
        resume: Position | None,
    ) -> Paginator[T]:
        start = Position.start(query, self._region_name)
        if resume is not None:
            resume.check(start)

        def fetch_page(cursor: str | None) -> Awaitable[Page[T]]:
            return self._fetch(wire.build_list(query, cursor), read)

        see_empty = HistoryWatch(query, self._clock).see_empty
        return Paginator(fetch_page, start=resume or start, mark=mark, max_items=max_items, on_empty=see_empty)
