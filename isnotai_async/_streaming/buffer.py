"""A bounded queue of pages between the readers of a stream and its consumer (backpressure).

The rules:

1. At most `capacity` items wait here. A reader that puts one more waits for room and fetches nothing more: a slow
   consumer stops all readers.
2. An item leaves the queue in the same step in which `get` returns. (A memory stream of anyio 4.16 gives an item to
   the waiting task, and if that task is cancelled before it runs, the item is lost.)
3. Items without a lane come out in the order in which they were put.
4. The lanes of a line come out one after the other, in the order in which they were opened. Items of the first lane
   come out at once. The other lanes hold their items back, and may use all of the room except one place. That place
   is kept for the first lane, so it always makes progress, and so do the others after it.
5. The consumer takes two ready items, and then the event loop runs once. With a round of the loop for each item,
   pages come faster than they are taken, and the readers wait for room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

from attrs import define, field

T = TypeVar("T")

_MOST_AT_ONCE: Final = 2  # as many pages of 100 events as can be read in one round of the event loop


@define(eq=False, repr=False)
class OrderedLane(Generic[T]):
    """A queue that waits for its turn in a line of queues.

    Attributes:
        line: The lanes that are not finished, in order.
        held: Items that wait for this lane's turn.
        is_filled: Whether no more items will be put into it.
    """

    line: deque[OrderedLane[T]]
    held: deque[T] = field(factory=deque, init=False)
    is_filled: bool = field(default=False, init=False)

    @classmethod
    def open(cls, line: deque[OrderedLane[T]]) -> OrderedLane[T]:
        """Open a lane at the end of a line."""
        lane = cls(line)
        line.append(lane)
        return lane

    @property
    def is_foremost(self) -> bool:
        """Whether it is this lane's turn."""
        return self.line[0] is self


@define(eq=False, repr=False)
class _Waiting(Generic[T]):
    lane: OrderedLane[T] | None
    granted: asyncio.Event = field(factory=asyncio.Event)


class PageBuffer(Generic[T]):
    """A bounded queue; its rules are at the top of this module.

    Args:
        capacity: Maximum number of items, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ready: deque[T] = deque()
        self._taken = 0  # places of items here, and of readers that have a place and are about to put an item
        self._waiting: deque[_Waiting[T]] = deque()
        self._arrived = asyncio.Event()
        self._at_once = 0  # items that were taken since the event loop last ran
        self._closed = False

    async def put(self, item: T, lane: OrderedLane[T] | None = None) -> None:
        """Wait for room and put an item.

        Args:
            item: The item.
            lane: The lane of the item, or None for no order.
        """
        if self._has_room(lane):
            self._taken += 1
        else:
            await self._wait_for_room(lane)
        if lane is None or lane.is_foremost:
            self._ready.append(item)
            self._arrived.set()
        else:
            lane.held.append(item)

    async def get(self) -> T | None:
        """Wait for an item and return it; None if the queue is closed and empty."""
        if self._at_once >= _MOST_AT_ONCE:
            self._at_once = 0
            await asyncio.sleep(0)
        while not self._ready:
            if self._closed:
                return None
            self._at_once = 0
            self._arrived.clear()
            await self._arrived.wait()
        self._at_once += 1
        item = self._ready.popleft()
        self._taken -= 1
        self._let_in()
        return item

    @property
    def has_ready(self) -> bool:
        """Whether an item can be taken without waiting for one."""
        return bool(self._ready)

    def fill(self, lane: OrderedLane[T]) -> None:
        """Mark a lane as complete; if it was the first, the next ones have their turn."""
        lane.is_filled = True
        line = lane.line
        while line and line[0].is_filled:
            self._release(line.popleft())
        if line:
            self._release(line[0])
        self._let_in()

    def close(self) -> None:
        """Mark the queue as complete. Ready items can still be taken; items that are held back are dropped."""
        self._closed = True
        self._arrived.set()

    def _release(self, lane: OrderedLane[T]) -> None:
        if lane.held:
            self._ready.extend(lane.held)
            lane.held.clear()
            self._arrived.set()

    def _has_room(self, lane: OrderedLane[T] | None) -> bool:
        reserved = 0 if lane is None or lane.is_foremost else 1
        return self._taken < self._capacity - reserved

    async def _wait_for_room(self, lane: OrderedLane[T] | None) -> None:
        waiting = _Waiting(lane)
        self._waiting.append(waiting)
        try:
            await waiting.granted.wait()
        except asyncio.CancelledError:
            if waiting.granted.is_set():
                self._taken -= 1
                self._let_in()
            else:
                self._waiting.remove(waiting)
            raise

    def _let_in(self) -> None:
        """Give free places to waiting readers, in their order, if there is room for their lane."""
        while self._waiting and self._taken < self._capacity:
            waiting = next((waiting for waiting in self._waiting if self._has_room(waiting.lane)), None)
            if waiting is None:
                return
            self._waiting.remove(waiting)
            self._taken += 1
            waiting.granted.set()
