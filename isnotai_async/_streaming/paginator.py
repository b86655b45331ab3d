"""`Paginator`: walks one list, page after page, follows cursors, knows its position, reads ahead.

It knows a function that fetches a page, not HTTP. The rules (source: "Pagination" in the vendor's guide):

1. `has_more` alone tells the end. An empty page with more behind it is passed over, a hundred in a row at most.
2. A cursor met before in this walk is an error: following it would repeat rows, and stopping would lose them.
3. The walk moves on only from a page that was handed out whole, so after an error it goes on where it was.
4. No task, timeout, cancel scope or open answer is held across a `yield` (PEP 789), so a walk can be dropped,
   cancelled or moved to another task between any two records.

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
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from hashlib import blake2b
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from attrs import define, evolve, field

from isnotai_async._models.pages import Page, rows_of
from isnotai_async._models.positions import Position, Watermark
from isnotai_async._models.validation import check_int
from isnotai_async._streaming.tables import MAX_ROWS, collect_table
from isnotai_async._streaming.tasks import run_behind
from isnotai_async.errors import ConfigError, IsNotAIError, PaginationError

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

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

MAX_EMPTY_PAGES: Final = 100


class Paginator(Generic[T]):
    """A list that can be awaited (one page), iterated (every record), or read page by page.

    Iterating again goes on where the walk stands, after an error and after a `break` alike. A walk belongs to one
    task at a time.

    Args:
        fetch: Fetches the page at a cursor.
        start: Where to begin.
        mark: Gives the time (Unix milliseconds) and id of a record, for the watermark.
        record: Class of the records, for tables; None if they have no columns.
        max_items: Records after which to stop; None for all.
        on_empty: Called with the last page of a walk from its beginning that found no record.

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
        max_items: int | None = None,
        on_empty: Callable[[Page[T]], None] | None = None,
    ) -> None:
        if max_items is not None and (not isinstance(max_items, int) or isinstance(max_items, bool) or max_items < 0):
            raise ConfigError(f"max_items must be an int of at least 0, or None for all, not {max_items!r}")
        self._fetch = fetch
        self._start = start
        self._mark = mark
        self._record = record
        self._max_items = max_items
        self._on_empty = on_empty
        self._left = max_items
        self._cursor = start.cursor  # of the page in hand, or of the next one where none is
        self._skip = start.index  # records of it that were handed out before this walk
        self._watermark = start.watermark  # of the last record before it
        self._page: Page[T] | None = None
        self._rows: Iterator[T] = iter(())  # its records, or their rows, that are still to be handed out
        self._end = 0  # where in the page those end
        self._seen = set() if start.cursor is None else {_digest(start.cursor)}
        self._fetching = False
        self._is_ahead = False

    def again(self) -> Paginator[T]:
        """Return another walk over the same list, which begins where this one began."""
        return Paginator(
            self._fetch,
            start=self._start,
            mark=self._mark,
            record=self._record,
            max_items=self._max_items,
            on_empty=self._on_empty,
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
        while page := await self._advance():
            if length_hint(self._rows) == len(rows_of(page)):
                self._rows = iter(())
                yield page
            else:
                yield evolve(page, data=tuple(self._take_records(page)))
            del page  # not to be kept while the next is fetched: the collector would go through its records each time

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
        if self._is_ahead:
            raise ConfigError("this walk reads ahead already; leave that block first")
        fetch, ahead = self._fetch, ReadAhead(self._fetch, count, self._wanted)
        async with run_behind(ahead.run()), aclosing(self.pages()) as pages:
            self._fetch, self._is_ahead = ahead.fetch_page, True
            try:
                yield pages
            finally:
                self._fetch, self._is_ahead = fetch, False

    async def to_arrow(self, *, max_rows: int | None = MAX_ROWS) -> pa.Table:
        """Read the rest of the walk into an Arrow table (extra `arrow`): pandas, Polars and DuckDB take it as it is.

        Events have the columns and types of an export; sessions and users have ``region`` and a column a field. Times
        are timestamps in milliseconds, UTC.

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
        page = self._page
        if page is None:
            return evolve(self._start, cursor=self._cursor, index=self._skip, watermark=self._watermark)
        index = self._end - length_hint(self._rows)  # exact, for the iterator of a tuple
        # A page that was skipped whole leaves the rest of what to skip, and the watermark behind that, to the next.
        watermark = self._mark(rows_of(page)[index - 1]) if index and not self._skip else self._watermark
        if page.has_more and index == len(rows_of(page)):
            return evolve(self._start, cursor=page.next_cursor, index=self._skip, watermark=watermark)
        return evolve(self._start, cursor=self._cursor, index=index, watermark=watermark)

    async def aclose(self) -> None:
        """Do nothing: a walk holds nothing open. It is here so that `contextlib.aclosing` takes one."""

    async def _first(self) -> Page[T]:
        try:
            page = await self._fetch(self._start.cursor)
            skipped = self._skipped(page, self._start.index)
        except IsNotAIError as error:
            _locate(error, self._start)
            raise
        self._note_end(page)
        if not skipped and (self._max_items is None or self._max_items >= len(rows_of(page))):
            return page
        return evolve(page, data=page.data[skipped:][: self._max_items])

    async def _records(self) -> AsyncGenerator[T, None]:
        while page := await self._advance():
            for record in self._take_records(page):
                yield record

    def _take_records(self, page: Page[T]) -> Iterator[T]:
        """Put records in the place of the rows that are still to be handed out, and return them."""
        records = page.data[self._end - length_hint(self._rows) : self._end]
        self._rows = iter(records)
        return self._rows

    async def _advance(self) -> Page[T] | None:
        """Get to a page with records to hand out; None where the walk ends."""
        if self._fetching:
            raise ConfigError("another task is iterating this walk; give each task a walk of its own")
        self._fetching, empty_pages = True, 0
        try:
            while not length_hint(self._rows):
                if self._left == 0 or not self._leave_page():
                    return None
                page = await self._fetch(self._cursor)
                self._enter_page(page)
                empty_pages = 0 if rows_of(page) else empty_pages + 1
                if empty_pages > MAX_EMPTY_PAGES:
                    text = f"more than {MAX_EMPTY_PAGES} empty pages in a row, each with more behind it"
                    raise PaginationError(text)
            return self._page
        except IsNotAIError as error:
            _locate(error, self.position)
            raise
        finally:
            self._fetching = False

    def _leave_page(self) -> bool:
        """Move on to the next cursor; False where there is none."""
        page = self._page
        if page is None:
            return True
        if not page.has_more:
            if self._watermark is None:
                self._note_end(page)
            return False
        digest = _digest(page.next_cursor or "")
        if digest in self._seen:
            raise PaginationError("the next cursor was followed before in this walk; its pages go round in a circle")
        self._seen.add(digest)
        if (rows := rows_of(page)) and not self._skip:
            self._watermark = self._mark(rows[-1])
        self._cursor, self._page = page.next_cursor, None
        return True

    def _note_end(self, page: Page[T]) -> None:
        from_start = self._start.cursor is None and self._start.index == 0
        if self._on_empty is not None and from_start and not rows_of(page) and not page.has_more:
            self._on_empty(page)

    def _enter_page(self, page: Page[T]) -> None:
        skipped = self._skipped(page, self._skip)
        stop = None if self._left is None else skipped + self._left
        rows = rows_of(page)[skipped:stop]
        if self._left is not None:
            self._left -= len(rows)
        self._skip -= skipped
        self._page, self._rows, self._end = page, iter(rows), skipped + len(rows)

    def _skipped(self, page: Page[T], skip: int) -> int:
        """Count the records of a page that lie before the position to resume from, and check them."""
        rows = rows_of(page)
        if skip > len(rows):
            if page.has_more:  # the page became smaller: the rest of what to skip is behind it
                return len(rows)
            raise PaginationError(f"{_CHANGED}: it had {skip} records or more and now has {len(rows)}")
        if skip and self._start.watermark not in {None, self._mark(rows[skip - 1])}:
            raise PaginationError(f"{_CHANGED}: another record stands where the last one was")
        return skip


def _locate(error: IsNotAIError, position: Position) -> None:
    error.position, error.region = position, position.region


def _digest(cursor: str) -> str | bytes:
    # Some 100 bytes, whatever the cursor's length; most are short enough themselves.
    return cursor if len(cursor) <= 64 else blake2b(cursor.encode(), digest_size=16).digest()


_CHANGED: Final = (
    "the page to resume from has changed since the position was saved, so rows could be lost or repeated; "
    "walk again without resume="
)
