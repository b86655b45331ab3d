"""The edge's window, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async.sandbox.rate_limit import ApproximateCounter, ExactLog, RequestCounter

GAPS = st.lists(st.floats(0, 15, allow_nan=False), max_size=60)


def test_the_log_admits_the_limit_and_then_says_when_the_oldest_leaves() -> None:
    log = ExactLog(60.0)

    assert [log.accept(3, now) for now in (0.0, 10.0, 20.0)] == [None, None, None]
    assert log.accept(3, 25.0) == pytest.approx(35.0)
    assert log.accept(3, 59.999) is not None
    assert log.accept(3, 60.0) is None


@given(GAPS)
def test_the_log_never_holds_more_than_the_limit_in_any_window(gaps: list[float]) -> None:
    log, now, admitted = ExactLog(30.0), 0.0, []
    for gap in gaps:
        now += gap
        if log.accept(4, now) is None:
            admitted.append(now)

    for end in admitted:
        assert sum(end - 30.0 < at <= end for at in admitted) <= 4


@given(GAPS, st.sampled_from([ExactLog, ApproximateCounter]))
def test_who_waits_as_long_as_told_is_admitted(gaps: list[float], kind: type[ExactLog]) -> None:
    window: RequestCounter = kind(30.0)
    now = 0.0
    for gap in gaps:
        now += gap
        if (wait := window.accept(4, now)) is not None:
            assert wait >= 0
            now += wait + 0.001
            assert window.accept(4, now) is None


def test_refused_requests_fill_the_window_only_when_asked_to() -> None:
    lenient, harsh = ExactLog(60.0), ExactLog(60.0, count_rejected=True)
    for window in (lenient, harsh):
        window.accept(1, 0.0)
        window.accept(1, 50.0)

    assert lenient.accept(1, 61.0) is None
    assert harsh.accept(1, 61.0) == pytest.approx(60.0)


def test_the_history_outlives_a_change_of_the_limit() -> None:
    log = ExactLog(60.0)
    for now in range(10):
        log.accept(10, float(now))

    assert log.accept(5, 10.0) == pytest.approx(55.0)
    assert log.accept(11, 10.0) is None


def test_the_approximate_counter_takes_the_past_for_evenly_spread() -> None:
    counter = ApproximateCounter(60.0)
    for _ in range(10):
        counter.accept(10, 59.0)

    # A log would have forgotten nothing and refuse until 119; the counter lets a quarter in after a quarter.
    assert counter.accept(10, 60.0) is not None
    assert [counter.accept(10, 75.0) is None for _ in range(4)] == [True, True, True, False]


def test_the_approximate_counter_refuses_a_burst_that_the_log_allows() -> None:
    counter, log = ApproximateCounter(60.0), ExactLog(60.0)
    for window in (counter, log):
        for _ in range(10):
            window.accept(10, 0.0)

    assert log.accept(10, 60.0) is None
    assert counter.accept(10, 60.0) is not None


def test_the_approximate_counter_forgets_all_after_a_quiet_window() -> None:
    counter = ApproximateCounter(60.0)
    for _ in range(10):
        counter.accept(10, 0.0)

    assert [counter.accept(10, 125.0) for _ in range(10)] == [None] * 10


def test_even_pacing_at_98_percent_is_never_refused_by_the_approximate_counter() -> None:
    # The client's pacing rests on this promise.
    counter = ApproximateCounter(60.0)

    assert all(counter.accept(60, 7.7 + number * 60 / (0.98 * 60)) is None for number in range(600))


def test_refused_requests_fill_the_approximate_counter_when_asked_to() -> None:
    counter = ApproximateCounter(60.0, count_rejected=True)
    waits = [counter.accept(2, 0.0) for _ in range(8)]

    assert waits[2] == pytest.approx(60.0 + 60.0 / 3)
    assert waits[7] == pytest.approx(60.0 + 60.0 * 6 / 8)
