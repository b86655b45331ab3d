"""Splitting one session: ask what it holds, and plan who reads which part. The arithmetic is in `planning`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from attrs import frozen

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._notices import logger
from isnotai_async._streaming.options import Split
from isnotai_async._streaming.planning import choose_readers, count_windows, cut, most_readers, spread_events
from isnotai_async._streaming.progress import SessionWork, Span
from isnotai_async.errors import DecodeError, NotFoundError, ServerError

_PAGE_SIZE: Final = 100  # the server's default for events; a plan may be wrong, so it need not know the tier's


class Feed(NamedTuple):
    """How one region is asked.

    Attributes:
        region: Its name.
        fetch_page: Fetches the page of a query at a cursor; None is the first page.
        fetch_details: Fetches the details of a session.
    """

    region: str
    fetch_page: Callable[[EventQuery, str | None], Awaitable[Page[Event]]]
    fetch_details: Callable[[str], Awaitable[SessionDetails]]


class Plan(NamedTuple):
    """How to read a session.

    Attributes:
        readers: How many of its windows to read at once.
        first_page: Its first page, where that was fetched and serves.
    """

    readers: int = 1
    first_page: Page[Event] | None = None


@frozen(kw_only=True, eq=False, repr=False)
class Splitter:
    """Decides how sessions are split.

    Attributes:
        split: Windows to read at once, ``"auto"`` to decide by the session, or None for one walk.
        ordered: Whether windows are handed out in time order.
        buffer: Pages that may wait.
        clock: Seconds, never going back.
    """

    split: Split
    ordered: bool
    buffer: int
    clock: Callable[[], float] = time.monotonic

    async def plan(self, work: SessionWork, feed: Feed, *, size: int, free: int) -> Plan:
        """Cut what is not begun of a session into windows.

        Args:
            work: The session. Its spans get their cuts.
            feed: How its region is asked.
            size: Most readers that there ever are.
            free: Readers that there are now.

        Raises:
            IsNotAIError: As of the client's methods. That there are no details now is noted in the log, and the
                session is read in one walk.
        """
        if self.split == "auto":
            return await self._decide(work, feed, free)
        readers = 1 if self.split is None else min(self.split, size)
        if readers > 1 and any(isinstance(part, Span) for part in work.waiting):
            details = await self._find_details(work, feed)
            if details is not None:
                self._cut(work, details, readers, _PAGE_SIZE)
        return Plan(readers)

    async def _decide(self, work: SessionWork, feed: Feed, free: int) -> Plan:
        """Decide by the first page, which tells the tier and, most often, that there is nothing to split."""
        part = work.waiting[0]
        if len(work.waiting) > 1 or not isinstance(part, Span):
            return Plan(min(len(work.waiting), free))  # it was split before: go on as it was
        begun = self.clock()
        page = await feed.fetch_page(part.query, None)
        round_trip = self.clock() - begun
        if not page.has_more or min(free, most_readers(page.tier, round_trip)) == 1:
            return Plan(1, page)
        begun = self.clock()
        details = await self._find_details(work, feed)
        round_trip = min(round_trip, self.clock() - begun)  # the shorter had less of a wait for the limiter in it
        if details is None:
            return Plan(1, page)
        size, most = max(1, page.limit), min(free, most_readers(page.tier, round_trip))
        stretches = spread_events(details, part.query.start_time, part.query.end_time)
        readers = choose_readers(sum(stretch.events for stretch in stretches), page_size=size, most=most)
        if readers == 1:
            return Plan(1, page)
        self._cut(work, details, readers, size)
        return Plan(readers)  # the page is fetched again, as the first of the first window

    def _cut(self, work: SessionWork, details: SessionDetails, readers: int, page_size: int) -> None:
        for part in work.waiting:
            if isinstance(part, Span):
                stretches = spread_events(details, part.query.start_time, part.query.end_time)
                windows = count_windows(
                    sum(stretch.events for stretch in stretches),
                    page_size=min(part.query.page_size or page_size, page_size),
                    readers=readers,
                    ordered=self.ordered,
                    buffer=self.buffer,
                )
                part.cuts.extend(cut(stretches, windows))

    async def _find_details(self, work: SessionWork, feed: Feed) -> SessionDetails | None:
        session_id = work.target.session_id
        try:
            return await feed.fetch_details(session_id)
        except (NotFoundError, ServerError, DecodeError) as error:
            # If it is the session that is not there, the walk says so.
            logger.info("session %r is read in one walk, because its details are missing: %s", session_id, error)
            return None
