"""Taking turns: a few pages are read in each round of the event loop.

When many answers arrive in the same instant, the loop would read them all before it looks at anything else: 64
pages of 100 events hold it for 20 ms. So whoever has an answer takes a turn before reading it, and timers, sockets
and other tasks get theirs in between. Four have a turn in one round, which is about a millisecond; with one alone in
each, a twentieth of what a page costs went into rounds. Where one answer at a time is under way, none of this is
done: a round of the loop is a system call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

_IN_ONE_ROUND: Final = 4


class Turns:
    """Gives a few turns in each round of the loop, first come first served.

    Attributes:
        expected: How many answers are under way.
    """

    def __init__(self) -> None:
        self.expected = 0
        self._taken = 0  # in this round
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def are_wanted(self) -> bool:
        """Whether there is anybody to take turns with."""
        return self.expected > 0 or self._taken > 0

    async def take(self) -> None:
        """Wait for a turn. It needs no giving back."""
        loop = asyncio.get_running_loop()
        if self._waiting or self._taken == _IN_ONE_ROUND:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn  # a cancelled one is passed over
            return
        self._taken += 1
        if self._taken == 1:
            loop.call_soon(self._pass_on, loop)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = 0
        while self._waiting and self._taken < _IN_ONE_ROUND:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._taken += 1
        if self._taken:
            loop.call_soon(self._pass_on, loop)
