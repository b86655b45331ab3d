"""`Paginator`: walks one list, page after page, follows cursors, knows its position, reads ahead.

It knows a function that fetches a page, not HTTP. The rules (source: "Pagination" in the vendor's guide):

1. `has_more` alone is the end. An empty page with more behind it is passed over, a hundred in a row at most.
2. A cursor met before in this walk is an error: following it would repeat rows, and stopping would lose them.
3. The walk moves on only from a page that was handed out whole, so after an error it goes on where it was.
4. No task, timeout, cancel scope or open answer is held across a `yield` (PEP 789), so a walk can be dropped,
   cancelled or moved to another task between any two records.
5. A record that could not be read is raised at its place, and the position is behind it; or, if records are set
   aside, it stays in `rejected` of its page.
6. A saved cursor that is refused is not the end. If the times given so far never fell, the walk begins again at the
   watermark's millisecond, without the ids given in it; else at its start, and passes over as many records as were
   given, of which the last has to be the watermark. If that gets an error too, that is the answer.

Reading ahead: the next pages of a walk are fetched while the caller works on this one.

The rules:

1. The walk itself is as it always is, with its position, its `max_items` and its guards; only its pages are fetched
   earlier than it asks for them. A cursor is opaque, so they are fetched one after the other, not side by side.
2. At most so many pages are fetched, or being fetched, beyond the one the walk has.
3. What went wrong ahead is kept until the walk gets there. Asking again afterwards fetches again.
4. Pages leave the queue in the step in which the walk gets them, so a walk that is cancelled loses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar

from attrs import define, evolve, field

from isnotai_async._models.pages import Page, rows_of
from isnotai_async._models.positions import Position, Trail, Watermark
from isnotai_async._models.validation import check_int
from isnotai_async._streaming.page_in_hand import PageInHand
from isnotai_async._streaming.tables import MAX_ROWS, collect_table
from isnotai_async._streaming.tasks import run_behind
from isnotai_async.errors import APIError, ConfigError, IsNotAIError, PaginationError

T = TypeVar("T")


@define(eq=False, repr=False)
class ReadAhead(Generic[T]):
    """Fetches pages ahead of a walk.

    Attributes:
        fetch: Fetches the page at a cursor.
        count: How many pages to be ahead.
        wanted: Tells how many records the walk still wants, or None for all: pages behind those are not fetched.
    """

    fetch: Callable[[str | None], Awaitable[Page[T]]]
    count: int
    wanted: Callable[[], int | None]
    _ready: deque[tuple[str | None, Page[T] | Exception]] = field(factory=deque, init=False)
    _is_reading: bool = field(default=False, init=False)
    _cursor: str | None = field(default=None, init=False)  # of the page to be read next
    _left: int | None = field(default=None, init=False)  # records to read from there on
    _changed: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Fetch what will be asked for, until cancelled."""
        while True:
            while not self._is_reading or len(self._ready) >= self.count:
                await self._wait()
            await self._read()
            self._changed.set()

    async def fetch_page(self, cursor: str | None) -> Page[T]:
        """Get the page at a cursor, from the queue or as soon as it comes; errors as of `fetch`."""
        if not self._is_reading and not self._ready:
            self._is_reading, self._cursor, self._left = True, cursor, self.wanted()
            self._changed.set()
        if cursor != (self._ready[0][0] if self._ready else self._cursor):
            return await self.fetch(cursor)  # a single page, asked for in the midst of the walk
        if self._ready:
            await asyncio.sleep(0)  # a hundred ready pages in a row must not hold the event loop
        while not self._ready:
            await self._wait()
        _, page = self._ready.popleft()
        self._changed.set()
        if isinstance(page, Exception):
            raise page
        return page

    async def _read(self) -> None:
        try:
            page = await self.fetch(self._cursor)
        except Exception as error:  # noqa: BLE001 - raised where the page is asked for
            self._ready.append((self._cursor, error))
            self._is_reading = False
            return
        self._ready.append((self._cursor, page))
        if self._left is not None:
            self._left -= len(rows_of(page))
        self._cursor = page.next_cursor
        self._is_reading = page.has_more and (self._left is None or self._left > 0)

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


FetchPage = Callable[[str | None], Awaitable[Page[T]]]
"""Fetches the page at a cursor; None is the first page."""

FetchSince = Callable[[int], FetchPage[T]]
"""Makes a function that fetches the pages from a time on, in Unix milliseconds."""

MAX_EMPTY_PAGES: Final = 100

_REFUSALS: Final = frozenset({400, 404, 410, 422})  # that may be about the cursor; its code is not documented


