"""`EventStream`: pages of many sessions, in order of arrival, in bounded memory, each given once.

Theory of operation:

1. A feeder reads the source of sessions one by one, whenever a reader is free. A pool of readers walks the sessions
   and puts each page into a bounded buffer, from which the consumer takes it. All of this runs in the background of
   the ``async with`` block and ends with it.
2. Each page is put with the position before it and the position after it. The progress changes when the consumer gets
   a page, not when it is fetched, and the end of a session is an item of the same buffer. So the position is correct
   at any moment, and pages in the buffer do not count.
3. The first error stops all readers. The consumer gets the pages that were ready before it, and then the error
   itself, in its own task. An exception of the consumer does not pass through a task group, so it never becomes an
   `ExceptionGroup`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from operator import length_hint
from types import MappingProxyType
from typing import Any, Self

from attrs import evolve

from isnotai_async._arrow import BATCH_ROWS, MAX_ROWS, BatchBuilder, collect_table
from isnotai_async._models.open_state import OpenState
from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position, mark_event
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import SessionRef, StreamPosition, UnfinishedSession
from isnotai_async._models.validation import check_int
from isnotai_async._streaming.options import StreamOptions
from isnotai_async._streaming.progress import StreamProgress
from isnotai_async._streaming.readers import FindFetcher, ReaderPool, StreamItem
from isnotai_async._streaming.tasks import stop
from isnotai_async.errors import ConfigError, IsNotAIError


class PageStream:
    """The pages of many sessions; opened with ``async with``, and then an asynchronous iterator.

    Its background work ends with the block, also after an exception. It serves one task at a time; each page may be
    taken by another task.

    Args:
        sources: The sessions, read one by one: by name, or one source of all names as `ANY`.
        find_fetcher: Returns the fetcher of a region.
        filters: Filters of the events, for every session.
        options: Options of the stream.
        resume: Position to resume from, or None.

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
        self._progress = StreamProgress(filters, sources, resume)
        resumed = tuple(
            self._progress.reopen(session, find_fetcher(session.name).region)
            for session in (() if resume is None else resume.unfinished)
        )
        self._reading = ReaderPool(sources, find_fetcher, self._progress, options, resumed)
        self._failures: dict[SessionRef, IsNotAIError] = {}
        self._fresh_failures: dict[SessionRef, IsNotAIError] = {}
        self._item: StreamItem | None = None  # the page in hand
        self._rows: Iterator[Event] = iter(())  # its events that are still to be handed out
        self._ahead: deque[StreamItem | None] = deque()  # taken from the buffer for a batch; None is the end
        self._waiting = False
        self._rejected = 0
        self._state = OpenState.NOT_OPEN

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._state}, {self._progress}, {len(self._failures)} failed>"

    async def __aenter__(self) -> Self:
        if self._state is not OpenState.NOT_OPEN:
            raise ConfigError("a stream is opened once; make another one, with resume= and this one's position")
        self._state, self._task = OpenState.OPEN, asyncio.create_task(self._reading.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await stop(self._task)
        finally:
            self._state = OpenState.CLOSED

    def __aiter__(self) -> AsyncIterator[Page[Event]]:
        """Iterate over the pages, from the position of the stream."""
        return self

    async def __anext__(self) -> Page[Event]:
        """Return the next page.

        If the call is cancelled, nothing is lost: the next call returns that page.

        Raises:
            IsNotAIError: The first error of a session, with its position; with ``on_error="collect"`` none.
            ConfigError: The stream is not open, or another task is taking a page.
        """
        page = await self._advance()
        if page is None:
            raise StopAsyncIteration
        left = length_hint(self._rows)
        if left == len(page.data):
            self._rows = iter(())
            return page
        return evolve(page, data=tuple(self._take_records(page)), rejected=())

    async def events(self) -> AsyncGenerator[Event, None]:
        """Iterate over the events instead of the pages, with the same errors.

        `position` counts them one by one. After a `break`, the next page that is taken has the rest of its events.

        Example:
            >>> async with client.stream_events(["big-100", "big-200"]) as stream:
            ...     print(len([event async for event in stream.events()]))
            300
        """
        while page := await self._advance():
            for event in self._take_records(page):
                yield event

    async def batches(self, rows: int = BATCH_ROWS) -> AsyncGenerator[Any, None]:  # of pyarrow.RecordBatch
        """Iterate over Arrow record batches instead (extra `arrow`), with the columns of an export.

        `position` is after the batch that was given, also within a page. An error comes after the batch of the events
        before it. If the call is cancelled, nothing is lost.

        Example:
            >>> async with client.stream_events(["big-100", "big-200"]) as stream:
            ...     print([batch.num_rows async for batch in stream.batches(rows=128)])
            [128, 128, 44]

        Args:
            rows: Events in a batch; the last one has fewer. From 1 to 10 million.

        Raises:
            ConfigError: `rows` is invalid, or pyarrow is not installed. Other errors are those of the pages.
        """
        check_int(rows, "rows", 1, MAX_ROWS)
        builder, is_more = BatchBuilder(Event), True
        while is_more:
            is_more = await self._look_ahead(rows)
            self._fill(builder, rows)
            if builder.rows:
                yield builder.take()
        await self._advance()  # raises the error that ended the stream

    async def to_arrow(self, *, max_rows: int | None = MAX_ROWS) -> Any:  # noqa: ANN401 - a pyarrow.Table, untyped
        """Read all of it into an Arrow table (extra `arrow`); outside of a block it opens and closes the stream.

        The rows of a session are in their order; sessions come as they arrive. If an error ends the stream, there is
        no table, and the rows before it are dropped; `batches` keeps them.

        Example:
            >>> table = await client.stream_events(["big-100", "big-200"]).to_arrow()
            >>> table.num_rows
            300

        Args:
            max_rows: Maximum number of rows; default 10 million, which take about 1 GB. None for no bound.

        Raises:
            ConfigError: There are more rows, or pyarrow is not installed. Other errors are those of the pages.
        """
        if self._state is OpenState.OPEN:
            return await collect_table(self, Event, max_rows)
        async with self:
            return await collect_table(self, Event, max_rows)

    @property
    def position(self) -> StreamPosition:
        """Position after the last record that was handed out; correct at any time, also after the block."""
        self._record_given()
        return self._progress.position

    @property
    def rejected(self) -> int:
        """Number of records so far that could not be read; for ``on_error="collect"``.

        They are in `Page.rejected` of their pages.
        """
        return self._rejected

    @property
    def has_ready(self) -> bool:
        """Whether an item can be taken without waiting for an answer; it can be the end of a window."""
        return bool(self._ahead) or self._reading.buffer.has_ready

    def take_news(self) -> tuple[dict[SessionRef, UnfinishedSession | None], dict[SessionRef, IsNotAIError]]:
        """Return the changes of `position` and `failures` since the last call; the first call returns all.

        Returns:
            The sessions with new records that were handed out, each with its position, or None if it is finished; and
            the errors of the sessions that have failed.
        """
        self._record_given()
        failures, self._fresh_failures = self._fresh_failures, {}
        return self._progress.take_moves(), failures

    def _take_records(self, page: Page[Event]) -> Iterator[Event]:
        """Replace the rows that are still to be handed out with records, and return them."""
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
        """Hand out up to `rows` rows of the pages that were taken."""
        while builder.rows < rows:
            page = self._item.page if self._item else None
            if page is not None and length_hint(self._rows):
                part = tuple(islice(self._rows, rows - builder.rows))
                builder.add(part, region=page.name, session_id=page.session_id)
                continue
            self._record_given()
            item = self._ahead[0] if self._ahead else None
            if item is None:
                return
            self._note(item)
            self._ahead.popleft()

    def _check(self) -> None:
        if self._state is not OpenState.OPEN:
            raise ConfigError(f"this stream is {self._state}; take its pages within: async with … as pages")
        if self._waiting:
            raise ConfigError("another task is taking a page of this stream; let one task pass them to the others")

    async def _advance(self) -> Page[Event] | None:
        """Move to a page with events to hand out; return None at the end of the stream."""
        self._check()
        self._waiting = True
        try:
            while not length_hint(self._rows):
                self._record_given()
                item = self._ahead.popleft() if self._ahead else await self._reading.buffer.get()
                if item is None:
                    self._end()
                    return None
                self._note(item)
                page = self._item.page if self._item else None
                if page is not None and page.rejected:
                    self._rejected += len(page.rejected)
                    break  # it is handed out even if it has nothing else
            return self._item.page if self._item else None
        finally:
            self._waiting = False

    def _note(self, item: StreamItem) -> None:
        if self._reading.options.ordered and item.error is None and item.target in self._failures:
            # Of a later window than the one that failed. It is left for a stream that resumes, to come in order then.
            item = StreamItem(target=item.target)
        if isinstance(item.error, IsNotAIError):
            _locate(item.error, item)
            if item.target not in self._failures:
                self._failures[item.target] = self._fresh_failures[item.target] = item.error
        self._item = item
        self._rows = iter(item.page.data if item.page else ())

    def _record_given(self) -> None:
        """Update the progress with the records of the current page that were handed out."""
        item = self._item
        if item is None or item.window is None:
            return
        if item.work is not None:
            self._progress.move(item.work)
        left = length_hint(self._rows)  # exact, for the iterator of a tuple
        if left == 0:
            self._item = None
            item.window.position = item.after or item.window.position
            if item.is_last and item.work is not None:
                self._progress.finish(item.work, item.window)
        elif item.page is not None and item.at is not None:
            number = len(item.page.data) - left
            if number:
                item.window.position = _behind(item.at, item.page, number, item.places)

    def _end(self) -> None:
        failure = self._reading.failure
        if failure is not None and failure.error is not None:
            if isinstance(failure.error, IsNotAIError):
                _locate(failure.error, failure)
            raise failure.error


class EventStream(PageStream):
    """The pages of many sessions of one region; see `PageStream`.

    Example:
        >>> async with client.stream_events(["big-100", "no-such-session"], on_error="collect") as stream:
        ...     print([len(page.data) async for page in stream])
        [100]
        >>> stream.failures["no-such-session"].status
        404
    """

    @property
    def failures(self) -> Mapping[str, IsNotAIError]:
        """The errors that ended sessions so far, by session id; for ``on_error="collect"``.

        `position` has those sessions as unfinished, so a resumed stream tries them again.
        """
        return MappingProxyType({target.session_id: error for target, error in self._failures.items()})


def _behind(at: Position, page: Page[Event], number: int, places: Sequence[int] | None) -> Position:
    """Return the position after a number of records of a page."""
    index = at.index + number if places is None else places[number - 1] + 1
    passed = number + sum(at.index <= record.index < index for record in page.rejected)
    return at.at(at.cursor, index, at.trail.follow(page.data[:number], mark_event, passed=passed))


def set_aside(stream: PageStream) -> None:
    """Prepare a stream for a store, before it is opened: it hands out unreadable records and restarts no walk."""
    reading = stream._reading  # noqa: SLF001 - of this module, and no part of the public face
    reading.options = evolve(reading.options, set_aside=True)


def _count_rows(item: StreamItem | None) -> int:
    return len(item.page.data) if item is not None and item.page is not None else 0


def _locate(error: IsNotAIError, failure: StreamItem) -> None:
    """Set the position of an error to the last record that was handed out; the walk itself was ahead of it."""
    if failure.window is not None:
        error.position = failure.window.position
    elif failure.work is not None and error.position is None:
        error.position = next(failure.work.positions(), None)
