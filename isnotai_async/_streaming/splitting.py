"""Splits one session into disjoint time windows that are read at the same time.

Planning how one session is cut into windows of time, to be read side by side.

The rules:

1. A window is a stretch of whole milliseconds, inclusive at both ends, as the API's own bounds are. Windows are
   told by their cuts: each cut ends one window at the millisecond before it and begins the next. So they are
   disjoint and leave nothing out, events of the same millisecond stay together, and the first and the last window
   are as open as the query is. Reading all of them gives what one walk gives, however wrong the plan was.
2. The plan follows the session's timeline: every bucket's events are taken to be spread evenly over it. The API
   does not promise that these counts are those of the listed events, so a plan can be slow, and never wrong.
3. How wide a bucket is is not documented either. It is taken to reach to the next one, but no further than the
   median distance of two, because buckets without events may have been left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil, inf
from typing import Final, NamedTuple

from attrs import frozen

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._models.tiers import Tier
from isnotai_async._notices import logger
from isnotai_async._streaming.options import Split
from isnotai_async._streaming.progress import PendingRange, SessionProgress
from isnotai_async.errors import DecodeError, NotFoundError, ServerError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_ROUNDS: Final = 4  # windows for each reader, so that a slow one delays a quarter of its share and no more
_MOST_PAGES: Final = 8  # the last page of a window is half empty on average: a sixteenth more requests
_LEAST_PAGES: Final = 4  # below that, windows cost more requests than the time they save is worth
_UTILISATION: Final = 0.98  # of the quota, as the limiter has it


class Stretch(NamedTuple):
    """Events that are taken to be spread evenly.

    Attributes:
        start: Unix milliseconds of the first.
        stop: The millisecond behind the last.
        events: How many.
    """

    start: int
    stop: int
    events: float


def spread_events(details: SessionDetails, start_time: int | None, end_time: int | None) -> tuple[Stretch, ...]:
    """Tell where the events of a session lie, as far as its details say.

    Args:
        details: The session's details, which may contradict themselves or lack anything.
        start_time: Earliest timestamp asked for, inclusive, in Unix milliseconds; None for no bound.
        end_time: Latest timestamp asked for, likewise.

    Returns:
        Stretches in time order that do not overlap; none where no events are known of.
    """
    counts = Counter[int]()
    for bucket in details.timeline:
        if bucket.timestamp is not None:
            counts[_milliseconds(bucket.timestamp)] += max(0, bucket.event_count or 0)
    end = None if details.end_time is None else _milliseconds(details.end_time) + 1
    stretches: Iterator[Stretch] = iter(())
    if counts.total():
        last = max(counts)
        stretches = _stretches(sorted(counts.items()), last + 1 if end is None else end)
    elif details.start_time is not None and end is not None and details.event_counts is not None:
        begin = _milliseconds(details.start_time)
        stretches = iter([Stretch(begin, max(begin + 1, end), max(0, details.event_counts.total or 0))])
    low, high = -inf if start_time is None else start_time, inf if end_time is None else end_time
    return tuple(_clip(stretches, low, high))


def _stretches(counts: Sequence[tuple[int, int]], end: int) -> Iterator[Stretch]:
    gaps = [after - before for (before, _), (after, _) in pairwise(counts)]
    last = counts[-1][0]
    width = sorted(gaps)[(len(gaps) - 1) // 2] if gaps else max(1, end - last)  # the lower median
    for (start, events), after in zip(counts, [*(start for start, _ in counts[1:]), last + width], strict=True):
        yield Stretch(start, min(after, start + width), events)


def _clip(stretches: Iterable[Stretch], low: float, high: float) -> Iterator[Stretch]:
    for start, stop, events in stretches:
        inside = Stretch(int(max(start, low)), int(min(stop, high + 1)), events)
        share = (inside.stop - inside.start) / (stop - start)
        if share > 0 and events:
            yield inside._replace(events=events * share)


def cut(stretches: Sequence[Stretch], windows: int) -> tuple[int, ...]:
    """Cut a session into windows of about equal numbers of events.

    Args:
        stretches: Where its events lie.
        windows: How many windows; there will be fewer where a millisecond has too many events.

    Returns:
        The Unix milliseconds at which each window but the first begins, rising, and within the stretches.
    """
    if windows < 2 or not stretches:
        return ()
    share = sum(stretch.events for stretch in stretches) / windows
    cuts: list[int] = []
    passed, last = 0.0, stretches[0].start  # nothing is known to lie before it, so no window ends there
    for start, stop, events in stretches:
        while len(cuts) < windows - 1 and (wanted := share * (len(cuts) + 1)) <= passed + events:
            at = min(stop, start + round((wanted - passed) / events * (stop - start)))
            cuts.append(max(last, at))
            last = cuts[-1]
        passed += events
    begin, end = stretches[0].start, stretches[-1].stop
    return tuple(dict.fromkeys(at for at in cuts if begin < at < end))


def count_windows(events: float, *, page_size: int, readers: int, ordered: bool, buffer: int) -> int:
    """Tell how many windows a session is worth.

    Unordered, one for each reader, and none smaller than a page. Ordered, more and smaller ones: while the first is
    handed out, the others are held back in a buffer, so as many windows as there are readers have to fit into it.

    Args:
        events: How many events are expected.
        page_size: Events a page.
        readers: How many windows are read at once.
        ordered: Whether the windows are handed out in time order.
        buffer: Pages that may be held.
    """
    pages = max(1, ceil(events / page_size))
    if not ordered:
        return min(readers, pages)
    pages_each = min(_MOST_PAGES, max(1, buffer // readers), -(-pages // (_ROUNDS * readers)))
    return -(-pages // pages_each)


def most_readers(tier: Tier | None, round_trip: float) -> int:
    """Tell how many walks at once a key's quota feeds, at least 1.

    One walk makes a request each round trip, and many walks no more than the quota allows: on the enterprise tier
    100 a second, so ten at a round trip of 100 ms, and one at 10 ms. On the other tiers (1 and 10 a second) one walk
    uses the quota up, and a split only costs: a request to plan, and half a page for each window.

    Args:
        tier: Tier of the key, or None where it is not known.
        round_trip: Seconds a request takes.
    """
    if tier is not Tier.ENTERPRISE:
        return 1
    return max(1, int(_UTILISATION * tier.requests_per_minute / 60 * round_trip))


def choose_readers(events: float, *, page_size: int, most: int) -> int:
    """Decide how many windows of a session to read at once; 1 is one walk.

    Args:
        events: How many events are expected.
        page_size: Events a page.
        most: Readers that there are, and that the quota feeds.
    """
    return max(1, min(most, int(events / page_size / _LEAST_PAGES)))


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND


_PAGE_SIZE: Final = 100  # the server's default for events; a plan may be wrong, so it need not know the tier's


class EventFetcher(NamedTuple):
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
    clock: Callable[[], float]

    async def plan(self, work: SessionProgress, feed: EventFetcher, *, size: int, free: int) -> Plan:
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
        if readers > 1 and any(isinstance(part, PendingRange) for part in work.waiting):
            details = await self._find_details(work, feed)
            if details is not None:
                self._cut(work, details, readers, _PAGE_SIZE)
        return Plan(readers)

    async def _decide(self, work: SessionProgress, feed: EventFetcher, free: int) -> Plan:
        """Decide by the first page, which tells the tier and, most often, that there is nothing to split."""
        part = work.waiting[0]
        if len(work.waiting) > 1 or not isinstance(part, PendingRange):
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
        size, most = max(1, page.limit or _PAGE_SIZE), min(free, most_readers(page.tier, round_trip))
        stretches = spread_events(details, part.query.start_time, part.query.end_time)
        readers = choose_readers(sum(stretch.events for stretch in stretches), page_size=size, most=most)
        if readers == 1:
            return Plan(1, page)
        self._cut(work, details, readers, size)
        return Plan(readers)  # the page is fetched again, as the first of the first window

    def _cut(self, work: SessionProgress, details: SessionDetails, readers: int, page_size: int) -> None:
        for part in work.waiting:
            if isinstance(part, PendingRange):
                stretches = spread_events(details, part.query.start_time, part.query.end_time)
                windows = count_windows(
                    sum(stretch.events for stretch in stretches),
                    page_size=min(part.query.page_size or page_size, page_size),
                    readers=readers,
                    ordered=self.ordered,
                    buffer=self.buffer,
                )
                part.cuts.extend(cut(stretches, windows))

    async def _find_details(self, work: SessionProgress, feed: EventFetcher) -> SessionDetails | None:
        session_id = work.target.session_id
        try:
            return await feed.fetch_details(session_id)
        except (NotFoundError, ServerError, DecodeError) as error:
            # If it is the session that is not there, the walk says so.
            logger.info("session %r is read in one walk, because its details are missing: %s", session_id, error)
            return None
