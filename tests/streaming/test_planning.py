"""Planning windows: whatever the details say, the windows cover everything once."""

import math
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._models.records import SessionDetails, TimelineBucket
from isnotai_async._models.tiers import Tier
from isnotai_async._streaming.split_plan import choose_readers, most_readers
from isnotai_async._streaming.windows import Stretch, count_windows, cut, spread_events
from tests.event_source import NO_COUNTS, at, details_of, events

TIMES = st.integers(-(10**12), 4 * 10**12)
BUCKETS = st.builds(TimelineBucket, TIMES.map(at), st.integers(-5, 10**6), st.just("x"), st.just(0.5))
DETAILS = st.builds(
    SessionDetails,
    session_id=st.just("s"),
    start_time=TIMES.map(at),
    end_time=TIMES.map(at),
    duration_seconds=st.just(1.0),
    event_counts=st.integers(-5, 10**6).map(lambda n: evolve(NO_COUNTS, total=n)),
    timeline=st.lists(BUCKETS, max_size=8).map(tuple),
    page_history=st.just(()),
)
BOUNDS = st.one_of(st.none(), TIMES)


@given(details=DETAILS, bounds=st.tuples(BOUNDS, BOUNDS), windows=st.integers(1, 50))
def test_whatever_the_details_say_the_cuts_rise_within_what_is_asked(
    details: SessionDetails, bounds: tuple[int | None, int | None], windows: int
) -> None:
    low, high = bounds
    if low is not None and high is not None and low > high:
        low, high = high, low

    stretches = spread_events(details, low, high)
    cuts = cut(stretches, windows)

    assert len(cuts) < windows
    assert list(cuts) == sorted(set(cuts))
    assert all(low is None or low < instant for instant in cuts)
    assert all(high is None or instant <= high for instant in cuts)
    assert all(a.stop <= b.start for a, b in pairwise(stretches))
    assert all(stretch.start < stretch.stop and stretch.events > 0 for stretch in stretches)


@given(
    stretches=st.lists(st.tuples(st.integers(1, 100), st.integers(100, 10_000), st.integers(1, 1_000)), min_size=1),
    windows=st.integers(2, 20),
)
def test_the_windows_have_about_equal_numbers_of_events(stretches: list[tuple[int, int, int]], windows: int) -> None:
    here, plan = 0, list[Stretch]()
    for gap, width, count in stretches:
        plan.append(Stretch(here + gap, here + gap + width, count))
        here = plan[-1].stop
    cuts = cut(plan, windows)
    share = sum(stretch.events for stretch in plan) / windows
    densest = max(stretch.events / (stretch.stop - stretch.start) for stretch in plan)

    for begin, end in zip([plan[0].start, *cuts], [*cuts, here], strict=True):
        inside = sum(s.events * max(0, min(end, s.stop) - max(begin, s.start)) / (s.stop - s.start) for s in plan)
        assert inside == pytest.approx(share, abs=densest + 1e-6) or len(cuts) + 1 < windows


def test_an_even_session_is_cut_evenly() -> None:
    details = details_of("s", events("s", range(1_000)))

    assert cut(spread_events(details, None, None), 4) == (250, 500, 750)
    assert cut(spread_events(details, 500, None), 2) == (750,)
    assert cut(spread_events(details, 100, 299), 2) == (200,)
    assert cut(spread_events(details, 2_000, None), 2) == ()
    assert cut(spread_events(details, None, None), 1) == ()


def test_a_cut_falls_where_the_events_are_and_not_into_the_gap() -> None:
    details = details_of("s", events("s", [*range(1_000), *range(9_000, 10_000)]), buckets=100)

    (first, second, third) = cut(spread_events(details, None, None), 4)

    assert first == pytest.approx(500, abs=5)
    assert 1_000 <= second <= 9_000
    assert third == pytest.approx(9_500, abs=5)


def test_a_millisecond_with_everything_in_it_is_not_cut() -> None:
    assert cut(spread_events(details_of("s", events("s", [7] * 1_000)), None, None), 8) == ()


def test_without_a_timeline_the_windows_are_equally_long() -> None:
    details = evolve(details_of("s", events("s", range(1_000))), timeline=())

    assert cut(spread_events(details, None, None), 2) == (500,)
    assert spread_events(evolve(details, event_counts=NO_COUNTS), None, None) == ()


def test_unordered_windows_are_as_many_as_readers_but_no_smaller_than_a_page() -> None:
    def count(n: float) -> int:
        return count_windows(n, page_size=100, readers=8, ordered=False, buffer=80)

    assert [count(n) for n in (0, 1, 100, 101, 800, 10**6)] == [1, 1, 1, 2, 8, 8]


@given(events=st.integers(0, 10**7), readers=st.integers(2, 64), buffer=st.integers(1, 1_000))
def test_ordered_windows_are_small_enough_to_be_held_back(events: int, readers: int, buffer: int) -> None:
    windows = count_windows(events, page_size=100, readers=readers, ordered=True, buffer=buffer)
    pages = math.ceil(events / 100)

    assert windows >= 1
    pages_each = max(1, math.ceil(pages / windows))
    assert pages_each <= 8
    assert pages_each == 1 or pages_each * readers <= buffer
    assert pages_each == 1 or windows >= readers


def test_a_split_pays_where_the_quota_feeds_several_walks() -> None:
    assert [most_readers(tier, 10.0) for tier in (Tier.FREE, Tier.PRO, None)] == [1, 1, 1]
    assert [most_readers(Tier.ENTERPRISE, wait) for wait in (0.0, 0.01, 0.05, 0.1, 1.0)] == [1, 1, 4, 9, 98]
    assert [choose_readers(n, page_size=100, most=9) for n in (0, 700, 800, 2_000, 10**6)] == [1, 1, 2, 5, 9]
    assert choose_readers(10**6, page_size=100, most=1) == 1
