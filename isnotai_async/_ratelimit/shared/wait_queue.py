"""The queue of waiters in one process, for permits that the store grants: single calls before bulk work."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from attrs import define, field

from isnotai_async._ratelimit.limiter import Permit
from isnotai_async._ratelimit.policy import PROBING


@define(eq=False)
class Waiter:
    """A request that waits for a permit.

    Attributes:
        bulk: Whether it is bulk work.
        outlook: Seconds to wait and the reason, as soon as they are known; None if there was no wait.
        future: The permit, for the waiting task.
        permit: The permit, set as soon as it is granted, even if the wait was cancelled before.
    """

    bulk: bool
    outlook: asyncio.Future[tuple[float, str] | None]
    future: asyncio.Future[Permit]
    permit: Permit | None = None

    def report(self, news: tuple[float, str] | None) -> None:
        """Set the expected wait and its reason, unless they are already set."""
        if not self.outlook.done():
            self.outlook.set_result(news)

    def grant(self, permit: Permit) -> None:
        """Give it a permit."""
        self.permit = permit
        self.report(None)
        if not self.future.done():
            self.future.set_result(permit)

    def fail(self, error: Exception) -> None:
        """End its wait with an error."""
        self.report(None)
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a cancelled waiter never reads it; without this asyncio warns


@define(eq=False)
class WaitQueue:
    """The queue of waiters, first come, first served."""

    single: deque[Waiter] = field(factory=deque, init=False)
    bulk: deque[Waiter] = field(factory=deque, init=False)
    _outlook: tuple[float, str] = field(default=(-math.inf, ""), init=False)  # until when the first waits, and why

    def __len__(self) -> int:
        return len(self.single) + len(self.bulk)

    def enter(self, *, bulk: bool) -> Waiter:
        """Add a waiter at the end, and return it."""
        loop = asyncio.get_running_loop()
        waiter = Waiter(bulk, loop.create_future(), loop.create_future())
        (self.bulk if bulk else self.single).append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Remove a waiter; do nothing if it was already served."""
        queue = self.bulk if waiter.bulk else self.single
        if waiter in queue:
            queue.remove(waiter)

    def follow(self, waiter: Waiter, now: float) -> bool:
        """Give the last waiter the known wait; return False if it is the first or no wait is known."""
        queue = self.bulk if waiter.bulk else self.single
        until, reason = self._outlook
        if queue[0] is waiter or until <= now:
            return False
        waiter.report((until - now, reason))
        return True

    def report(self, now: float, wait: float, reason: str) -> None:
        """Give the new waiters the time that they have to wait, and the reason."""
        shown = math.inf if reason == PROBING else wait  # a response ends it, or the lease if none comes
        self._outlook = now + shown, reason
        for waiter in (*self.single, *self.bulk) if wait > 0 else ():
            waiter.report((shown, reason))

    def fail(self, make: Callable[[], Exception]) -> None:
        """End all waits, each with its own error."""
        for queue in (self.single, self.bulk):
            while queue:
                queue.popleft().fail(make())
