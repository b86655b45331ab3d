"""The numbers behind a session's picture: they add up, whatever the times are."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async import Event, EventCounts, Session, SessionDetails, TimelineBucket
from isnotai_async._cli.session_summary import (
    MOST_SERIES,
    PAUSE_MS,
    EventTimes,
    SessionSummary,
    Source,
    add_events,
    summarize_events,
    summarize_timeline,
)

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
SESSION = Session(id="s1", created_at=NOON, updated_at=NOON, status="closed", detection_flags=())
INT64 = st.integers(-(2**63), 2**63 - 1)
NEAR = st.integers(0, 200_000)

events = st.lists(st.tuples(st.sampled_from(["move", "key", "click"]), NEAR | INT64), max_size=60)


def summarize(marks: list[tuple[str, int]], columns: int = 40) -> SessionSummary:
    times = EventTimes()
    add_events(times, (Event(str(at), 1, name, time_ms, 0) for at, (name, time_ms) in enumerate(marks)))
    return summarize_events(SESSION, None, times, columns=columns)


@given(events, st.integers(1, 300))
def test_each_event_counts_in_exactly_one_column_of_its_type(marks: list[tuple[str, int]], columns: int) -> None:
    summary = summarize(marks, columns)

    assert {each.name: each.total for each in summary.series} == Counter(name for name, _ in marks)
    assert all(each.total == sum(each.columns) for each in summary.series)
    assert summary.total == sum(summary.everything.columns) == len(marks)
    assert len(summary.everything.columns) <= columns
    if marks:
        assert summary.everything.columns == tuple(
            map(sum, zip(*(each.columns for each in summary.series), strict=True))
        )


@given(events)
def test_bursts_and_pauses_cover_the_session(marks: list[tuple[str, int]]) -> None:
    summary = summarize(marks)
    if not marks:
        assert (summary.bursts, summary.pauses, summary.busiest) == (None, None, None)
        return

    times = [time_ms for _, time_ms in marks]
    assert summary.bursts is not None
    assert summary.pauses is not None
    assert summary.bursts.length_ms + summary.pauses.length_ms == max(times) - min(times)
    assert summary.bursts.count == summary.pauses.count + 1
    assert all(pause.length_ms >= PAUSE_MS for pause in summary.pauses.largest)


@given(events.filter(len))
def test_the_busiest_minute_has_the_most_events_of_all_minutes(marks: list[tuple[str, int]]) -> None:
    times = [time_ms for _, time_ms in marks]
    busiest = summarize(marks).busiest

    assert busiest is not None
    most = max(sum(start <= time_ms < start + 60_000 for time_ms in times) for start in times)
    assert busiest.events == most
    assert sum(busiest.start_ms <= time_ms < busiest.end_ms for time_ms in times) == most


def test_rare_types_share_a_row() -> None:
    summary = summarize([(f"type-{number:02d}", number) for number in range(100) for _ in range(1 + (number < 30))])

    assert len(summary.series) == MOST_SERIES
    assert summary.series[-1].name == "(81 other types)"
    assert sum(each.total for each in summary.series) == 130


def test_two_stretches_of_a_timeline_may_start_at_the_same_time() -> None:
    buckets = tuple(TimelineBucket(NOON, count, "move", 0.5) for count in (3, 4))
    details = SessionDetails("s1", NOON, NOON, 1, EventCounts(7, 0, 0, 0, 0, 0), buckets, ())
    summary = summarize_timeline(SESSION, details, columns=41)

    assert [(each.name, each.columns) for each in summary.series] == [("mostly move", (7,))]


def test_a_timeline_is_cut_between_its_stretches() -> None:
    buckets = tuple(
        TimelineBucket(NOON + timedelta(seconds=10 * at), 5, "key" if at % 2 else "move", 0.5) for at in range(100)
    )
    details = SessionDetails(
        session_id="s1",
        start_time=NOON,
        end_time=NOON,
        duration_seconds=1_000,
        event_counts=EventCounts(600, 0, 0, 0, 0, 0),
        timeline=buckets,
        page_history=(),
    )
    summary = summarize_timeline(SESSION, details, columns=41)

    assert summary.source is Source.TIMELINE
    assert summary.total == 600
    assert summary.column_ms == 30_000
    assert set(summary.everything.columns[:-1]) == {15}, "columns of unequal width make waves that are not there"
    assert [(each.name, each.total) for each in summary.series] == [("mostly key", 250), ("mostly move", 250)]
    assert summary.pauses is None
    assert summarize_timeline(SESSION, evolve(details, timeline=()), columns=41).everything.columns == ()
