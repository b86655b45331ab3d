"""`PageInHand`: the page that a walk hands out, and how much of it was handed out.

An index counts the records of the page as the server sent it, those that could not be read included. A number counts
the records of `data` here, which lacks those, and those that an earlier walk gave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from typing import Generic, TypeVar

from attrs import define, evolve, field

from isnotai_async._models.pages import Page, RejectedRecord
from isnotai_async._models.positions import Trail

T = TypeVar("T")


@define(eq=False, repr=False)
class PageInHand(Generic[T]):
    """The current page of a walk, and how many of its records were handed out.

    Attributes:
        page: The page as it was fetched.
        data: The records of the page to hand out or already handed out. Those that an earlier walk gave are left out.
        indexes: Index of each record of `data`; None if all records are there, so that index and number are equal.
        skipped: How many records of the page were passed before this walk began.
        last_skipped: The last of those that could be read, by which the walk checks that the page is the same.
        start: Number of the first record to hand out.
        stops: The unreadable records that the walk has not reached yet.
        rows: The records that are handed out next, up to the next unreadable one.
        trail: What was given up to the end of the page, if a stream has asked for that position already.
    """

    page: Page[T]
    data: Sequence[T]
    indexes: Sequence[int] | None
    skipped: int
    last_skipped: T | None
    start: int
    stops: deque[RejectedRecord]
    rows: Iterator[T] = field(factory=lambda: iter(()))
    trail: Trail | None = None
    _end: int = 0  # number after the last of `rows`
    _behind: int = 0  # index after the last record that could not be read
    _aside: tuple[RejectedRecord, ...] = ()  # records that are handed out as they are
    _is_fresh: bool = False  # those were not handed out yet

    @classmethod
    def open(cls, page: Page[T], skip: int, is_known: Callable[[T], bool] | None) -> PageInHand[T]:
        """Create the state of a page that was fetched.

        Args:
            page: The page.
            skip: How many of its records to pass; it may have fewer.
            is_known: Whether a record was given by an earlier walk.
        """
        rows = page.data
        size = len(rows) + len(page.rejected)
        skipped = min(skip, size)
        if not page.rejected and is_known is None:
            last = rows[skipped - 1] if skipped else None
            return cls(page, rows, None, skipped, last, skipped, deque(), end=skipped, behind=skipped)
        missing = {record.index for record in page.rejected}
        places = [index for index in range(size) if index not in missing]
        pairs = list(zip(places, page.data, strict=True))
        last = next((record for index, record in reversed(pairs) if index < skipped), None)
        kept = [(index, record) for index, record in pairs if index < skipped or not (is_known and is_known(record))]
        start = sum(index < skipped for index, _ in kept)
        stops = deque(record for record in page.rejected if record.index >= skipped)
        data, indexes = tuple(record for _, record in kept), [index for index, _ in kept]
        return cls(page, data, indexes, skipped, last, start, stops, end=start, behind=skipped)

    def set_aside(self) -> None:
        """Pass all records that could not be read: they are handed out as they are, in `rejected`."""
        self._aside, self._is_fresh = tuple(self.stops), bool(self.stops)
        self.stops.clear()

    @property
    def number(self) -> int:
        """Number of records of `data` that were passed."""
        return self._end - length_hint(self.rows)  # exact, for the iterator of a tuple

    @property
    def given(self) -> Sequence[T]:
        """The records that were handed out."""
        return self.data[self.start : self.number]

    @property
    def index(self) -> int:
        """How many records of the server's page were passed."""
        if self.is_through:
            return len(self.page.data) + len(self.page.rejected)
        number = self.number
        last = number if self.indexes is None else self.indexes[number - 1] + 1 if number else 0
        return max(self._behind, last)

    @property
    def passed(self) -> int:
        """How many records were passed by this walk: handed out, or not readable."""
        given = self.number - self.start
        if not self.page.rejected:
            return given
        index = self.index
        return given + sum(self.skipped <= record.index < index for record in self.page.rejected)

    @property
    def is_through(self) -> bool:
        """Whether all records were handed out."""
        return self.number == len(self.data) and not self.stops and not self._is_fresh

    @property
    def has_something(self) -> bool:
        """Whether there are records to hand out now."""
        return self._is_fresh or length_hint(self.rows) > 0

    @property
    def indexes_of_taken(self) -> Sequence[int] | None:
        """The indexes of the records that `take_page` gave last."""
        return None if self.indexes is None else self.indexes[self.start : self._end]

    def pass_stop(self) -> RejectedRecord | None:
        """Pass the record that comes next, if it is one that could not be read."""
        if not self.stops or self._run_end() > self._end:
            return None
        stop = self.stops.popleft()
        self._behind = stop.index + 1
        return stop

    def enter_run(self, most: int | None) -> int:
        """Hand out the records up to the next one that could not be read, at most so many; return their count."""
        begin, end = self._end, self._run_end()
        if most is not None:
            end = min(end, begin + most)
        self.rows, self._end = iter(self.data[begin:end]), end
        return end - begin

    def _run_end(self) -> int:
        if not self.stops or self.indexes is None:
            return len(self.data)
        stop = self.stops[0].index
        return next((number for number, index in enumerate(self.indexes) if index > stop), len(self.data))

    def take_page(self) -> Page[T]:
        """Hand out all of `rows` as a page."""
        page = self.page
        if self._end - self.number < len(page.data) or self._aside != page.rejected:
            page = evolve(page, data=tuple(self.rows), rejected=self._aside)
        self.rows, self._is_fresh = iter(()), False
        return page
