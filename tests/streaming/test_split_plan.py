"""The plan of a split as a machine: whatever pages and details say, its windows are the session, once."""

from __future__ import annotations

from collections import deque

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async._models.tiers import Tier
from isnotai_async._streaming.options import Split
from isnotai_async._streaming.progress import PendingRange, SessionProgress, TimeWindow
from isnotai_async._streaming.split_plan import PlanStep, SplitPlan
from tests.event_source import NO_COUNTS, at
from tests.examples import scaled
from tests.streaming.test_planning import DETAILS

T0 = 1_781_092_800_000
WHOLE = EventFilters().of("s")


def page(*, has_more: bool = True, tier: Tier | None = Tier.ENTERPRISE, limit: int | None = 100) -> Page[Event]:
    return Page((), "c" if has_more else None, has_more, limit, tier, "us", "s")


def progress(*filters: EventFilters) -> SessionProgress:
    parts = deque[TimeWindow | PendingRange](PendingRange(each.of("s")) for each in filters or (EventFilters(),))
    return SessionProgress(SessionRef("us", "s"), "us", parts)


class SplitPlanMachine(RuleBasedStateMachine):
    """One session that is planned, and whose windows are then taken."""

    @initialize(
        split=st.none() | st.just("auto") | st.integers(1, 50),
        ordered=st.booleans(),
        buffer=st.integers(1, 60),
        size=st.integers(1, 20),
        busy=st.integers(0, 19),
        bounds=st.sampled_from([(None, None), (T0, None), (None, T0 + 9), (T0, T0 + 999), (T0, T0)]),
    )
    def begin(
        self,
        *,
        split: Split,
        ordered: bool,
        buffer: int,
        size: int,
        busy: int,
        bounds: tuple[int | None, int | None],
    ) -> None:
        self.bounds = bounds
        self.work = progress(EventFilters(start_time=bounds[0], end_time=bounds[1]))
        self.plan = SplitPlan(
            split=split,
            ordered=ordered,
            buffer=buffer,
            parts=self.work.waiting,
            size=size,
            free=max(1, size - busy),
        )
        self.asked = list[PlanStep]()
        self.taken = list[tuple[int | None, int | None]]()

    @precondition(lambda self: self.plan.step is PlanStep.FETCH_PAGE)
    @rule(
        has_more=st.booleans(),
        tier=st.none() | st.sampled_from(Tier),
        limit=st.none() | st.integers(-1, 100),
        seconds=st.floats(0, 10),
    )
    def a_page_comes(self, *, has_more: bool, tier: Tier | None, limit: int | None, seconds: float) -> None:
        self.asked.append(self.plan.step)
        self.plan.take_page(page(has_more=has_more, tier=tier, limit=limit), seconds)
        assert has_more or self.plan.step is PlanStep.READ
        assert tier is Tier.ENTERPRISE or self.plan.step is PlanStep.READ

    @precondition(lambda self: self.plan.step is PlanStep.FETCH_DETAILS)
    @rule(details=st.none() | DETAILS, seconds=st.floats(0, 10))
    def details_come(self, *, details: SessionDetails | None, seconds: float) -> None:
        self.asked.append(self.plan.step)
        self.plan.take_details(details, seconds)
        assert self.plan.step is PlanStep.READ
        assert details is not None or not self.work.waiting[0].cuts  # type: ignore[union-attr] # it was not started

    @precondition(lambda self: self.plan.step is PlanStep.READ)
    @rule()
    def take_window(self) -> None:
        window = self.work.take()
        if window is not None:
            self.taken.append((window.query.start_time, window.query.end_time))

    @invariant()
    def a_plan_asks_little_and_stays_within_its_readers(self) -> None:
        if not hasattr(self, "plan"):
            return
        assert self.asked in ([], [PlanStep.FETCH_PAGE], [PlanStep.FETCH_DETAILS], list(PlanStep)[:2])
        assert 1 <= self.plan.readers <= self.plan.size
        if self.plan.split == "auto":
            assert self.plan.readers <= self.plan.free
        assert self.plan.first_page is None or self.plan.readers == 1

    def teardown(self) -> None:
        """Read all: the windows are disjoint, and together the session."""
        if not hasattr(self, "plan"):
            return
        if self.plan.step is PlanStep.FETCH_PAGE:
            self.plan.take_page(page(), 1.0)
        if self.plan.step is PlanStep.FETCH_DETAILS:
            self.plan.take_details(None, 1.0)
        while (window := self.work.take()) is not None:
            self.taken.append((window.query.start_time, window.query.end_time))
        assert (self.taken[0][0], self.taken[-1][1]) == self.bounds
        for (_, end), (start, _) in zip(self.taken, self.taken[1:], strict=False):
            assert end is not None
            assert start == end + 1


