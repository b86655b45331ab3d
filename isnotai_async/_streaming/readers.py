"""Readers of a stream: a feeder that takes sessions from the source, and a pool of walks.

If each name of a `SessionManager` has a source, each has a feeder and a pool of its own, with an equal share of the
concurrency, so that no name waits for another. When a name is finished, its share goes to the others.

Readers raise no error. The first error stops them all and is kept in `failure`; the consumer gets it after the last
page that was ready. If errors are collected, an error ends only its session and is put into the buffer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

from anyio import CancelScope, create_task_group
from attrs import define, evolve, field, frozen

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position, mark_event
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._models.stream_positions import ANY, SessionRef
from isnotai_async._notices import logger
from isnotai_async._streaming.buffer import OrderedLane, PageBuffer
from isnotai_async._streaming.options import StreamOptions
from isnotai_async._streaming.paginator import FetchPage, Paginator
from isnotai_async._streaming.progress import SessionProgress, StreamProgress, TimeWindow
from isnotai_async._streaming.split_plan import PlanStep, SplitPlan
from isnotai_async._streaming.tasks import TaskPool, share
from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    DecodeError,
    IsNotAIError,
    NotFoundError,
    ServerError,
)


class EventFetcher(NamedTuple):
    """The functions that fetch pages and details from one region.

    Attributes:
        region: Its name.
        fetch_page: Fetches the page of a query at a cursor; None is the first page.
        fetch_details: Fetches the details of a session.
    """

    region: str
    fetch_page: Callable[[EventQuery, str | None], Awaitable[Page[Event]]]
    fetch_details: Callable[[str], Awaitable[SessionDetails]]


FindFetcher = Callable[[str], EventFetcher]
"""Returns the functions for a region, by its name; raises `ConfigError` for a name that is not known."""


@define(kw_only=True, eq=False, repr=False)
class StreamItem:
    """An item of the buffer, a page, the end of a window, or an error; or the error that ended the stream.

    Attributes:
        target: The session; without an id, it is the source of a region.
        work: Its progress; None if it was not started.
        window: The part of the session.
        page: The page.
        places: Index of each record in the server's page; None if no record of that page is missing.
        at: Position before the page.
        after: Position after the page.
        is_last: Whether the window ends with this item.
        error: The error that ended the session or the source; one that is no `IsNotAIError` ends the stream.
    """

    target: SessionRef
    work: SessionProgress | None = None
    window: TimeWindow | None = None
    page: Page[Event] | None = None
    places: Sequence[int] | None = None
    at: Position | None = None
    after: Position | None = None
    is_last: bool = False
    error: Exception | None = None


@frozen(eq=False, repr=False)
class _Session:
    work: SessionProgress
    fetcher: EventFetcher
    pool: TaskPool
    line: deque[OrderedLane[StreamItem]] | None  # its windows in time order, if that order is kept
    first_page: list[Page[Event]] = field(factory=list)  # if planning fetched it, until it is handed out

    def open_lane(self) -> OrderedLane[StreamItem] | None:
        return None if self.line is None else OrderedLane.open(self.line)


@define(eq=False, repr=False)
class ReaderPool:
    """The background work of a stream.

    Attributes:
        sources: The sources by name, or one as `ANY`; they are closed at the end.
        find_fetcher: Returns the fetcher of a region.
        progress: Progress of the stream.
        options: Options of the stream.
        resumed: Sessions to resume before others are taken.
        clock: Returns monotonic seconds.
        buffer: Receives the pages.
        failure: The item of the error that ended it, if any.
    """

    sources: Mapping[str, AsyncGenerator[SessionRef, None]]
    find_fetcher: FindFetcher
    progress: StreamProgress
    options: StreamOptions
    resumed: tuple[SessionProgress, ...] = ()
    clock: Callable[[], float] = monotonic
    buffer: PageBuffer[StreamItem] = field(init=False)
    failure: StreamItem | None = field(default=None, init=False)
    _refusals: dict[str, AuthenticationError] = field(factory=dict, init=False)
    _pools: dict[str, TaskPool] = field(factory=dict, init=False)
    _scope: CancelScope = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.buffer = PageBuffer(room_of(self.options))

    async def run(self) -> None:
        """Read until the source has no more, an error stops it, or it is cancelled."""
        try:
            async with create_task_group() as group:
                self._scope = group.cancel_scope
                shares = share(self.options.concurrency, len(self.sources))
                self._pools = {name: TaskPool(size, group) for name, size in zip(self.sources, shares, strict=True)}
                for name in self.sources:
                    group.start_soon(self._read_source, name)
        finally:
            self.buffer.close()

    async def _read_source(self, name: str) -> None:
        try:
            await self._read_targets(name)
        except Exception as error:  # noqa: BLE001 - it is the source's, and raised where the pages are taken
            failure = StreamItem(target=SessionRef(name, ""), error=error)
            if not self._ends_its_source_only(error):
                self._stop(failure)
                return
            await self.buffer.put(failure)
        pool = self._pools[name]
        await pool.done()
        del self._pools[name]
        if self._pools:
            for other, count in zip(self._pools.values(), share(pool.size, len(self._pools)), strict=True):
                other.grow(count)

    def _ends_its_source_only(self, error: Exception) -> bool:
        """Whether the API rejected one listing of several, so that the others continue."""
        is_of_the_api = isinstance(error, IsNotAIError) and not isinstance(error, ConfigError)
        return is_of_the_api and self.options.on_error == "collect" and len(self.sources) > 1

    def _stop(self, failure: StreamItem) -> None:
        if self.failure is None:
            self.failure = failure
        self._scope.cancel()

    async def _read_targets(self, name: str) -> None:
        pool, source = self._pools[name], self.progress.by_source[name]
        async with aclosing(self.sources[name]) as targets:
            while source.is_behind:
                source.count(await anext(targets, None))
            for work in self.resumed:
                if name in {ANY, work.target.name}:
                    await pool.idle()
                    self._start(work, pool)
            while True:
                await pool.idle()
                target = await anext(targets, None)
                if target is None:
                    return
                source.count(target)
                await self._take(target, pool)

    async def _take(self, target: SessionRef, pool: TaskPool) -> None:
        try:
            work = self.progress.open(target, self.find_fetcher(target.name).region)
        except ConfigError as error:
            if self.options.on_error == "raise":
                raise
            await self.buffer.put(StreamItem(target=target, error=error))
        else:
            self._start(work, pool)

    def _start(self, work: SessionProgress, pool: TaskPool) -> None:
        line = deque[OrderedLane[StreamItem]]() if self.options.ordered else None
        pool.start(partial(self._read_session, _Session(work, self.find_fetcher(work.target.name), pool, line)))

    async def _read_session(self, session: _Session) -> None:
        try:
            if refusal := self._refusals.get(session.work.target.name):
                await self._fail(session.work, refusal)
                return
            readers = await self._plan_readers(session)
        except Exception as error:  # noqa: BLE001 - raised where the pages are taken, as all below
            await self._fail(session.work, error)
            return
        for _ in range(readers - 1):
            session.pool.start(partial(self._read_windows, session))
            await asyncio.sleep(0)  # as `TaskPool.idle` does, and for the same reason
        await self._read_windows(session)

    async def _plan_readers(self, session: _Session) -> int:
        if self.options.split is None:
            return 1
        plan = SplitPlan(
            split=self.options.split,
            ordered=self.options.ordered,
            buffer=room_of(self.options),
            parts=session.work.waiting,
            size=session.pool.size,
            free=session.pool.free + 1,
        )
        while plan.step is not PlanStep.READ:
            begun = self.clock()
            if plan.step is PlanStep.FETCH_PAGE:
                page = await session.fetcher.fetch_page(plan.query, None)
                plan.take_page(page, self.clock() - begun)
            else:
                details = await _find_details(session)
                plan.take_details(details, self.clock() - begun)
        if plan.first_page is not None:
            session.first_page.append(plan.first_page)
        return plan.readers

    async def _read_windows(self, session: _Session) -> None:
        while window := session.work.take():
            lane = session.open_lane()
            try:
                await self._walk(session, window, lane)
            except Exception as error:  # noqa: BLE001
                await self._fail(session.work, error, window, lane)
            if lane is not None and self.failure is None:  # else the next lanes would come out before what is missing
                self.buffer.fill(lane)

    async def _walk(self, session: _Session, window: TimeWindow, lane: OrderedLane[StreamItem] | None) -> None:
        ask, query = session.fetcher.fetch_page, window.query

        def fetch_since(start_time: int) -> FetchPage[Event]:
            return partial(ask, evolve(query, start_time=start_time))

        walk = Paginator(
            _begin_with(session.first_page, partial(ask, query)),
            start=window.position,
            mark=mark_event,
            since=fetch_since,
            set_aside=self.options.set_aside or self.options.on_error == "collect",
            begins_again=not self.options.set_aside,
        )
        make_item = partial(StreamItem, target=session.work.target, work=session.work, window=window)
        at, is_last = window.position, False
        async with aclosing(walk.pages()) as pages:
            async for page in pages:
                page = _name(page, session.work.target.name)
                after, is_last = walk.position, not page.has_more
                places = walk.indexes
                await self.buffer.put(make_item(page=page, places=places, at=at, after=after, is_last=is_last), lane)
                at = after
                del page  # as in `Paginator.pages`: with 64 readers, that is thousands of records
        if not is_last:
            await self.buffer.put(make_item(is_last=True), lane)

    async def _fail(
        self,
        work: SessionProgress,
        error: Exception,
        window: TimeWindow | None = None,
        lane: OrderedLane[StreamItem] | None = None,
    ) -> None:
        work.is_stopped = True
        failure = StreamItem(target=work.target, work=work, window=window, error=error)
        # An invalid id fails in `_take`. A ConfigError from here (such as no key) would come for every session.
        ends_all = isinstance(error, ConfigError) or not isinstance(error, IsNotAIError)
        if ends_all or self.options.on_error == "raise":
            self._stop(failure)
            return
        if isinstance(error, AuthenticationError):  # a rejected key stays so: ask that region no more
            self._refusals.setdefault(work.target.name, error)
        await self.buffer.put(failure, lane)


async def _find_details(session: _Session) -> SessionDetails | None:
    session_id = session.work.target.session_id
    try:
        return await session.fetcher.fetch_details(session_id)
    except (NotFoundError, ServerError, DecodeError) as error:
        # If the session itself is missing, the walk raises that.
        logger.info("session %r is read in one walk, because its details are missing: %s", session_id, error)
        return None


_PAGES_EACH: Final = 10  # Pages that an ordered split may hold back for each reader; a window has at most 8


def room_of(options: StreamOptions) -> int:
    """Return the maximum number of pages in the buffer."""
    if options.buffer is not None:
        return options.buffer
    if not options.ordered or options.split is None:
        return 2 * options.concurrency
    readers = options.concurrency if options.split == "auto" else min(options.split, options.concurrency)
    return max(2 * options.concurrency, _PAGES_EACH * readers)


def _name(page: Page[Event], name: str) -> Page[Event]:
    return page if page.name == name else evolve(page, name=name)


def _begin_with(first_page: list[Page[Event]], fetch_page: FetchPage[Event]) -> FetchPage[Event]:
    if not first_page:
        return fetch_page

    async def fetch(cursor: str | None) -> Page[Event]:
        return first_page.pop() if cursor is None and first_page else await fetch_page(cursor)

    return fetch
