"""`Paginator`: a list that can be awaited, iterated, or read page by page. The rules of a walk are in `walk`.

It knows a function that fetches a page, not HTTP. No task, timeout, cancel scope or open answer is held across a
`yield` (PEP 789), so a walk can be dropped, cancelled or moved to another task between any two records.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import cached_property
from typing import Any, Generic, TypeVar

from isnotai_async._arrow import MAX_ROWS, collect_table
from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Mark, Position
from isnotai_async._models.validation import check_int
from isnotai_async._streaming.page_in_hand import PageInHand
from isnotai_async._streaming.prefetch import ReadAhead
from isnotai_async._streaming.tasks import run_behind
from isnotai_async._streaming.walk import Step, Walk
from isnotai_async.errors import APIError, ConfigError, IsNotAIError

T = TypeVar("T")

FetchPage = Callable[[str | None], Awaitable[Page[T]]]
"""Fetches the page at a cursor; None is the first page."""

FetchSince = Callable[[int], FetchPage[T]]
"""Returns a function that fetches the pages from a time on, in Unix milliseconds."""


class Paginator(Generic[T]):
    """A list that can be awaited (one page), iterated (every record), or read page by page.

    A second iteration resumes at the position of the walk, after an error and after a `break`. Only one task at a
    time may use a walk.

    Example:
        >>> walk = client.list_events("big-1000", page_size=100)
        >>> len((await walk).data)
        100
        >>> async for event in walk:
        ...     break
        >>> len([event async for event in walk])
        999

    Args:
        fetch: Fetches the page at a cursor.
        start: Position to resume from; or a function that returns the position before the first record. It is called
            only if there is an error or a second page: one awaited page does not need it.
        mark: Returns the time (Unix milliseconds) and id of a record, for the watermark.
        record: Class of the records, for tables; None if they have no columns.
        since: Fetches from a time on, if the list has such a filter.
        max_items: Records after which to stop; None for all.
        on_empty: Called with the last page of a walk that found no record from the start of the list.
        set_aside: Whether records that could not be read stay in `rejected` of their pages, and are not raised.
        begins_again: Whether it starts again if a saved cursor is rejected; False for a caller that knows all ids.

    Raises:
        ConfigError: `max_items` is negative or no int.
    """

    def __init__(
        self,
        fetch: FetchPage[T],
        *,
        start: Position | Callable[[], Position],
        mark: Mark[T],
        record: type[T] | None = None,
        since: FetchSince[T] | None = None,
        max_items: int | None = None,
        on_empty: Callable[[Page[T]], None] | None = None,
        set_aside: bool = False,
        begins_again: bool = True,
    ) -> None:
        if max_items is not None:
            check_int(max_items, "max_items", 0, kind="an int, or None for all")
        self._whole = fetch
        self._since = since
        self._given_start = start
        self._resume = start if isinstance(start, Position) else None
        begins_at = None if self._resume is None else self._resume.since
        self._source = fetch if begins_at is None or since is None else since(begins_at)
        self._mark = mark
        self._record = record
        self._max_items = max_items
        self._on_empty = on_empty
        self._sets_aside = set_aside
        self._begins_again = begins_again
        self._fetching = False
        self._ahead: ReadAhead[T] | None = None

    @cached_property
    def _start(self) -> Position:
        return self._given_start if isinstance(self._given_start, Position) else self._given_start()

    @cached_property
    def _walk(self) -> Walk[T]:
        return self._start_walk(begins_again=self._begins_again)

    def _start_walk(self, *, begins_again: bool) -> Walk[T]:
        by_time = self._since is not None
        return Walk(self._start, self._mark, self._max_items, by_time, self._sets_aside, begins_again)

    def __repr__(self) -> str:
        return f"<Paginator at {self.position!r}>"

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        """Fetch one page: the first one, or the one to resume from. The position of the walk does not change."""
        return self._first().__await__()

    def __aiter__(self) -> AsyncGenerator[T, None]:
        """Iterate over the records from the position of the walk; raise the errors of the client's methods."""
        return self._records()

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """Iterate over the pages from the position of the walk; raise the errors of the client's methods.

        A page that is cut, by `max_items` or because the position is within it, has the remaining records in `data`;
        its other fields are as the server sent them. Pages without records are skipped.

        Example:
            >>> [len(page.data) async for page in client.list_events("big-250", page_size=100).pages()]
            [100, 100, 50]
        """
        while hand := await self._advance():
            yield hand.take_page()
            del hand  # else its page would be alive while the next one is fetched

    async def to_list(self) -> list[T]:
        """Return all records from the position of the walk; raise the errors of the client's methods.

        Example:
            >>> events = await client.list_events("big-250").to_list()
            >>> len(events), events[0].event_type_name
            (250, 'init')
        """
        return [record async for record in self]

    async def first(self) -> T | None:
        """Return the first record of the list, or None if it is empty; the position of the walk does not change.

        Example:
            >>> event = await client.list_events("big-250", type="keypress").first()
            >>> event.time.isoformat(timespec="seconds")
            '2026-06-04T12:00:00+00:00'
        """
        async with aclosing(from_start(self).__aiter__()) as records:
            return await anext(records, None)

    def prefetch(self, count: int = 1) -> AbstractAsyncContextManager[AsyncGenerator[Page[T], None]]:
        """Read ahead while you work: ``async with walk.prefetch(2) as pages: async for page in pages``.

        It is the same walk, with the same `position`, `max_items` and errors (each after the pages before it), and
        within the block it can be iterated in any other way too. Pages that were read ahead and not taken are dropped
        when the block ends; a later iteration fetches them again.

        Example:
            >>> async with client.list_events("big-250", page_size=100).prefetch(2) as pages:
            ...     async for page in pages:
            ...         print(len(page.data))
            100
            100
            50

        Args:
            count: Number of pages to fetch ahead, from 1.

        Raises:
            ConfigError: `count` is no int from 1 to 1000.
        """
        return self._prefetch(check_int(count, "count", 1, 1_000))

    @asynccontextmanager
    async def _prefetch(self, count: int) -> AsyncGenerator[AsyncGenerator[Page[T], None], None]:
        if self._ahead is not None:
            raise ConfigError("this walk reads ahead already; leave that block first")
        ahead = ReadAhead(self._ask, count, lambda: self._walk.wanted)
        async with run_behind(ahead.run()), aclosing(self.pages()) as pages:
            self._ahead = ahead
            try:
                yield pages
            finally:
                self._ahead = None

    async def to_arrow(self, *, max_rows: int | None = MAX_ROWS) -> Any:  # noqa: ANN401 - a pyarrow.Table, untyped
        """Read the rest of the walk into an Arrow table (extra `arrow`): pandas, Polars and DuckDB take it as it is.

        Events have the columns and types of an export; sessions and users have ``region`` and one column for each
        field. Times are timestamps in milliseconds, UTC. If an error ends the walk there is no table, and the rows
        before it are dropped: read the list again from its start.

        Example:
            >>> table = await client.list_events("big-250").to_arrow()
            >>> table.num_rows, table.column_names[:3]
            (250, ['region', 'session_id', 'event_id'])

        Args:
            max_rows: Maximum number of rows, so that a list too large for the memory raises an error and does not end
                the process; default 10 million, which take about 1 GB. None for no limit.

        Raises:
            ConfigError: There are more rows, or pyarrow is not installed, or the records have no columns (courses).
        """
        if self._record is None:
            raise ConfigError("these records have no public schema, so no columns; use pyarrow.Table.from_pylist")
        async with aclosing(self.pages()) as pages:
            return await collect_table(pages, self._record, max_rows)

    @property
    def position(self) -> Position:
        """Position after the last record or page that was handed out."""
        return self._walk.position

    @property
    def indexes(self) -> Sequence[int] | None:
        """Index of each record of the current page in the server's page; None if no record of it is missing."""
        return None if self._walk.hand is None else self._walk.hand.indexes_of_taken

    async def aclose(self) -> None:
        """Do nothing: a walk holds nothing open. The method is for `contextlib.aclosing`.

        Example:
            >>> from contextlib import aclosing
            >>> async with aclosing(client.list_sessions()) as walk:
            ...     print(len(await walk.to_list()))
            40
        """

    def _ask(self, cursor: str | None) -> Awaitable[Page[T]]:
        return self._source(cursor)

    def _fetch(self, cursor: str | None) -> Awaitable[Page[T]]:
        return self._source(cursor) if self._ahead is None else self._ahead.fetch_page(cursor)

    async def _first(self) -> Page[T]:
        try:
            page = await self._fetch(None if self._resume is None else self._resume.cursor)
            if self._takes_whole_pages and page.data and not page.rejected:
                return page  # as it came
            walk = self._start_walk(begins_again=False)
            page = walk.take_whole(page)
        except IsNotAIError as error:
            _locate(error, self._start)
            raise
        self._note_end(walk)
        return page

    @property
    def _takes_whole_pages(self) -> bool:
        """Whether no record of the first page was given before, or is one too many."""
        start = self._resume
        return self._max_items is None and (start is None or (start.index == 0 and start.since is None))

    async def _records(self) -> AsyncGenerator[T, None]:
        while hand := await self._advance():
            for record in hand.rows:
                yield record

    async def _advance(self) -> PageInHand[T] | None:
        """Move to a page with records to hand out; return None at the end of the walk."""
        if self._fetching:
            raise ConfigError("another task is iterating this walk; give each task a walk of its own")
        self._fetching, walk = True, self._walk
        try:
            while (step := walk.advance()) is Step.FETCH:
                walk.enter(await self._fetch_next(walk))
        except IsNotAIError as error:
            _locate(error, walk.position)
            raise
        finally:
            self._fetching = False
        if step is Step.GIVE:
            return walk.hand
        self._note_end(walk)
        return None

    async def _fetch_next(self, walk: Walk[T]) -> Page[T]:
        try:
            return await self._fetch(walk.cursor)
        except APIError as error:
            if not walk.may_begin_again(error.status):
                raise
        since = walk.restart_time
        source = self._whole if since is None or self._since is None else self._since(since)
        page = await source(None)
        walk.begin_again()
        self._source = source
        return page

    def _note_end(self, walk: Walk[T]) -> None:
        if self._on_empty is not None and walk.hand is not None and walk.found_nothing:
            self._on_empty(walk.hand.page)


def from_start(walk: Paginator[T]) -> Paginator[T]:
    """Return another walk over the same list, with the same start."""
    return Paginator(
        walk._whole,  # noqa: SLF001 - of this module, as all below, and no part of the public face
        start=walk._given_start,  # noqa: SLF001
        mark=walk._mark,  # noqa: SLF001
        record=walk._record,  # noqa: SLF001
        since=walk._since,  # noqa: SLF001
        max_items=walk._max_items,  # noqa: SLF001
        on_empty=walk._on_empty,  # noqa: SLF001
        set_aside=walk._sets_aside,  # noqa: SLF001
    )


def set_aside(walk: Paginator[T]) -> Paginator[T]:
    """Let a new walk keep unreadable records in `rejected` of their pages, instead of raising them; return it."""
    walk._sets_aside = True  # noqa: SLF001 - for callers that keep such records, which is no part of the public face
    return walk


def _locate(error: IsNotAIError, position: Position) -> None:
    error.position, error.region = position, position.region