class Paginator(Generic[T]):
    """A list that can be awaited (one page), iterated (every record), or read page by page.

    Iterating again resumes where the walk stands, after an error and after a `break` alike. A walk belongs to one
    task at a time.

    Args:
        fetch: Fetches the page at a cursor.
        start: Where to begin.
        mark: Gives the time (Unix milliseconds) and id of a record, for the watermark.
        record: Class of the records, for tables; None if they have no columns.
        since: Fetches from a time on, for a list that can be asked so.
        max_items: Records after which to stop; None for all.
        on_empty: Called with the last page of a walk from its beginning that found no record.
        set_aside: Whether records that could not be read stay in `rejected` of their pages, and are not raised.

        begins_again: Whether it begins again if a saved cursor is refused; False for a caller that knows all ids.

    Raises:
        ConfigError: `max_items` is negative or no int.
    """

    def __init__(
        self,
        fetch: FetchPage[T],
        *,
        start: Position,
        mark: Callable[[T], Watermark],
        record: type[T] | None = None,
        since: FetchSince[T] | None = None,
        max_items: int | None = None,
        on_empty: Callable[[Page[T]], None] | None = None,
        set_aside: bool = False,
        begins_again: bool = True,
    ) -> None:
        if max_items is not None and (not isinstance(max_items, int) or isinstance(max_items, bool) or max_items < 0):
            raise ConfigError(f"max_items must be an int of at least 0, or None for all, not {max_items!r}")
        self._whole = fetch
        self._since = since
        self._source = fetch if start.since is None or since is None else since(start.since)
        self._start = start
        self._mark = mark
        self._record = record
        self._max_items = max_items
        self._on_empty = on_empty
        self._set_aside = set_aside
        self._left = max_items
        self._base = start  # the walk that the cursor belongs to
        self._cursor = start.cursor  # of the page in hand, or of the next one if none is
        self._skip = start.index  # records of it that were passed before this walk
        # What was given before it. If that is of no use, it is not said to rise, because to follow it costs.
        self._trail = start.trail if begins_again else Trail(start.watermark, start.given, rising=False)
        self._known = _known_of(start)
        self._hand: PageInHand[T] | None = None
        self._seen = set() if start.cursor is None else {_digest(start.cursor)}
        self._may_begin_again = begins_again
        self._fetching = False
        self._ahead: ReadAhead[T] | None = None

    def again(self) -> Paginator[T]:
        """Return another walk over the same list, which begins where this one began."""
        return Paginator(
            self._whole,
            start=self._start,
            mark=self._mark,
            record=self._record,
            since=self._since,
            max_items=self._max_items,
            on_empty=self._on_empty,
            set_aside=self._set_aside,
        )

    def __repr__(self) -> str:
        return f"<Paginator at {self.position!r}>"

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        """Fetch one page: the first, or the one to resume from. The walk itself does not move."""
        return self._first().__await__()

    def __aiter__(self) -> AsyncGenerator[T, None]:
        """Iterate over the records, from where the walk stands; errors as of the client's methods."""
        return self._records()

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """Iterate over the pages, from where the walk stands; errors as of the client's methods.

        A page that is cut, by `max_items` or because the walk stands inside of it, has the remaining records in
        `data`; its other fields are as the server sent them. Pages without records are passed over.
        """
        while hand := await self._advance():
            yield hand.take_page()
            del hand  # not to be kept while the next is fetched: the collector would go through its records each time

    async def to_list(self) -> list[T]:
        """Return all records, from where the walk stands; errors as of the client's methods."""
        return [record async for record in self]

    async def first(self) -> T | None:
        """Return the first record of the list, or None if it has none; the walk itself does not move."""
        walk = self.again()
        async with aclosing(walk.__aiter__()) as records:
            return await anext(records, None)

    def prefetch(self, count: int = 1) -> AbstractAsyncContextManager[AsyncGenerator[Page[T], None]]:
        """Read ahead while you work: ``async with walk.prefetch(2) as pages: async for page in pages``.

        It is the same walk: `position`, errors (each behind the pages before it), `max_items` and resuming are as
        always, and within the block the walk can be iterated in any other way too. What was read ahead and not taken
        is dropped when the block ends; iterating the walk afterwards fetches it again.

        Args:
            count: Pages to be ahead of the one in your hands, from 1.

        Raises:
            ConfigError: `count` is no int from 1 to 1000.
        """
        return self._prefetch(check_int(count, "count", 1, 1_000))

    @asynccontextmanager
    async def _prefetch(self, count: int) -> AsyncGenerator[AsyncGenerator[Page[T], None], None]:
        if self._ahead is not None:
            raise ConfigError("this walk reads ahead already; leave that block first")
        ahead = ReadAhead(self._ask, count, self._wanted)
        async with run_behind(ahead.run()), aclosing(self.pages()) as pages:
            self._ahead = ahead
            try:
                yield pages
            finally:
                self._ahead = None

    async def to_arrow(self, *, max_rows: int | None = MAX_ROWS) -> Any:  # noqa: ANN401 - a pyarrow.Table, untyped
        """Read the rest of the walk into an Arrow table (extra `arrow`): pandas, Polars and DuckDB take it as it is.

        Events have the columns and types of an export; sessions and users have ``region`` and a column a field. Times
        are timestamps in milliseconds, UTC. If an error ends the walk there is no table, and the rows before it are
        dropped: read the list again from its start.

        Example:
            >>> import anyio
            >>> import isnotai_async as isnotai
            >>> async def main() -> None:
            ...     async with isnotai.Sandbox() as sandbox:
            ...         async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            ...             table = await client.list_events("big-250").to_arrow()
            ...             print(table.num_rows, table.column_names[:3])
            >>> anyio.run(main)
            250 ['region', 'session_id', 'event_id']

        Args:
            max_rows: Most rows of the table, so that a list too large for the memory is an error and not the end of
                the process; default 10 million, which take about 1 GB. None for no bound.

        Raises:
            ConfigError: There are more rows, or pyarrow is not installed, or the records have no columns (courses).
        """
        if self._record is None:
            raise ConfigError("these records have no public schema, so no columns; use pyarrow.Table.from_pylist")
        async with aclosing(self.pages()) as pages:
            return await collect_table(pages, self._record, max_rows)

    def _wanted(self) -> int | None:
        return None if self._left is None else self._left + self._skip

    @property
    def position(self) -> Position:
        """Where the walk stands: behind the last record or page that was handed out."""
        hand = self._hand
        if hand is None:
            return self._base.at(self._cursor, self._skip, self._trail)
        # A page that was skipped whole leaves the rest of what to skip, and the trail behind that, to the next.
        trail = self._trail if self._skip else self._trail.follow(hand.given, self._mark, passed=hand.passed)
        if hand.page.has_more and hand.is_through:
            return self._base.at(hand.page.next_cursor, self._skip, trail)
        return self._base.at(self._cursor, hand.index, trail)

    @property
    def indexes(self) -> Sequence[int] | None:
        """Where the records of the page in hand are in the server's page; None if they are simply in a row."""
        return None if self._hand is None else self._hand.indexes_of_taken

    async def aclose(self) -> None:
        """Do nothing: a walk holds nothing open. It is here so that `contextlib.aclosing` takes one."""

    def _ask(self, cursor: str | None) -> Awaitable[Page[T]]:
        return self._source(cursor)

    def _fetch(self, cursor: str | None) -> Awaitable[Page[T]]:
        return self._source(cursor) if self._ahead is None else self._ahead.fetch_page(cursor)

    async def _first(self) -> Page[T]:
        try:
            page = await self._fetch(self._start.cursor)
            hand = self._open(page, self._start.index)
            if self._set_aside:
                hand.set_aside()
            elif hand.stops:
                raise hand.stops[0].as_error()
        except IsNotAIError as error:
            _locate(error, self._start)
            raise
        self._note_end(page)
        hand.enter_run(self._max_items)
        return hand.take_page()

    async def _records(self) -> AsyncGenerator[T, None]:
        while hand := await self._advance():
            for record in hand.take_records():
                yield record

    async def _advance(self) -> PageInHand[T] | None:
        """Get to a page with something to hand out; None if the walk ends."""
        if self._fetching:
            raise ConfigError("another task is iterating this walk; give each task a walk of its own")
        self._fetching, empty_pages = True, 0
        try:
            while self._hand is None or not self._hand.has_something:
                if self._left == 0:
                    return None
                if self._hand is not None and self._enter_run(self._hand):
                    continue
                if not self._leave_page():
                    return None
                page = await self._fetch_next()
                self._enter_page(page)
                empty_pages = 0 if rows_of(page) or page.rejected else empty_pages + 1
                if empty_pages > MAX_EMPTY_PAGES:
                    text = f"more than {MAX_EMPTY_PAGES} empty pages in a row, each with more behind it"
                    raise PaginationError(text)
            return self._hand
        except IsNotAIError as error:
            _locate(error, self.position)
            raise
        finally:
            self._fetching = False

    def _enter_run(self, hand: PageInHand[T]) -> bool:
        """Get to the next records of the page in hand; False if there are none.

        Raises:
            DecodeError: The next one could not be read.
        """
        if hand.is_through:
            return False
        if (stop := hand.pass_stop()) is not None:
            raise stop.as_error()
        count = hand.enter_run(self._left)
        if self._left is not None:
            self._left -= count
        return True

    async def _fetch_next(self) -> Page[T]:
        is_saved = self._cursor is not None and self._cursor == self._start.cursor and self._may_begin_again
        try:
            return await self._fetch(self._cursor)
        except APIError as error:
            if not is_saved or error.status not in _REFUSALS:
                raise
        return await self._begin_again()

    async def _begin_again(self) -> Page[T]:
        """Fetch the first page of a walk that replaces the one whose cursor was refused."""
        trail, since = self._trail, None
        if trail.given is None:
            raise PaginationError(
                "the saved cursor was refused, and the position is of an older version, which does not say how many "
                "records were given; start over without resume="
            )
        if self._since is not None and trail.watermark is not None and trail.resumes_by_time:
            since = trail.watermark[0]
        source = self._whole if since is None or self._since is None else self._since(since)
        page = await source(None)
        self._source, self._may_begin_again = source, False
        self._base = evolve(self._base, since=since)
        self._cursor, self._skip = None, trail.given if since is None else 0
        self._known = _known_of(self._base.at(None, 0, trail))
        self._seen.clear()
        return page

    def _leave_page(self) -> bool:
        """Move on to the next cursor; False if there is none."""
        hand = self._hand
        if hand is None:
            return True
        page = hand.page
        if not page.has_more:
            if self._trail.watermark is None and not hand.given:
                self._note_end(page)
            return False
        digest = _digest(page.next_cursor or "")
        if digest in self._seen:
            raise PaginationError("the next cursor was followed before in this walk; its pages go round in a circle")
        self._seen.add(digest)
        if not self._skip:
            self._trail = self._trail.follow(hand.given, self._mark, passed=hand.passed)
        if self._trail.watermark is not None and self._base.since != self._trail.watermark[0]:
            self._known = frozenset()
        self._cursor, self._hand = page.next_cursor, None
        return True

    def _note_end(self, page: Page[T]) -> None:
        from_start = self._start.cursor is None and self._start.index == 0
        if self._on_empty is not None and from_start and not rows_of(page) and not page.has_more:
            self._on_empty(page)

    def _enter_page(self, page: Page[T]) -> None:
        hand = self._open(page, self._skip)
        self._skip -= hand.skipped
        self._hand = hand
        if self._set_aside:
            hand.set_aside()
        if not hand.stops and len(hand.data) > hand.start:
            self._enter_run(hand)

    def _is_known(self, record: T) -> bool:
        mark = self._mark(record)
        # An earlier one was given too, if the server does not keep to the time that it is asked for.
        return mark in self._known or (self._base.since is not None and mark[0] < self._base.since)

    def _open(self, page: Page[T], skip: int) -> PageInHand[T]:
        """Open a page behind the records to skip, and check those."""
        hand = PageInHand.open(page, skip, self._is_known if self._known else None)
        if skip > hand.skipped:
            if page.has_more:  # the page became smaller: the rest of what to skip is behind it
                return hand
            raise PaginationError(f"{_CHANGED}: it had {skip} records or more and now has {hand.skipped}")
        if hand.last_skipped is not None and self._trail.watermark not in {None, self._mark(hand.last_skipped)}:
            raise PaginationError(f"{_CHANGED}: another record stands where the last one was")
        return hand


def set_aside(walk: Paginator[T]) -> Paginator[T]:
    """Make a walk leave records that could not be read in `rejected` of their pages; return it."""
    walk._set_aside = True  # noqa: SLF001 - for callers that keep such records, which is no part of the public face
    return walk


def _locate(error: IsNotAIError, position: Position) -> None:
    error.position, error.region = position, position.region


def _known_of(position: Position) -> frozenset[Watermark]:
    """Return the marks that a walk from a time on finds again."""
    if position.since is None or position.watermark is None or position.watermark[0] != position.since:
        return frozenset()
    return frozenset((position.since, name) for name in position.ids)


def _digest(cursor: str) -> str | bytes:
    # Some 100 bytes, whatever the cursor's length; most are short enough themselves.
    return cursor if len(cursor) <= 64 else blake2b(cursor.encode(), digest_size=16).digest()


_CHANGED: Final = (
    "the page to resume from or the order has changed since the position was saved, so rows could be lost or "
    "repeated; start over without resume="
)
