"""`Walk`: the state of one walk over a list, as a machine without a loop. It fetches nothing.

The rules (source: "Pagination" in the vendor's guide):

1. `has_more` alone is the end. An empty page with more after it is skipped, at most a hundred in a row.
2. A cursor that repeats is an error: to follow it repeats rows, to stop loses them. The position stays before it.
3. The walk leaves a page only when all of it was handed out, so after an error it resumes at the same record.
4. A record that could not be read is raised at its place, and the position is after it; or, if records are set aside,
   it stays in `rejected` of its page.
5. A saved cursor that is rejected is not the end. If enough records were given and their times never fell, the walk
   starts again at the watermark's millisecond, without the ids given in it. Else it starts again from its start and
   skips the number of records that were given; the last of these must be the watermark. It starts again once.
6. After `left` records the walk ends, also within a page.

The transitions, by what `advance` returns:

- ``FETCH``: the page at `cursor` is wanted. `enter` takes it. If the request failed, nothing changes, or
  `may_begin_again` says that the walk can be replaced: by `begin_again`, after the first page at `restart_time` came.
- ``GIVE``: `hand` has records to hand out. It counts what it gives, so `position` is always correct.
- ``END``: nothing is left, also at every later call.
- It raises for a record that could not be read (the next call skips it) and for a cursor that repeats (each time).
"""

from __future__ import annotations

from enum import Enum, auto
from hashlib import blake2b
from typing import Final, Generic, TypeVar

from attrs import define, evolve, field

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Mark, Position, Trail, Watermark, ids_known_from
from isnotai_async._streaming.page_in_hand import PageInHand
from isnotai_async.errors import PaginationError

T = TypeVar("T")

MAX_EMPTY_PAGES: Final = 100
_REJECTIONS: Final = frozenset({400, 404, 410, 422})  # that may be about the cursor; its code is not documented


class Step(Enum):
    """What a walk needs next."""

    FETCH = auto()
    GIVE = auto()
    END = auto()


