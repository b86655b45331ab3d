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
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from itertools import pairwise
from typing import Final

from attrs import define, field, frozen

from isnotai_async._models.records import Event, Session, SessionDetails, TimelineBucket
from isnotai_async._models.times import to_milliseconds

PAUSE_MS: Final = 5_000
MOST_SERIES: Final = 20
"""Event types with a row of their own; the rarest others share one."""

_MINUTE_MS: Final = 60_000
_LARGEST: Final = 5


class Source(Enum):
    """The source of the counts: the events, or the timeline of the details."""

    EVENTS = auto()
    FIRST_EVENTS = auto()
    TIMELINE = auto()


@define(eq=False)
class EventTimes:
    """Times of events by type, nine bytes an event.

    Attributes:
        by_type: Unix milliseconds of the events of each type, by its name.
        count: How many events there are.
    """

    by_type: dict[str, array[int]] = field(factory=dict)
    count: int = 0

    def add(self, events: Iterable[Event]) -> None:
        """Add events, in any order."""
        for event in events:
            name = event.event_type_name
            if name is None:
                name = "(no type)" if event.message_id is None else f"0x{event.message_id:02x}"
            times = self.by_type.get(name)
            if times is None:
                times = self.by_type[name] = array("q")
            times.append(event.timestamp)
            self.count += 1


@frozen
class ActivityStretch:
    """A stretch of time with the number of events in it.

    Attributes:
        start_ms: Unix milliseconds of its beginning.
        end_ms: Unix milliseconds of its end.
        events: Events in it.
    """

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
    """The events of one type over time.

    Attributes:
        name: Name of the type, as the API sent it.
        total: Events of it.
        columns: Events in each column of time.
    """

    name: str
    total: int
    columns: tuple[int, ...]


