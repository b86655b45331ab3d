"""Time windows: how the events of a session are spread over time, and at which times to cut it.

The rules:

1. A window is a range of whole milliseconds, inclusive at both ends, as the API's own bounds are. A cut ends one
   window at the millisecond before it and starts the next. So windows are disjoint and complete, events of the
   same millisecond stay together, and the first and the last window have the bounds of the query. Together they give
   the events of one walk, at whatever times the cuts are.
2. Cuts follow the session's timeline, as if the events of a bucket were spread evenly over it. The API does not
   promise that these counts are those of the listed events, so a plan can be slow, but never wrong.
3. The width of a bucket is not documented either. A bucket is assumed to end at the start of the next one, but no
   later than the median distance of two, because buckets without events may be missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import Final, NamedTuple

from isnotai_async._models.records import SessionDetails
from isnotai_async._models.times import to_milliseconds

_ROUNDS: Final = 4  # windows for each reader, so that a slow window delays a quarter of a reader's share
_MOST_PAGES: Final = 8  # the last page of a window is half empty on average: a sixteenth more requests


class Stretch(NamedTuple):
    """A range of time with evenly spread events.

    Attributes:
        start: First millisecond (Unix).
        stop: The millisecond after the last.
        events: Number of events.
    """

    start: int
    stop: int
    events: float


def spread_events(details: SessionDetails, start_time: int | None, end_time: int | None) -> tuple[Stretch, ...]:
    """Return how the events of a session are spread over time, by its details.

    Args:
        details: The session's details; every field may be missing or wrong.
        start_time: Earliest timestamp asked for, inclusive, in Unix milliseconds; None for no bound.
        end_time: Latest timestamp asked for, in the same form.

    Returns:
        Stretches in time order that do not overlap; none if no events are known.
    """
    counts = Counter[int]()
    for bucket in details.timeline:
        if bucket.timestamp is not None:
            counts[to_milliseconds(bucket.timestamp)] += max(0, bucket.event_count or 0)
    end = None if details.end_time is None else to_milliseconds(details.end_time) + 1
    stretches: Iterator[Stretch] = iter(())
    if counts.total():
        last = max(counts)
        stretches = _stretches(sorted(counts.items()), last + 1 if end is None else end)
    elif details.start_time is not None and end is not None and details.event_counts is not None:
        begin = to_milliseconds(details.start_time)
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
        stretches: Its events.
        windows: Number of windows; there are fewer if one millisecond has too many events.

    Returns:
        The Unix milliseconds at which each window except the first starts, rising, and within the stretches.
    """
    if windows < 2 or not stretches:
        return ()
    share = sum(stretch.events for stretch in stretches) / windows
    cuts: list[int] = []
    passed, last = 0.0, stretches[0].start  # no event is known before it, so no window ends there
    for start, stop, events in stretches:
        while len(cuts) < windows - 1 and (wanted := share * (len(cuts) + 1)) <= passed + events:
            at = min(stop, start + round((wanted - passed) / events * (stop - start)))
            cuts.append(max(last, at))
            last = cuts[-1]
        passed += events
    begin, end = stretches[0].start, stretches[-1].stop
    return tuple(dict.fromkeys(at for at in cuts if begin < at < end))


def count_windows(events: float, *, page_size: int, readers: int, ordered: bool, buffer: int) -> int:
    """Return the number of windows to cut a session into.

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
