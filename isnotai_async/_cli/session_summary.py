"""What happened in one session, as numbers: the summary that both pictures, text and HTML, are drawn from.

Pure: records in, a frozen `SessionSummary` out. The rules:

1. Time is cut into columns of equal width, and each event counts in exactly one. So the columns of all event types
   add up to the number of events, and the two pictures, the tables and an export agree.
2. A pause is a gap of at least `PAUSE_MS` without an event. A burst is the time between two pauses.
3. The busiest minute is the 60 s with the most events. It can start at any event.
4. If the events were not read, the columns are drawn from the timeline of the session's details. It has no times of
   single events, so there are no bursts, no pauses and no busiest minute, but a busiest stretch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from itertools import chain, pairwise
from operator import itemgetter
from typing import Final

from attrs import evolve, frozen

from isnotai_async._models.records import Event, Session, SessionDetails, TimelineBucket
from isnotai_async._models.times import to_milliseconds

PAUSE_MS: Final = 5_000
MOST_SERIES: Final = 20
"""Event types with a row of their own; the rarest others share one."""

_MINUTE_MS: Final = 60_000
_LARGEST: Final = 5

EventTimes = dict[str, "array[int]"]
"""Unix milliseconds of the events of each type, by its name: nine bytes an event."""
Weights = Sequence[tuple[int, int]]
"""Unix milliseconds, and how many events are there."""


class Source(Enum):
    """The source of the counts: the events, or the timeline of the details."""

    EVENTS = auto()
    FIRST_EVENTS = auto()
    TIMELINE = auto()


@frozen
class ActivityStretch:
    """A stretch of time, in Unix milliseconds, with the number of events in it."""

    start_ms: int
    end_ms: int
    events: int

    @property
    def length_ms(self) -> int:
        """Its length in milliseconds."""
        return self.end_ms - self.start_ms


@frozen
class Runs:
    """All bursts of a session, or all pauses.

    Attributes:
        count: How many there are.
        length_ms: Their length together, in milliseconds.
        largest: The largest five: bursts by events, pauses by length.
    """

    count: int
    length_ms: int
    largest: tuple[ActivityStretch, ...]


@frozen
class Series:
    """The events of one type in each column of time. The name is as the API sent it."""

    name: str
    columns: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of its events."""
        return sum(self.columns)


@frozen(kw_only=True)
class SessionSummary:
    """What happened in one session.

    Attributes:
        session: The session.
        details: Its details; None if the API could not compute them.
        source: The source of the counts.
        total: Number of events: those read, or those that the details report.
        start_ms: Unix milliseconds at which the first column starts; None if nothing has a time.
        end_ms: Unix milliseconds of the last event, or the end of the last stretch of the timeline.
        column_ms: Width of a column in milliseconds.
        series: One for each event type, the most frequent first. From a timeline: all events of the stretches in
            which the type is the most frequent.
        openings: Pages opened in each column.
        bursts: The times between the pauses; None if unknown.
        pauses: Gaps without an event; None if unknown.
        busiest: The busiest minute, or the busiest stretch of a timeline; None without events.
    """

    session: Session
    details: SessionDetails | None
    source: Source
    total: int
    start_ms: int | None = None
    end_ms: int | None = None
    column_ms: int = 1
    series: tuple[Series, ...] = ()
    openings: tuple[int, ...] = ()
    bursts: Runs | None = None
    pauses: Runs | None = None
    busiest: ActivityStretch | None = None

    @property
    def everything(self) -> Series:
        """All events over time."""
        return _together("all", self.series)


def add_events(times: EventTimes, events: Iterable[Event]) -> None:
    """Add the times of events, in any order."""
    for event in events:
        name = event.event_type_name
        if name is None:
            name = "(no type)" if event.message_id is None else f"0x{event.message_id:02x}"
        times.setdefault(name, array("q")).append(event.timestamp)


def summarize_events(
    session: Session, details: SessionDetails | None, times: EventTimes, *, columns: int, is_cut: bool = False
) -> SessionSummary:
    """Summarize a session from its events, in at most so many columns; `is_cut` if more events follow."""
    source = Source.FIRST_EVENTS if is_cut else Source.EVENTS
    ordered = sorted(chain.from_iterable(times.values()))
    summary = SessionSummary(session=session, details=details, source=source, total=len(ordered))
    if not ordered:
        return summary
    weights = {name: [(time_ms, 1) for time_ms in each] for name, each in times.items()}
    bursts, pauses = _cut_at_pauses(ordered)
    busiest = _find_busiest_minute(ordered)
    return evolve(_divide(summary, weights, most=columns), bursts=bursts, pauses=pauses, busiest=busiest)


