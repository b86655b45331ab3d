"""The queue of waiters in one process whose permits the store grants: single calls before bulk work."""

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
    """One who waits.

    Attributes:
        bulk: Whether for bulk work.
        told: How many seconds it takes and why, as soon as that is known; None where there was no wait.
        future: The permit.
        permit: The permit too, once it is granted, even where the wait was cancelled meanwhile.
    """

    bulk: bool
    told: asyncio.Future[tuple[float, str] | None]
    future: asyncio.Future[Permit]
    permit: Permit | None = None

    def tell(self, news: tuple[float, str] | None) -> None:
        """Tell it how long it has to wait, if nobody has."""
        if not self.told.done():
            self.told.set_result(news)

    def grant(self, permit: Permit) -> None:
        """Let it go."""
        self.permit = permit
        self.tell(None)
        if not self.future.done():
            self.future.set_result(permit)

    def fail(self, error: Exception) -> None:
        """Refuse it."""
        self.tell(None)
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # asyncio would complain where it is cancelled now, and so never reads it


@define(eq=False)
class Line:
    """The waiters, first come, first served."""

    single: deque[Waiter] = field(factory=deque, init=False)
    bulk: deque[Waiter] = field(factory=deque, init=False)
    _outlook: tuple[float, str] = field(default=(-math.inf, ""), init=False)  # until when the first waits, and why

    def __len__(self) -> int:
        return len(self.single) + len(self.bulk)

    def enter(self, *, bulk: bool) -> Waiter:
        """Come last."""
        loop = asyncio.get_running_loop()
        waiter = Waiter(bulk, loop.create_future(), loop.create_future())
        (self.bulk if bulk else self.single).append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer; nothing happens to one who was served."""
        queue = self.bulk if waiter.bulk else self.single
        if waiter in queue:
            queue.remove(waiter)

    def follow(self, waiter: Waiter, now: float) -> bool:
        """Tell one who came last what those before it wait for; False where it is the first, or they know nothing."""
        queue = self.bulk if waiter.bulk else self.single
        until, reason = self._outlook
        if queue[0] is waiter or until <= now:
            return False
        waiter.tell((until - now, reason))
        return True

    def tell(self, now: float, wait: float, reason: str) -> None:
        """Tell those who came since the last time how long they have to wait."""
        shown = math.inf if reason == PROBING else wait  # an answer ends it; the lease only where none comes
        self._outlook = now + shown, reason
        for waiter in (*self.single, *self.bulk) if wait > 0 else ():
            waiter.tell((shown, reason))

    def fail(self, make: Callable[[], Exception]) -> None:
        """Refuse all, each with an error of its own."""
        for queue in (self.single, self.bulk):
            while queue:
                queue.popleft().fail(make())
