"""The answer of `/details`, computed from the event log, so that it agrees with the listed events exactly.

The real API does not guarantee that they agree. In the sandbox they always agree, so a difference shows a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from isnotai_async.sandbox.event_generator import EventLog
from isnotai_async.sandbox.recorded_log import RecordedLog
from isnotai_async.sandbox.seed_data import CATEGORIES, NAMES, iso

_BUCKETS: Final = 100
_CATEGORY_NAMES: Final = {name: frozenset(NAMES[kind] for kind in kinds) for name, kinds in CATEGORIES.items()}


Log = EventLog | RecordedLog


def describe(session_id: str, log: Log, pages: Sequence[dict[str, object]] = ()) -> dict[str, object]:
    """Build the data of ``/sessions/{id}/details``.

    Args:
        session_id: Id to show.
        log: The session's events, in time order.
        pages: The pages that were opened, as the API shows them.
    """
    counts = log.counts(0, log.size)
    return {
        "sessionId": session_id,
        "startTime": iso(log.start_ms),
        "endTime": iso(log.end_ms),
        "durationSeconds": (log.end_ms - log.start_ms) / 1000,
        "eventCounts": {"total": log.size}
        | {
            category: sum(count for kind, count in counts.items() if log.name_of(kind) in names)
            for category, names in _CATEGORY_NAMES.items()
        },
        "timeline": _timeline(log),
        "pageHistory": list(pages),
    }


def _timeline(log: Log) -> list[dict[str, object]]:
    """Return at most `_BUCKETS` equally wide buckets, without those that have no event."""
    width = max(1, -(-(log.end_ms + 1 - log.start_ms) // _BUCKETS))
    edges = [(at, log.first_at(at)) for at in range(log.start_ms, log.end_ms + 1 + width, width)]
    filled = [(at, start, stop) for (at, start), (_, stop) in pairwise(edges) if stop > start]
    busiest = max((stop - start for _, start, stop in filled), default=1)
    timeline: list[dict[str, object]] = []
    for at, start, stop in filled:
        counts = log.counts(start, stop)
        dominant = min(counts, key=lambda kind: (-counts[kind], kind))
        timeline.append(
            {
                "timestamp": iso(at),
                "eventCount": stop - start,
                "dominantEventType": log.name_of(dominant),
                "activityLevel": round((stop - start) / busiest, 3),
            }
        )
    return timeline
