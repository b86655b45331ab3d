"""`EventStream`: pages of many sessions, in order of arrival, in bounded memory, each given once.

Theory of operation:

1. A feeder reads the source of sessions one by one, each when somebody is free to read it. A pool of readers walks
   them and leaves each page in a bounded buffer, from which the consumer takes it. All of that runs behind the
   ``async with`` block and ends with it.
2. Each page travels with the place it stands at and the place behind it. The ledger moves when the consumer gets a
   page, not when it is fetched, and that a session is done travels through the same buffer. So the position is true
   at any moment, whatever still waits in the buffer.
3. The first error stops all readers. The consumer gets what was ready before it, and then the error itself, in its
   own task; its own exceptions are none of a task group's business and so never come as an `ExceptionGroup`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import islice
from operator import length_hint
from types import MappingProxyType, TracebackType
from typing import Any, Self

from attrs import evolve

from isnotai_async._arrow.tables import BatchBuilder
from isnotai_async._models.pages import Page, rows_of
from isnotai_async._models.positions import Position, mark_event
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import SessionRef, StreamPosition, UnfinishedSession
from isnotai_async._models.validation import check_int
from isnotai_async._streaming.event_fetcher import FindFetcher
from isnotai_async._streaming.options import StreamOptions
from isnotai_async._streaming.progress import StreamProgress
from isnotai_async._streaming.readers import Failure, ReaderPool, StreamItem
from isnotai_async._streaming.tables import BATCH_ROWS, MAX_ROWS, collect_table
from isnotai_async._streaming.tasks import run_behind
from isnotai_async.errors import ConfigError, IsNotAIError


class PageStream:
    """The pages of many sessions; opened with ``async with``, and then an asynchronous iterator.

    Everything it does in the background ends with the block, however that is left. It serves one task at a time, but
    need not be the same task for each page.

    Args:
        sources: The sessions, read one by one: by name, or one source of all names as `ANY`.
        find_fetcher: Finds how a region is asked.
        filters: Which events, of every session.
        options: How to work.
        resume: Where to go on, or None.

    Raises:
        ConfigError: The position to resume from was made with other filters, or in another region.
    """

    def __init__(
        self,
        sources: Mapping[str, AsyncGenerator[SessionRef, None]],
        *,
        find_fetcher: FindFetcher,
        filters: EventFilters,
        options: StreamOptions,
        resume: StreamPosition | None = None,
    ) -> None:
        self._ledger = StreamProgress(filters, sources, resume)
        resumed = tuple(
            self._ledger.reopen(session, find_fetcher(session.name).region)
            for session in (() if resume is None else resume.unfinished)
        )
        self._reading = ReaderPool(sources, find_fetcher, self._ledger, options, resumed)
        self._failures: dict[SessionRef, IsNotAIError] = {}
        self._fresh_failures: dict[SessionRef, IsNotAIError] = {}
        self._arrival: StreamItem | None = None  # the page in hand
        self._rows: Iterator[Event] = iter(())  # its events, or their rows, that are still to be handed out
        self._ahead: deque[StreamItem | None] = deque()  # taken from the buffer for a batch; None is the end
        self._waiting = False
        self._rejected = 0
        self._state = "not open"
        self._block: AbstractAsyncContextManager[Self]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._state}, {self._ledger}, {len(self._failures)} failed>"

    async def __aenter__(self) -> Self:
        block = self._run()
        entered = await block.__aenter__()
        self._block = block  # not before, or a second attempt to open would take the place of the first
        return entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[Self, None]:
        if self._state != "not open":
            raise ConfigError("a stream is opened once; make another, with resume= to go on where this one stands")
        self._state = "open"
        try:
            async with run_behind(self._reading.run()):
                yield self
        finally:
            self._state = "closed"

    def __aiter__(self) -> AsyncIterator[Page[Event]]:
        """Iterate over the pages, from where the stream stands."""
        return self

    async def __anext__(self) -> Page[Event]:
        """Take the next page.

        If it is cancelled, nothing is lost: the page is the next one to be taken.

        Raises:
            IsNotAIError: The first error of a session, with its position; with ``on_error="collect"`` none.
            ConfigError: The stream is not open, or another task is taking a page.
        """
        page = await self._advance()
        if page is None:
            raise StopAsyncIteration
        left = length_hint(self._rows)
        if left == len(rows_of(page)):
            self._rows = iter(())
            return page
        return evolve(page, data=tuple(self._take_records(page)), rejected=())

    async def events(self) -> AsyncGenerator[Event, None]:
        """Iterate over the events instead; errors as of the pages.

        `position` counts them one by one. After a `break`, the next page that is taken has the rest of its events.
        """
        while page := await self._advance():
            for event in self._take_records(page):
                yield event

    async def batches(self, rows: int = BATCH_ROWS) -> AsyncGenerator[Any, None]:  # of pyarrow.RecordBatch
        """Iterate over Arrow record batches instead (extra `arrow`), with the columns of an export.

        `position` stands behind the batch that was given, also within a page. An error comes after the batch of the
        events before it; cancelling loses nothing.

        Args:
            rows: Events in a batch; the last one has fewer. From 1 to 10 million.

        Raises:
            ConfigError: `rows` cannot be, or pyarrow is not installed. Else as of the pages.
        """
        check_int(rows, "rows", 1, MAX_ROWS)
        builder, is_more = BatchBuilder(Event), True
        while is_more:
            is_more = await self._look_ahead(rows)
            self._fill(builder, rows)
            if builder.rows:
                yield builder.take()
        await self._advance()  # raises what ended the stream

    async def to_arrow(self, *, max_rows: int | None = MAX_ROWS) -> Any:  # noqa: ANN401 - a pyarrow.Table, untyped
        """Read all of it into an Arrow table (extra `arrow`); outside of a block it opens and closes the stream.

        The rows of a session are in their order; sessions come as they arrive. If an error ends the stream, there is
        no table, and the rows before it are dropped; `batches` keeps them.

        Args:
            max_rows: Most rows of the table; default 10 million, which take about 1 GB. None for no bound.

        Raises:
            ConfigError: There are more rows, or pyarrow is not installed. Else as of the pages.
        """
        if self._state == "open":
            return await collect_table(self, Event, max_rows)
        async with self:
            return await collect_table(self, Event, max_rows)

    @property
    def position(self) -> StreamPosition:
        """Where the stream stands: behind what was handed out; true at any time, also after the block."""
        self._settle()
        return self._ledger.position

    @property
    def rejected(self) -> int:
        """How many records could not be read, as far as the stream was taken; for ``on_error="collect"``.

        They are in `Page.rejected` of their pages.
        """
        return self._rejected

    @property
    def has_ready(self) -> bool:
        """Whether there is something to take without waiting for an answer; it need not be a page."""
        return bool(self._ahead) or self._reading.buffer.has_ready

    def take_news(self) -> tuple[dict[SessionRef, UnfinishedSession | None], dict[SessionRef, IsNotAIError]]:
        """Return what has changed of `position` and `failures` since the last call; at the first one, all of it.

        Returns:
            Where the sessions stand of which something was handed out, None for those that are through; and the
            errors of those that have failed.
        """
        self._settle()
        failures, self._fresh_failures = self._fresh_failures, {}
        return self._ledger.take_moves(), failures

    def _take_records(self, page: Page[Event]) -> Iterator[Event]:
        """Put records in the place of the rows that are still to be handed out, and return them."""
        left = length_hint(self._rows)
        self._rows = iter(page.data[-left:] if left else ())
        return self._rows

    async def _look_ahead(self, rows: int) -> bool:
        """Take pages from the buffer until there are so many rows, without handing them out; False at the end."""
        self._check()
        self._waiting = True
        try:
            count = length_hint(self._rows) + sum(map(_count_rows, self._ahead))
            while count < rows and (not self._ahead or self._ahead[-1] is not None):
                self._ahead.append(await self._reading.buffer.get())
                count += _count_rows(self._ahead[-1])
            return count >= rows
        finally:
            self._waiting = False

    def _fill(self, builder: BatchBuilder, rows: int) -> None:
        """Hand out up to so many rows of the pages that were taken."""
        while builder.rows < rows:
            page = self._arrival.page if self._arrival else None
            if page is not None and length_hint(self._rows):
                part = tuple(islice(self._rows, rows - builder.rows))
                builder.add(part, region=page.name, session_id=page.session_id)
                continue
            self._settle()
            arrival = self._ahead[0] if self._ahead else None
            if arrival is None:
                return
            self._note(arrival)
            self._ahead.popleft()

    def _check(self) -> None:
        if self._state != "open":
            raise ConfigError(f"this stream is {self._state}; take its pages within: async with … as pages")
        if self._waiting:
            raise ConfigError("another task is taking a page of this stream; let one hand them on to the others")

    async def _advance(self) -> Page[Event] | None:
        """Get to a page with events to hand out; None where the stream ends."""
        self._check()
        self._waiting = True
        try:
            while not length_hint(self._rows):
                self._settle()
                arrival = self._ahead.popleft() if self._ahead else await self._reading.buffer.get()
                if arrival is None:
                    self._end()
                    return None
                self._note(arrival)
                if arrival.page is not None and arrival.page.rejected:
                    self._rejected += len(arrival.page.rejected)
                    break  # it is handed out even if it has nothing else
            return self._arrival.page if self._arrival else None
        finally:
            self._waiting = False

    def _note(self, arrival: StreamItem) -> None:
        if arrival.error is not None:
            _locate(Failure(arrival.error, arrival.work, arrival.window))
            if arrival.target not in self._failures:
                self._failures[arrival.target] = self._fresh_failures[arrival.target] = arrival.error
        self._arrival = arrival
        self._rows = iter(rows_of(arrival.page) if arrival.page else ())

    def _settle(self) -> None:
        """Bring the ledger up to what was handed out of the page in hand."""
        arrival = self._arrival
        if arrival is None or arrival.window is None:
            return
        if arrival.work is not None:
            self._ledger.move(arrival.work)
        left = length_hint(self._rows)  # exact, for the iterator of a tuple
        if left == 0:
            self._arrival = None
            arrival.window.position = arrival.after or arrival.window.position
            if arrival.is_last and arrival.work is not None:
                self._ledger.finish(arrival.work, arrival.window)
        elif arrival.page is not None and arrival.at is not None:
            number = len(rows_of(arrival.page)) - left
            if number:
                arrival.window.position = _behind(arrival.at, arrival.page, number, arrival.places)

    def _end(self) -> None:
        failure = self._reading.failure
        if failure is not None:
            _locate(failure)
            raise failure.error


class EventStream(PageStream):
    """The pages of many sessions of one region; see `PageStream`."""

    @property
    def failures(self) -> Mapping[str, IsNotAIError]:
        """The errors that ended sessions, by session id, as far as the stream was taken; for ``on_error="collect"``.

        `position` has those sessions as unfinished, so resuming tries them again.
        """
        return MappingProxyType({target.session_id: error for target, error in self._failures.items()})


def _behind(at: Position, page: Page[Event], number: int, places: Sequence[int] | None) -> Position:
    """Return the position behind so many records of a page."""
    index = at.index + number if places is None else places[number - 1] + 1
    passed = number + sum(at.index <= record.index < index for record in page.rejected)
    return at.at(at.cursor, index, at.trail.follow(rows_of(page)[:number], mark_event, passed=passed))


def set_aside(stream: PageStream) -> None:
    """Let a stream that is not open yet serve a store: hand out what it cannot read, and never begin a walk again."""
    reading = stream._reading  # noqa: SLF001 - of this module, and no part of the public face
    reading.options = evolve(reading.options, set_aside=True)


def _count_rows(arrival: StreamItem | None) -> int:
    return len(rows_of(arrival.page)) if arrival is not None and arrival.page is not None else 0


def _locate(failure: Failure) -> None:
    """Give an error the place that was handed out, which its walk had left behind already."""
    error = failure.error
    if not isinstance(error, IsNotAIError):
        return
    if failure.window is not None:
        error.position = failure.window.position
    elif failure.work is not None and error.position is None:
        error.position = next(failure.work.positions(), None)
