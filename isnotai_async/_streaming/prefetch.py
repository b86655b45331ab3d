"""Reading ahead: the next pages of a walk are fetched while the caller works on the current one.

The rules:

1. The walk itself does not change: its position, its `max_items` and its checks are the same; only its pages are
   fetched before it asks for them. A cursor is opaque, so pages are fetched one after the other.
2. At most `count` pages are fetched, or being fetched, after the one that the walk has.
3. An error is kept until the walk reaches it. After it, the page is fetched again.
4. Pages leave the queue in the step in which the walk gets them, so a walk that is cancelled loses none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import define, field

from isnotai_async._models.pages import Page

T = TypeVar("T")


@define(eq=False, repr=False)
class ReadAhead(Generic[T]):
    """Fetches pages ahead of a walk.

    Attributes:
        fetch: Fetches the page at a cursor.
        count: Number of pages to fetch ahead.
        wanted: Returns how many records the walk wants, or None for all; pages after those are not fetched.
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
        """Fetch the next pages, until cancelled."""
        while True:
            while not self._is_reading or len(self._ready) >= self.count:
                await self._wait()
            await self._read()
            self._changed.set()

    async def fetch_page(self, cursor: str | None) -> Page[T]:
        """Return the page at a cursor, from the queue or when it arrives; raise the errors of `fetch`."""
        if not self._is_reading and not self._ready:
            self._is_reading, self._cursor, self._left = True, cursor, self.wanted()
            self._changed.set()
        if cursor != (self._ready[0][0] if self._ready else self._cursor):
            return await self.fetch(cursor)  # a single page, requested in the middle of the walk
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
        except Exception as error:  # noqa: BLE001 - raised by `fetch_page`
            self._ready.append((self._cursor, error))
            self._is_reading = False
            return
        self._ready.append((self._cursor, page))
        if self._left is not None:
            self._left -= len(page.data)
        self._cursor = page.next_cursor
        self._is_reading = page.has_more and (self._left is None or self._left > 0)

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
