"""Pacing: wait for a permit, then send, and tell the limiter how it went."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial

from attrs import define

from isnotai_async.errors import TransportTimeoutError
from isnotai_async.gate import PAUSED
from isnotai_async.headers import TIER_HEADER, read_retry_after
from isnotai_async.limiter import Limiter
from isnotai_async.messages import Request, Response
from isnotai_async.notices import Narrator, WaitNotice
from isnotai_async.permits import Answer, Permit
from isnotai_async.tiers import read_tier
from isnotai_async.transport import Transport


@define(eq=False)
class PacedTransport:
    """Sends each request with a permit of the limiter, and gives up at the request's deadline.

    Attributes:
        transport: What sends.
        limiter: What grants permits. Requests without the key (`health`) need none: limits are counted by key.
        narrator: What is told of waits and tiers.
        clock: The clock that deadlines are of, in seconds.
    """

    transport: Transport
    limiter: Limiter
    narrator: Narrator
    clock: Callable[[], float] = time.monotonic

    async def send(self, request: Request) -> Response:
        """Wait for a permit, send once, and read the answer, whatever its status.

        Raises:
            TransportTimeoutError: The deadline passed (`deadline_exceeded`); `attempts` is 0 where it did so before
                a permit came. Or one attempt took too long.
            TransportError: Nobody answered, or not in full.
        """
        permit: Permit | None = None
        answer: Answer | None = None
        begun = self.clock()
        scope = asyncio.timeout(None if request.deadline is None else request.deadline - begun)
        try:
            async with scope:
                if request.authenticated:
                    permit = await self.limiter.acquire(bulk=request.bulk, on_wait=partial(self._announce, request))
                response = await self.transport.send(request)
                answer = self._learn(response)
                return response
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            if permit is not None:
                await self.limiter.release(permit, answer)
        waited_only = request.authenticated and permit is None
        where = "while waiting for a permit of the rate limit" if waited_only else "before the answer was complete"
        raise self._late(f"the deadline passed {where}, {self.clock() - begun:.1f} s after", attempts=not waited_only)

    def _learn(self, response: Response) -> Answer:
        headers = response.headers
        name = headers.get(TIER_HEADER)
        tier = read_tier(name)
        if name is not None:
            self.narrator.see_tier(tier, name)
        return Answer(response.status, read_retry_after(headers) if response.status == 429 else None, tier)

    def _announce(self, request: Request, wait: float, reason: str) -> None:
        notice = WaitNotice(region=self.narrator.region, operation=request.operation, wait=wait, reason=reason)
        self.narrator.tell(notice)
        left = math.inf if request.deadline is None else request.deadline - self.clock()
        # Of all waits only a pause cannot become shorter, so nobody is kept in a queue that leads nowhere.
        if reason == PAUSED and wait >= left:
            text = f"the API answered 429 and this key pauses for {wait:.0f} s more, which is past the deadline"
            raise self._late(text, attempts=False)

    def _late(self, text: str, *, attempts: bool) -> TransportTimeoutError:
        error = TransportTimeoutError(text)
        error.region, error.attempts, error.deadline_exceeded = self.narrator.region, int(attempts), True
        return error
