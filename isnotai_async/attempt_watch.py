"""Bounds of time for attempts, kept by one timer for all of them.

A timer that is set and cancelled for each request takes 3 to 5 µs, and aiohttp's own `sock_read` sets two more for
each answer, though one in a million ever rings. All attempts of a transport may be silent for equally long, so the
oldest is always the next to be late: one timer for that one will do, and where answers come in time it rings for
nobody.
"""

from __future__ import annotations

import asyncio
from typing import Final

from attrs import define, field

_SILENCE_SECONDS: Final = 30.0


@define(eq=False, repr=False)
class AttemptWatch:
    """Ends attempts that get no answer, or not all of it, in time. It belongs to one event loop.

    Attributes:
        timeout: Seconds for a whole attempt; None for no limit, not even of silence.
        silence: Seconds that a server may send nothing; None for no limit.
    """

    timeout: float | None
    silence: float | None = field(init=False)
    # When each attempt began that waits for the head of its answer; in that order, as dicts keep it.
    _begun: dict[asyncio.Timeout, float] = field(factory=dict, init=False)
    _is_set: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.silence = None if self.timeout is None else min(_SILENCE_SECONDS, self.timeout)

    def begin(self, loop: asyncio.AbstractEventLoop) -> asyncio.Timeout:
        """Return the scope to make an attempt in, on the running loop. `end` has to follow, whatever comes of it."""
        scope = asyncio.timeout(None)
        if self.silence is not None:
            self._begun[scope] = begun = loop.time()
            if not self._is_set:
                self._set(loop, begun + self.silence)
        return scope

    def hand_over(self, scope: asyncio.Timeout) -> None:
        """Give an attempt a timer of its own, which the whole of it is bound by: the head of its answer has come."""
        begun = self._begun.pop(scope, None)
        if begun is not None and self.timeout is not None:
            scope.reschedule(begun + self.timeout)

    def end(self, scope: asyncio.Timeout) -> None:
        """Forget an attempt."""
        self._begun.pop(scope, None)

    def _set(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._is_set = True
        loop.call_at(when, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_set, silence = False, self.silence or 0.0
        while self._begun:
            scope, begun = next(iter(self._begun.items()))
            if begun + silence > loop.time():
                self._set(loop, begun + silence)
                return
            del self._begun[scope]
            scope.reschedule(begun + silence)  # which is now
