"""Taking turns: one page is read in each round of the event loop.

When many answers arrive in the same instant, the loop would read them all before it looks at anything else: 64
pages of 100 events hold it for 20 ms. So whoever has an answer takes a turn before reading it, and timers, sockets
and other tasks get theirs in between. Where one answer at a time is under way, none of this is done: a round of the
loop is a system call.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Gives one turn in each round of the loop, first come first served.

    Attributes:
        expected: How many answers are under way.
    """

    def __init__(self) -> None:
        self.expected = 0
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def are_wanted(self) -> bool:
        """Whether there is anybody to take turns with."""
        return self.expected > 0 or self._is_taken

    async def take(self) -> None:
        """Wait for a turn. It needs no giving back."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn  # a cancelled one is passed over
            return
        self._is_taken = True
        loop.call_soon(self._pass_on, loop)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._pass_on, loop)
                return
        self._is_taken = False