SplitPlanMachine.TestCase.settings = settings(max_examples=scaled(75), stateful_step_count=12, deadline=None)
TestSplitPlanMachine = SplitPlanMachine.TestCase


def plan(work: SessionProgress, split: Split, *, size: int = 16, free: int = 16) -> SplitPlan:
    return SplitPlan(split=split, ordered=False, buffer=160, parts=work.waiting, size=size, free=free)


def cuts_of(work: SessionProgress) -> int:
    return sum(len(part.cuts) for part in work.waiting if isinstance(part, PendingRange))


def counts(events: int) -> SessionDetails:
    """Details of a session with so many events, evenly spread over ten seconds."""
    total = evolve(NO_COUNTS, total=events)
    return SessionDetails("s", at(T0), at(T0 + 9_999), 10.0, total, (), ())


@pytest.mark.parametrize(
    ("split", "size", "readers"), [(None, 16, 1), (1, 16, 1), (2, 16, 2), (8, 16, 8), (20, 16, 16)]
)
def test_a_number_is_the_most_readers(split: Split, size: int, readers: int) -> None:
    made = plan(progress(), split, size=size)

    assert made.readers == readers
    assert made.step is (PlanStep.FETCH_DETAILS if readers > 1 else PlanStep.READ)


def test_what_was_started_is_not_cut_and_needs_no_details() -> None:
    work = progress()
    window = work.take()
    assert window is not None
    work.waiting.append(window)
    work.waiting.append(window)

    assert plan(work, 8).step is PlanStep.READ
    made = plan(work, "auto", free=16)
    assert (made.step, made.readers) == (PlanStep.READ, 2)
    assert plan(work, "auto", free=1).readers == 1


def test_each_part_that_was_not_started_is_cut() -> None:
    work = progress(EventFilters(end_time=T0 + 4_999), EventFilters(start_time=T0 + 5_000))
    made = plan(work, 4)
    made.take_details(counts(10_000), 1.0)

    assert [len(part.cuts) for part in work.waiting if isinstance(part, PendingRange)] == [3, 3]


@pytest.mark.parametrize(
    ("events", "round_trip", "free", "readers"),
    [
        (100_000, 0.1, 16, 9),  # 98 requests a second, of 0.1 s each
        (100_000, 0.1, 4, 4),
        (100_000, 1.0, 16, 16),
        (1_200, 0.1, 16, 3),  # four pages each
        (799, 0.1, 16, 1),
    ],
)
def test_auto_reads_as_many_windows_as_quota_readers_and_events_allow(
    events: int, round_trip: float, free: int, readers: int
) -> None:
    work = progress()
    made = plan(work, "auto", free=free)
    made.take_page(page(), round_trip)
    assert made.step is PlanStep.FETCH_DETAILS
    made.take_details(counts(events), round_trip)

    assert made.readers == readers
    assert cuts_of(work) == (readers - 1)
    assert (made.first_page is None) == (readers > 1)


def test_the_shorter_round_trip_counts() -> None:
    made = plan(progress(), "auto")
    made.take_page(page(), 0.1)
    made.take_details(counts(100_000), 0.05)

    assert made.readers == 4


