"""Bounds of time for attempts, kept by one timer for all of them.

A timer that is set and cancelled for each request takes 3 to 5 µs, and aiohttp's own `sock_read` sets two more for
each answer, though one in a million ever rings. All attempts of a transport may be silent for equally long, so the
oldest is always the next to be late: one timer for that one will do, and where answers come in time it rings for
nobody.
"""

from __future__ import annotations

import asyncio
from contextvars import Context

from attrs import define, field


@define(eq=False, repr=False)
class AttemptWatch:
    """Ends attempts whose answer does not begin to come in time. It belongs to one event loop.

    Attributes:
        seconds: From the beginning of an attempt until the head of its answer is complete; None for no limit.
    """

    seconds: float | None
    # When each attempt began that waits for the head of its answer; in that order, as dicts keep it.
    _begun: dict[asyncio.Timeout, float] = field(factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def begin(self, loop: asyncio.AbstractEventLoop, now: float) -> asyncio.Timeout:
        """Return the scope to make an attempt in. `end` has to follow, whatever comes of it.

        Args:
            loop: The running loop.
            now: Its time.
        """
        scope = asyncio.timeout(None)
        if self.seconds is not None:
            self._begun[scope] = now
            if self._timer is None:
                self._set(loop, now + self.seconds)
        return scope

    def end(self, scope: asyncio.Timeout) -> None:
        """Watch an attempt no longer; nothing happens where that was so already."""
        self._begun.pop(scope, None)

    def stop(self) -> None:
        """Leave no timer behind: nothing is watched any more."""
        self._begun.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        # In a context of its own, or the first request's context variables would be kept alive.
        self._timer = loop.call_at(when, self._look, loop, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, seconds, now = None, self.seconds or 0.0, loop.time()
        for scope, begun in list(self._begun.items()):
            if begun + seconds > now:
                self._set(loop, begun + seconds)
                return
            del self._begun[scope]
            scope.reschedule(now)