def summarize_timeline(session: Session, details: SessionDetails, *, columns: int) -> SessionSummary:
    """Sum up a session from the timeline of its details, without its events, in at most so many columns."""
    summary = SessionSummary(session=session, details=details, source=Source.TIMELINE, total=total_of(details))
    marks = [(to_milliseconds(each.timestamp), each) for each in details.timeline if each.timestamp is not None]
    marks.sort(key=itemgetter(0))  # records have no order
    if not marks:
        return summary
    step = min((after - before for (before, _), (after, _) in pairwise(marks) if after > before), default=1)
    weights = dict[str, list[tuple[int, int]]]()
    for start_ms, bucket in marks:
        name = f"mostly {bucket.dominant_event_type or '(no type)'}"
        weights.setdefault(name, []).append((start_ms, _events_in(bucket)))
    start_ms, bucket = max(marks, key=lambda mark: _events_in(mark[1]))
    busiest = ActivityStretch(start_ms, start_ms + step, _events_in(bucket))
    return evolve(_divide(summary, weights, most=columns, step_ms=step), end_ms=marks[-1][0] + step, busiest=busiest)


def total_of(details: SessionDetails | None) -> int:
    """Return the number of events that the details report; 0 if they do not."""
    counts = None if details is None else details.event_counts
    return 0 if counts is None or counts.total is None else counts.total


def _events_in(bucket: TimelineBucket) -> int:
    return max(0, bucket.event_count or 0)


def _divide(
    summary: SessionSummary, weights: Mapping[str, Weights], *, most: int, step_ms: int = 1
) -> SessionSummary:
    """Cut time into the most columns of equal width that are whole steps wide, and count what is in each."""
    times = [time_ms for each in weights.values() for time_ms, _ in each]
    start_ms, end_ms = min(times), max(times)
    width = -(-((end_ms - start_ms) // step_ms + 1) // most) * step_ms

    def cut(weighted: Weights) -> tuple[int, ...]:
        columns = [0] * ((end_ms - start_ms) // width + 1)
        for time_ms, weight in weighted:
            at = (time_ms - start_ms) // width
            if 0 <= at < len(columns):  # a page may be opened before the first event
                columns[at] += weight
        return tuple(columns)

    visits = () if summary.details is None else summary.details.page_history
    opened = [(to_milliseconds(visit.timestamp), 1) for visit in visits if visit.timestamp is not None]
    return evolve(
        summary,
        start_ms=start_ms,
        end_ms=end_ms,
        column_ms=width,
        series=_most_frequent([Series(name, cut(each)) for name, each in weights.items()]),
        openings=cut(opened),
    )


def _most_frequent(series: Sequence[Series]) -> tuple[Series, ...]:
    ordered = sorted(series, key=lambda each: (-each.total, each.name))
    if len(ordered) <= MOST_SERIES:
        return tuple(ordered)
    shown, rest = ordered[: MOST_SERIES - 1], ordered[MOST_SERIES - 1 :]
    return *shown, _together(f"({len(rest)} other types)", rest)


def _together(name: str, series: Sequence[Series]) -> Series:
    return Series(name, tuple(map(sum, zip(*(each.columns for each in series), strict=True))))


def _cut_at_pauses(ordered: Sequence[int]) -> tuple[Runs, Runs]:
    bursts, pauses, first = list[ActivityStretch](), list[ActivityStretch](), 0
    for index, (before, after) in enumerate(pairwise(ordered), 1):
        if after - before >= PAUSE_MS:
            pauses.append(ActivityStretch(before, after, 0))
            bursts.append(ActivityStretch(ordered[first], before, index - first))
            first = index
    bursts.append(ActivityStretch(ordered[first], ordered[-1], len(ordered) - first))
    return _runs(bursts, [burst.events for burst in bursts]), _runs(pauses, [pause.length_ms for pause in pauses])


def _runs(stretches: Sequence[ActivityStretch], sizes: Sequence[int]) -> Runs:
    by_size = sorted(zip(sizes, stretches, strict=True), key=lambda pair: (-pair[0], pair[1].start_ms))
    largest = tuple(stretch for _, stretch in by_size[:_LARGEST])
    return Runs(len(stretches), sum(stretch.length_ms for stretch in stretches), largest)


def _find_busiest_minute(ordered: Sequence[int]) -> ActivityStretch:
    best, start, end = 0, ordered[0], 0
    for first, start_ms in enumerate(ordered):
        while end < len(ordered) and ordered[end] < start_ms + _MINUTE_MS:
            end += 1
        if end - first > best:
            best, start = end - first, start_ms
    return ActivityStretch(start, start + _MINUTE_MS, best)