@pytest.mark.parametrize("first", [page(has_more=False), page(tier=Tier.PRO), page(tier=None)])
def test_auto_keeps_the_first_page_if_there_is_nothing_to_split(first: Page[Event]) -> None:
    made = plan(progress(), "auto")
    made.take_page(first, 1.0)

    assert (made.step, made.readers, made.first_page) == (PlanStep.READ, 1, first)


def test_a_quota_that_feeds_one_walk_is_not_split() -> None:
    made = plan(progress(), "auto")
    made.take_page(page(), 0.01)

    assert made.step is PlanStep.READ


def test_without_details_one_walk_goes_on_with_the_first_page() -> None:
    made, first = plan(progress(), "auto"), page()
    made.take_page(first, 1.0)
    made.take_details(None, 1.0)

    assert (made.step, made.readers, made.first_page) == (PlanStep.READ, 1, first)


@pytest.mark.parametrize(
    ("limit", "page_size", "windows"), [(100, None, 16), (50, None, 16), (None, 20, 16), (100, 1_000, 16)]
)
def test_windows_are_no_smaller_than_a_page(limit: int | None, page_size: int | None, windows: int) -> None:
    work = progress(EventFilters(page_size=page_size))
    made = plan(work, "auto")
    made.take_page(page(limit=limit), 1.0)
    made.take_details(counts(100_000), 1.0)

    assert cuts_of(work) + 1 == windows


@pytest.mark.parametrize(("page_size", "windows"), [(1_000, 3), (50, 5), (20, 8)])
def test_a_session_of_few_pages_has_as_few_windows(page_size: int, windows: int) -> None:
    work = progress(EventFilters(page_size=page_size))
    plan_of_few = plan(work, 8)
    plan_of_few.take_details(counts(250), 1.0)

    assert cuts_of(work) + 1 == windows  # pages of the server's 100 at most, whatever is asked for


@pytest.mark.parametrize(("round_trip", "readers"), [(0.0203, 1), (0.0205, 2), (0.0409, 4)])
def test_two_readers_are_worth_a_split(round_trip: float, readers: int) -> None:
    made = plan(progress(), "auto")
    assert made.step is PlanStep.FETCH_PAGE
    made.take_page(page(), round_trip)
    assert made.step is (PlanStep.FETCH_DETAILS if readers > 1 else PlanStep.READ)
    if readers > 1:
        made.take_details(counts(100_000), round_trip)

    assert made.readers == readers


def test_a_session_in_time_order_has_more_and_smaller_windows() -> None:
    work = progress()
    SplitPlan(split=4, ordered=True, buffer=40, parts=work.waiting, size=16, free=16).take_details(
        counts(100_000), 1.0
    )

    assert cuts_of(work) + 1 == 125  # of eight pages each


@pytest.mark.parametrize("bounds", [(T0 + 5_000, None), (None, T0 + 4_999)])
def test_a_session_is_cut_only_where_it_is_asked_for(bounds: tuple[int | None, int | None]) -> None:
    work = progress(EventFilters(start_time=bounds[0], end_time=bounds[1]))
    plan(work, 4).take_details(counts(10_000), 1.0)
    (part,) = work.waiting
    assert isinstance(part, PendingRange)

    assert len(part.cuts) == 3
    assert all((bounds[0] or 0) < at <= (bounds[1] or at) for at in part.cuts)


def test_only_events_that_are_asked_for_count() -> None:
    for filters in (EventFilters(start_time=T0 + 5_000), EventFilters(end_time=T0 + 4_999)):
        work = progress(filters)
        plan(work, 8).take_details(counts(600), 1.0)

        assert cuts_of(work) + 1 == 3  # three pages, half of the session


@pytest.mark.parametrize("limit", [1, -3])
def test_the_servers_page_size_counts_however_small(limit: int) -> None:
    made = plan(progress(), "auto")
    made.take_page(page(limit=limit), 1.0)
    made.take_details(counts(8), 1.0)

    assert made.readers == 2
