"""`EventStream`: pages of many sessions, in order of arrival, in bounded memory, each given once.

Theory of operation:

1. A feeder reads the source of sessions one by one, each when somebody is free to read it. A crew of readers walks
   them and leaves each page in a bounded buffer, from which the consumer takes it. All of that runs behind the
   ``async with`` block and ends with it.
2. Each page travels with the place it stands at and the place behind it. The ledger moves when the consumer gets a
   page, not when it is fetched, and that a session is done travels through the same buffer. So the position is true
   at any moment, whatever still waits in the buffer.
3. The first error stops all readers. The consumer gets what was ready before it, and then the error itself, in its
   own task; its own exceptions are none of a task group's business and so never come as an `ExceptionGroup`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from operator import length_hint
from types import MappingProxyType, TracebackType
from typing import Self

from attrs import evolve

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position, StreamPosition, Target, Unfinished, mark_event
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event
from isnotai_async._streaming.options import StreamOptions
from isnotai_async._streaming.progress import Ledger
from isnotai_async._streaming.readers import Arrival, Failure, FindFeed, Reading
from isnotai_async._streaming.tasks import run_behind
from isnotai_async.errors import ConfigError, IsNotAIError


class PageStream:
    """The pages of many sessions; opened with ``async with``, and then an asynchronous iterator.

    Everything it does in the background ends with the block, however that is left. It serves one task at a time, but
    need not be the same task for each page.

    Args:
        sources: The sessions, read one by one: by name, or one source of all names as `ANY`.
        find_feed: Finds how a region is asked.
        template: The query of every session, but for its id.
        options: How to work.
        resume: Where to go on, or None.

    Raises:
        ConfigError: The position to resume from was made with other filters, or in another region.
    """

    def __init__(
        self,
        sources: Mapping[str, AsyncGenerator[Target, None]],
        *,
        find_feed: FindFeed,
        template: EventQuery,
        options: StreamOptions,
        resume: StreamPosition | None = None,
    ) -> None:
        self._ledger = Ledger(template, sources, resume)
        resumed = tuple(
            self._ledger.reopen(session, find_feed(session.name).region)
            for session in (() if resume is None else resume.unfinished)
        )
        self._reading = Reading(sources, find_feed, self._ledger, options, resumed)
        self._failures: dict[Target, IsNotAIError] = {}
        self._fresh_failures: dict[Target, IsNotAIError] = {}
        self._arrival: Arrival | None = None  # the page in hand
        self._rows: Iterator[Event] = iter(())  # its events that are still to be handed out
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
        rows = tuple(self._rows)
        return page if len(rows) == len(page.data) else evolve(page, data=rows, rejected=())

    async def events(self) -> AsyncGenerator[Event, None]:
        """Iterate over the events instead; errors as of the pages.

        `position` counts them one by one. After a `break`, the next page that is taken has the rest of its events.
        """
        while await self._advance():
            for event in self._rows:
                yield event

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
        return self._reading.buffer.has_ready

    def take_news(self) -> tuple[dict[Target, Unfinished | None], dict[Target, IsNotAIError]]:
        """Return what has changed of `position` and `failures` since the last call; at the first one, all of it.

        Returns:
            Where the sessions stand of which something was handed out, None for those that are through; and the
            errors of those that have failed.
        """
        self._settle()
        failures, self._fresh_failures = self._fresh_failures, {}
        return self._ledger.take_moves(), failures

    async def _advance(self) -> Page[Event] | None:
        """Get to a page with events to hand out; None where the stream ends."""
        if self._state != "open":
            raise ConfigError(f"this stream is {self._state}; take its pages within: async with … as pages")
        if self._waiting:
            raise ConfigError("another task is taking a page of this stream; let one hand them on to the others")
        self._waiting = True
        try:
            while not length_hint(self._rows):
                self._settle()
                arrival = await self._reading.buffer.get()
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

    def _note(self, arrival: Arrival) -> None:
        if arrival.error is not None:
            _locate(Failure(arrival.error, arrival.work, arrival.window))
            if arrival.target not in self._failures:
                self._failures[arrival.target] = self._fresh_failures[arrival.target] = arrival.error
        self._arrival = arrival
        self._rows = iter(arrival.page.data if arrival.page else ())

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
            number = len(arrival.page.data) - left
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
    return at.at(at.cursor, index, at.trail.follow(page.data[:number], mark_event, passed=passed))


def _locate(failure: Failure) -> None:
    """Give an error the place that was handed out, which its walk had left behind already."""
    error = failure.error
    if not isinstance(error, IsNotAIError):
        return
    if failure.window is not None:
        error.position = failure.window.position
    elif failure.work is not None and error.position is None:
        error.position = next(failure.work.positions(), None)
