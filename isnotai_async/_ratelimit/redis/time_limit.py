"""The time limit of calls: one timer for all of them, because a timer for each costs as much as a tenth of a permit."""

from __future__ import annotations

import asyncio

from attrs import define, field


@define(eq=False)
class TimeLimit:
    """A time limit for each of many calls on one event loop.

    Args:
        seconds: Longest time that one call may take.
    """

    _seconds: float
    _ends: dict[asyncio.Timeout, float] = field(factory=dict, init=False)  # by call, the oldest first
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def start(self) -> asyncio.Timeout:
        """Return the limit of a call that starts now, as from `asyncio.timeout`. Pass it to `end` after the call."""
        loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)
        self._ends[limit] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._check)
        return limit

    def end(self, limit: asyncio.Timeout) -> None:
        """Forget a call that has ended."""
        self._ends.pop(limit, None)

    def _check(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._ends:
            limit, end = next(iter(self._ends.items()))
            if end > loop.time():
                self._timer = loop.call_at(end, self._check)
                return
            del self._ends[limit]
            limit.reschedule(end)