@frozen(kw_only=True)
class SessionSummary:
    """What happened in one session.

    Attributes:
        session: The session.
        details: Its details; None if the API could not compute them.
        source: The source of the counts: the events, or the timeline of the details.
        total: Number of events: those read, or those that the details report.
        start_ms: Unix milliseconds at which the first column starts; None if nothing has a time.
        end_ms: Unix milliseconds of the last event, or the end of the last stretch of the timeline.
        column_ms: Width of a column in milliseconds.
        everything: All events over time.
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
    everything: Series = Series("all", 0, ())
    series: tuple[Series, ...] = ()
    openings: tuple[int, ...] = ()
    bursts: Runs | None = None
    pauses: Runs | None = None
    busiest: ActivityStretch | None = None

    @property
    def has_all(self) -> bool:
        """Whether a row for all events says more than the rows of the types."""
        return len(self.series) > 1


@frozen
class _Axis:
    """The division of a session's time into columns.

    Attributes:
        start_ms: Unix milliseconds at which the first column starts.
        width_ms: Width of each column, in milliseconds.
        count: How many there are.
    """

    start_ms: int
    width_ms: int
    count: int

    @classmethod
    def over(cls, start_ms: int, end_ms: int, most: int, step_ms: int = 1) -> _Axis:
        """Return the most columns of equal width from start to end, both included, that are whole steps wide."""
        steps = (end_ms - start_ms) // step_ms + 1
        width = -(-steps // most) * step_ms
        return cls(start_ms, width, (end_ms - start_ms) // width + 1)

    def count_in(self, weighted: Iterable[tuple[int, int]]) -> tuple[int, ...]:
        """Add up weights (time, weight) in the columns; times outside of them are left out."""
        columns = [0] * self.count
        for time_ms, weight in weighted:
            at = (time_ms - self.start_ms) // self.width_ms
            if 0 <= at < self.count:
                columns[at] += weight
        return tuple(columns)


def summarize_events(
    session: Session, details: SessionDetails | None, times: EventTimes, *, columns: int, is_cut: bool = False
) -> SessionSummary:
    """Summarize a session from its events.

    Args:
        session: The session.
        details: Its details, or None.
        times: Its events.
        columns: Most columns of time.
        is_cut: Whether more events follow that were not read.
    """
    source = Source.FIRST_EVENTS if is_cut else Source.EVENTS
    ordered = sorted(time_ms for each in times.by_type.values() for time_ms in each)
    if not ordered:
        return SessionSummary(session=session, details=details, source=source, total=0)
    axis = _Axis.over(ordered[0], ordered[-1], columns)
    series = {name: [(time_ms, 1) for time_ms in each] for name, each in times.by_type.items()}
    bursts, pauses = _cut_at_pauses(ordered)
    return SessionSummary(
        session=session,
        details=details,
        source=source,
        total=times.count,
        start_ms=ordered[0],
        end_ms=ordered[-1],
        column_ms=axis.width_ms,
        everything=_series("all", ((time_ms, 1) for time_ms in ordered), axis),
        series=_most_frequent([_series(name, weighted, axis) for name, weighted in series.items()]),
        openings=_count_openings(details, axis),
        bursts=bursts,
        pauses=pauses,
        busiest=_find_busiest_minute(ordered),
    )


def summarize_timeline(session: Session, details: SessionDetails, *, columns: int) -> SessionSummary:
    """Sum up a session from the timeline of its details, without its events.

    Args:
        session: The session.
        details: Its details.
        columns: Most columns of time.
    """
    total = total_of(details)
    marks = sorted(
        (to_milliseconds(bucket.timestamp), bucket) for bucket in details.timeline if bucket.timestamp is not None
    )
    if not marks:
        return SessionSummary(session=session, details=details, source=Source.TIMELINE, total=total)
    starts = [start_ms for start_ms, _ in marks]
    step = min((after - before for before, after in pairwise(starts) if after > before), default=1)
    axis = _Axis.over(starts[0], starts[-1], columns, step)
    by_type: dict[str, list[tuple[int, int]]] = {}
    for start_ms, bucket in marks:
        name = f"mostly {bucket.dominant_event_type or '(no type)'}"
        by_type.setdefault(name, []).append((start_ms, _events_in(bucket)))
    start_ms, busiest = max(marks, key=lambda mark: _events_in(mark[1]))
    return SessionSummary(
        session=session,
        details=details,
        source=Source.TIMELINE,
        total=total,
        start_ms=starts[0],
        end_ms=starts[-1] + step,
        column_ms=axis.width_ms,
        everything=_series("all", ((start_ms, _events_in(bucket)) for start_ms, bucket in marks), axis),
        series=_most_frequent([_series(name, weighted, axis) for name, weighted in by_type.items()]),
        openings=_count_openings(details, axis),
        busiest=ActivityStretch(start_ms, start_ms + step, _events_in(busiest)),
    )


def total_of(details: SessionDetails | None) -> int:
    """Return the number of events that the details report; 0 if they do not."""
    counts = None if details is None else details.event_counts
    return 0 if counts is None or counts.total is None else counts.total


def _events_in(bucket: TimelineBucket) -> int:
    return max(0, bucket.event_count or 0)


def _series(name: str, weighted: Iterable[tuple[int, int]], axis: _Axis) -> Series:
    columns = axis.count_in(weighted)
    return Series(name, sum(columns), columns)


def _most_frequent(series: Sequence[Series]) -> tuple[Series, ...]:
    ordered = sorted(series, key=lambda each: (-each.total, each.name))
    if len(ordered) <= MOST_SERIES:
        return tuple(ordered)
    shown, rest = ordered[: MOST_SERIES - 1], ordered[MOST_SERIES - 1 :]
    columns = tuple(map(sum, zip(*(each.columns for each in rest), strict=True)))
    return *shown, Series(f"({len(rest)} other types)", sum(columns), columns)


def _count_openings(details: SessionDetails | None, axis: _Axis) -> tuple[int, ...]:
    visits = () if details is None else details.page_history
    return axis.count_in((to_milliseconds(visit.timestamp), 1) for visit in visits if visit.timestamp is not None)


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