@define(eq=False, repr=False)
class Walk(Generic[T]):
    """The state of a walk.

    Attributes:
        start: Position to start from.
        mark: Returns the watermark of a record.
        left: Records that are still wanted; None for all.
        asks_by_time: Whether the list has a filter for the earliest time.
        sets_aside: Whether records that could not be read stay in `rejected` of their pages, and are not raised.
        begins_again: Whether it may still start again if a saved cursor is rejected.
        cursor: Cursor of the page in hand, or of the page to fetch if there is none.
    """

    start: Position
    mark: Mark[T]
    left: int | None = None
    asks_by_time: bool = False
    sets_aside: bool = False
    begins_again: bool = True
    cursor: str | None = field(init=False)
    hand: PageInHand[T] | None = field(default=None, init=False)
    _base: Position = field(init=False)  # the start of the walk that the cursor belongs to
    _skip: int = field(init=False)  # records of the next page that were passed before
    _trail: Trail = field(init=False)  # what was given before the page in hand
    _known: frozenset[Watermark] = field(init=False)  # what a walk from a time on finds again
    _seen: set[str | bytes] = field(init=False)
    _empty_pages: int = field(default=0, init=False)  # in a row

    def __attrs_post_init__(self) -> None:
        start = self._base = self.start
        self.cursor, self._skip, self._known = start.cursor, start.index, ids_known_from(start)
        # If what was given is of no use, it is not said to rise, because to follow it costs.
        self._trail = start.trail if self.begins_again else Trail(start.watermark, start.given, rising=False)
        self._seen = set() if start.cursor is None else {_digest(start.cursor)}

    def advance(self) -> Step:
        """Move to what comes next, and return what that is.

        Raises:
            DecodeError: The next record could not be read.
            PaginationError: The next cursor was followed before.
        """
        hand = self.hand
        if hand is not None and hand.has_something:
            return Step.GIVE
        if self.left == 0:
            return Step.END
        if hand is None:
            return Step.FETCH
        if not hand.is_through:
            self._enter_run(hand)
            if hand.has_something:
                return Step.GIVE
        return self._leave(hand)

    def enter(self, page: Page[T]) -> None:
        """Accept the page that `advance` asked for.

        Raises:
            PaginationError: It does not continue the walk: what was given before is not there, or too many pages in
                a row are empty.
        """
        hand = self.hand = self._open(page)
        self._skip -= hand.skipped
        if not hand.stops and len(hand.data) > hand.start:
            self._enter_run(hand)
        self._empty_pages = 0 if page.data or page.rejected else self._empty_pages + 1
        if self._empty_pages > MAX_EMPTY_PAGES:
            self._empty_pages = 0
            raise PaginationError(
                f"more than {MAX_EMPTY_PAGES} empty pages in a row, each with more after it; try later"
            )

    def take_whole(self, page: Page[T]) -> Page[T]:
        """Take the first page of the walk, and hand it out whole.

        Raises:
            DecodeError: One of its records could not be read.
            PaginationError: As of `enter`.
        """
        hand = self.hand = self._open(page)
        if hand.stops:
            raise hand.stops[0].as_error()
        hand.enter_run(self.left)
        return hand.take_page()

    @property
    def position(self) -> Position:
        """Position after the last record or page that was handed out."""
        hand = self.hand
        if hand is None:
            return self._base.at(self.cursor, self._skip, self._trail)
        if hand.page.has_more and hand.is_through and not self._repeats(hand.page):
            hand.trail = hand.trail or self._trail_after(hand)
            return self._base.at(hand.page.next_cursor, self._skip, hand.trail)
        return self._base.at(self.cursor, hand.index, self._trail_after(hand))

    @property
    def wanted(self) -> int | None:
        """Number of records to fetch, including those to skip; None for all."""
        return None if self.left is None else self.left + self._skip

    @property
    def found_nothing(self) -> bool:
        """Whether the walk read the list from its start, and there was no record."""
        if self.hand is None or self.hand.page.has_more or self.hand.page.data or self.hand.page.rejected:
            return False
        return self.start.cursor is None and self.start.index == 0 and self._trail.given == 0

    def may_begin_again(self, status: int) -> bool:
        """Return whether the walk can start again after an error with this status, which may be about the cursor."""
        return self.begins_again and status in _REJECTIONS and self.cursor == self.start.cursor is not None

    @property
    def restart_time(self) -> int | None:
        """Unix milliseconds at which the walk starts again; None for its start.

        Raises:
            PaginationError: The position does not say how many records were given.
        """
        trail = self._trail
        if trail.given is None:
            raise PaginationError(
                "the saved cursor was rejected, and the position is of an older version, which does not say how many "
                "records were given; start over without resume="
            )
        by_time = self.asks_by_time and trail.resumes_by_time
        return trail.watermark[0] if by_time and trail.watermark is not None else None

    def begin_again(self) -> None:
        """Replace the walk by one that starts at `restart_time`; its first page is to be entered next.

        From a time on, the records that were given are known by their ids; from the start, by their number.
        """
        since, trail = self.restart_time, self._trail
        self.begins_again, self.cursor = False, None
        self._base = evolve(self._base, since=since)
        self._known = ids_known_from(self._base.at(None, 0, trail))
        self._seen.clear()
        self._skip = trail.given or 0 if since is None else 0

    def _enter_run(self, hand: PageInHand[T]) -> None:
        """Get to the next records of a page; raise `DecodeError` if the next one could not be read."""
        if (stop := hand.pass_stop()) is not None:
            raise stop.as_error()
        count = hand.enter_run(self.left)
        if self.left is not None:
            self.left -= count

    def _leave(self, hand: PageInHand[T]) -> Step:
        page = hand.page
        if not page.has_more:
            return Step.END
        if self._repeats(page):
            raise PaginationError(
                "the next cursor was followed before in this walk; its pages go round in a circle; try later"
            )
        self._seen.add(_digest(page.next_cursor or ""))
        self._trail = hand.trail or self._trail_after(hand)
        if self._trail.watermark is not None and self._base.since != self._trail.watermark[0]:
            self._known = frozenset()
        self.cursor, self.hand = page.next_cursor, None
        return Step.FETCH

    def _repeats(self, page: Page[T]) -> bool:
        return _digest(page.next_cursor or "") in self._seen

    def _trail_after(self, hand: PageInHand[T]) -> Trail:
        return self._trail.follow(hand.given, self.mark, passed=hand.passed)

    def _open(self, page: Page[T]) -> PageInHand[T]:
        """Open a page after the records to skip, and check those."""
        skip = self._skip
        hand = PageInHand.open(page, skip, self._is_known if self._known else None)
        if self.sets_aside:
            hand.set_aside()
        if skip > hand.skipped:
            if page.has_more:  # the page became smaller: the rest of what to skip is after it
                return hand
            raise PaginationError(f"{_CHANGED}: it had {skip} records or more and now has {hand.skipped}")
        if hand.last_skipped is not None and self._trail.watermark not in {None, self.mark(hand.last_skipped)}:
            raise PaginationError(f"{_CHANGED}: another record is in the place of the last one")
        return hand

    def _is_known(self, record: T) -> bool:
        mark = self.mark(record)
        # An earlier one was given too, if the server does not keep to the time that it is asked for.
        return mark in self._known or (self._base.since is not None and mark[0] < self._base.since)


def _digest(cursor: str) -> str | bytes:
    # Some 100 bytes, whatever the cursor's length; most are short enough themselves.
    return cursor if len(cursor) <= 64 else blake2b(cursor.encode(), digest_size=16).digest()


_CHANGED: Final = (
    "the page to resume from or the order has changed since the position was saved, so rows could be lost or "
    "repeated; start over without resume="
)
