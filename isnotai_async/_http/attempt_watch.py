"""Bounds of time for attempts, kept by one timer for all of them.

A timer that is set and cancelled for each request takes 3 to 5 µs, and aiohttp's own `sock_read` sets two more for
each answer, though one in a million ever rings. All attempts of a transport may be silent for equally long, so the
oldest is always the next to be late: one timer for that one will do, and where answers come in time it rings for
nobody. `asyncio.timeout` without a time would do for the rest, but is two coroutines an attempt, and this is none.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from types import TracebackType

from attrs import define, field


@define(eq=False, repr=False)
class Attempt:
    """One attempt: a block that raises `TimeoutError` where it was ended because it was late.

    It ends by cancelling its task, and keeps that apart from what others cancel as `asyncio.timeout` does.
    """

    _others: dict[Attempt, float]  # all that are watched
    _task: asyncio.Task[object]
    _cancelling: int = field(init=False)  # how many others want the task to be cancelled
    _is_late: bool = field(default=False, init=False)

    def __enter__(self) -> None:
        self._cancelling = self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._others.pop(self, None)
        if self._is_late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError

    def end(self) -> None:
        """End it: it is late."""
        self._is_late = True
        self._task.cancel()


@define(eq=False, repr=False)
class AttemptWatch:
    """Ends attempts whose answer does not begin to come in time. It belongs to one event loop.

    Attributes:
        seconds: From the beginning of an attempt until the head of its answer is complete; None for no limit.
    """

    seconds: float | None
    _begun: dict[Attempt, float] = field(factory=dict, init=False)  # when each began; in that order, as dicts keep it
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def begin(self, loop: asyncio.AbstractEventLoop, now: float) -> Attempt:
        """Return the block to make an attempt in, until the head of its answer is there.

        Args:
            loop: The running loop.
            now: Its time.

        Raises:
            RuntimeError: There is no task, so nothing could end it.
        """
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a request has to be made from within a task")
        attempt = Attempt(self._begun, task)
        if self.seconds is not None:
            self._begun[attempt] = now
            if self._timer is None:
                self._set(loop, now + self.seconds)
        return attempt

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
        for attempt, begun in list(self._begun.items()):
            if begun + seconds > now:
                self._set(loop, begun + seconds)
                return
            del self._begun[attempt]
            attempt.end()
