"""`SplitPlan`: how one session is read, in one walk or in windows at the same time; a machine without a loop.

The rules:

1. Without a split, one walk reads a session. With a number, at most so many windows of it are read at the same time.
2. ``"auto"`` decides by the first page, which shows the tier and, most often, that there is nothing to split; then by
   the details. A session that was split before stays as it was.
3. Only what was not started is cut. Without details nothing is, and one walk reads the session.
4. A split costs a request to plan, and half a page for each window. So with ``"auto"`` only a key whose quota feeds
   more than one walk is worth it, and only so many windows as have `_LEAST_PAGES` pages each.

The transitions, by `step`:

- ``FETCH_PAGE`` (only ``"auto"``): the first page at `query` is wanted. `take_page` leads to ``READ`` if there is
  nothing to split, else to ``FETCH_DETAILS``.
- ``FETCH_DETAILS``: `take_details` takes them, or None if they are missing, and leads to ``READ``.
- ``READ``: the end. `readers` walks read the session; `first_page` is its first page if it was fetched and serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from attrs import define, field

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._models.tiers import UTILISATION, Tier
from isnotai_async._streaming.options import Split
from isnotai_async._streaming.progress import PendingRange, TimeWindow
from isnotai_async._streaming.windows import count_windows, cut, spread_events

_LEAST_PAGES: Final = 4  # below that, windows cost more requests than the time they save is worth
_PAGE_SIZE: Final = 100  # the server's default for events; a plan may be wrong, so it need not know the tier's


class PlanStep(Enum):
    """What a plan needs next."""

    FETCH_PAGE = auto()
    FETCH_DETAILS = auto()
    READ = auto()


@define(kw_only=True, eq=False, repr=False)
class SplitPlan:
    """The plan of one session.

    Attributes:
        split: Windows to read at the same time, ``"auto"`` to decide by the session, or None for one walk.
        ordered: Whether windows are handed out in time order.
        buffer: Pages that may wait.
        parts: The parts of the session that are not read yet. Those that were not started get their cuts.
        size: Most readers that there ever are.
        free: Readers that there are now.
        step: What the plan needs next.
        readers: How many windows to read at the same time.
        first_page: The first page of the session.
    """

    split: Split
    ordered: bool
    buffer: int
    parts: Sequence[TimeWindow | PendingRange]
    size: int
    free: int
    step: PlanStep = field(default=PlanStep.READ, init=False)
    readers: int = field(default=1, init=False)
    first_page: Page[Event] | None = field(default=None, init=False)
    _round_trip: float = field(default=0.0, init=False)  # seconds of a request

    def __attrs_post_init__(self) -> None:
        pending = [part for part in self.parts if isinstance(part, PendingRange)]
        if self.split is None:
            return
        if self.split != "auto":
            self.readers = min(self.split, self.size)
            if self.readers > 1 and pending:
                self.step = PlanStep.FETCH_DETAILS
        elif len(self.parts) == len(pending) == 1:
            self.step = PlanStep.FETCH_PAGE
        else:
            self.readers = min(len(self.parts), self.free)

    @property
    def query(self) -> EventQuery:
        """The query of the first part."""
        return self.parts[0].query

    def take_page(self, page: Page[Event], seconds: float) -> None:
        """Take the first page.

        Args:
            page: The page.
            seconds: How long the request took.
        """
        self.first_page, self._round_trip = page, seconds
        is_worth_it = page.has_more and min(self.free, most_readers(page.tier, seconds)) > 1
        self.step = PlanStep.FETCH_DETAILS if is_worth_it else PlanStep.READ

    def take_details(self, details: SessionDetails | None, seconds: float) -> None:
        """Take the details, and cut the session by them.

        Args:
            details: The details; None if there are none now.
            seconds: How long the request took.
        """
        self.step = PlanStep.READ
        if details is None:
            return
        page_size = _PAGE_SIZE
        if self.first_page is not None:
            page_size = max(1, self.first_page.limit or _PAGE_SIZE)
            # The shorter of the two had less of a wait for the limiter in it.
            most = most_readers(self.first_page.tier, min(self._round_trip, seconds))
            events = _count_events(details, self.query)
            self.readers = choose_readers(events, page_size=page_size, most=min(self.free, most))
            if self.readers == 1:
                return
            self.first_page = None  # it is fetched again, as the first of the first window
        for part in self.parts:
            if isinstance(part, PendingRange):
                self._cut(part, details, page_size)

    def _cut(self, part: PendingRange, details: SessionDetails, page_size: int) -> None:
        windows = count_windows(
            _count_events(details, part.query),
            page_size=min(part.query.page_size or page_size, page_size),
            readers=self.readers,
            ordered=self.ordered,
            buffer=self.buffer,
        )
        part.cuts.extend(cut(spread_events(details, part.query.start_time, part.query.end_time), windows))


def _count_events(details: SessionDetails, query: EventQuery) -> float:
    return sum(stretch.events for stretch in spread_events(details, query.start_time, query.end_time))


def most_readers(tier: Tier | None, round_trip: float) -> int:
    """Return how many walks at the same time a key's quota feeds, at least 1.

    One walk makes a request each round trip, and many walks no more than the quota allows: on the enterprise tier
    100 a second, so ten at a round trip of 100 ms, and one at 10 ms. On the other tiers (1 and 10 a second) one walk
    uses the quota up, and a split only costs: a request to plan, and half a page for each window.

    Args:
        tier: Tier of the key, or None if it is not known.
        round_trip: Seconds a request takes.
    """
    if tier is not Tier.ENTERPRISE:
        return 1
    return max(1, int(UTILISATION * tier.requests_per_minute / 60 * round_trip))


def choose_readers(events: float, *, page_size: int, most: int) -> int:
    """Decide how many windows of a session to read at once; 1 is one walk.

    Args:
        events: How many events are expected.
        page_size: Events a page.
        most: Readers that there are, and that the quota feeds.
    """
    return max(1, min(most, int(events / page_size / _LEAST_PAGES)))
