"""`Trail`: what a walk has given so far, as much of it as resuming needs after its cursor was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import frozen

Watermark = tuple[int, str]
"""Unix milliseconds and id of a record."""

MOST_IDS: Final = 100
"""How many ids of one millisecond are kept; with more of them, only their count helps."""

_EVIDENCE: Final = 20
"""How many earlier records show that an order rises. One record rises in any order, and twenty in a shuffled order by
a chance of 1 in 20!. Below this, reading from the start again costs a page."""


@frozen
class Trail:
    """What a walk has given.

    Attributes:
        watermark: Unix milliseconds and id of the last record that was given; None before the first.
        given: Records passed so far, those that could not be read included; None if that is not known, because the
            position was saved by an older version.
        rising: Whether their times never fell.
        ids: Ids of those given in the watermark's millisecond; empty if there are more than a hundred.
    """

    watermark: Watermark | None = None
    given: int | None = 0
    rising: bool = True
    ids: tuple[str, ...] = ()

    @property
    def resumes_by_time(self) -> bool:
        """Whether all that is left has the watermark's time or a later one, and that time's ids are known."""
        return self.rising and bool(self.ids) and (self.given or 0) - len(self.ids) >= _EVIDENCE

    def follow(self, records: Sequence[Any], mark: Callable[[Any], Watermark], *, passed: int) -> Trail:
        """Return the trail behind some more records.

        Args:
            records: The records that were given.
            mark: Gives the watermark of one.
            passed: How many records were passed with them, those that could not be read included.
        """
        given = None if self.given is None else self.given + passed
        if not records:
            return Trail(self.watermark, given, self.rising, self.ids)
        if not self.rising:  # nothing but the last one matters any more
            return Trail(mark(records[-1]), given, rising=False)
        marks = [mark(record) for record in records]
        times = [time for time, _ in marks]
        last, before = times[-1], self.watermark
        rising = self.rising and (before is None or before[0] <= times[0]) and times == sorted(times)
        if not rising:
            return Trail(marks[-1], given, rising=False)
        ids = [name for time, name in marks if time == last]
        if before is not None and before[0] == last:
            ids = [*self.ids, *ids] if self.ids else []  # too many before are too many now
        return Trail(marks[-1], given, rising=True, ids=tuple(ids) if len(ids) <= MOST_IDS else ())
