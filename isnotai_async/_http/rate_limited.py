"""Rate-limited sending: wait for a permit, send, and report the outcome to the limiter."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Final, TypeVar, cast

from attrs import define, field

from isnotai_async._http.http_session import Connections
from isnotai_async._http.messages import TIER_HEADER, Request, Response, read_retry_after
from isnotai_async._http.transport import Transport
from isnotai_async._models.tiers import Tier, read_tier
from isnotai_async._notices import Narrator, WaitNotice
from isnotai_async._ratelimit.limiter import NOT_SENT, Answer, Limiter, Permit, Unlimited
from isnotai_async._ratelimit.local import LocalLimiter
from isnotai_async._ratelimit.policy import PAUSED
from isnotai_async.errors import ConfigError, TransportTimeoutError

T = TypeVar("T")

# Those that can tell at once. By exact type: what is built on one of them may do more in its `acquire`.
_IMMEDIATE: Final = frozenset({LocalLimiter, Unlimited})


@lru_cache(maxsize=64)  # nearly all of them are the same
def _answer(status: int, tier: Tier | None) -> Answer:
    return Answer(status, None, tier)


@define(eq=False, repr=False)
class _Turn:
    """What one request holds since it began, and what its permit is to be told."""

    begun: float
    permit: Permit | None = None
    has_slot: bool = False
    answer: Answer | None = NOT_SENT


@define(eq=False, repr=False)
class PacedTransport:
    """Sends each request with a permit of the limiter and a slot for a connection, until the request's deadline.

    The slot is taken after the permit: work that waits for permits must not keep connections from others.

    Attributes:
        transport: What sends.
        limiter: What grants permits. Requests without the key (`health`) need none: limits are counted by key.
        narrator: What is told of waits and tiers.
        connections: What has the slots; None for no bound.
        ends_within: Seconds within which the transport ends by itself, so that a later deadline needs no timer.
        clock: The clock that deadlines are of, in seconds.
    """

    transport: Transport
    limiter: Limiter
    narrator: Narrator
    connections: Connections | None = None
    ends_within: float | None = None
    clock: Callable[[], float] = time.monotonic
    _patience: float | None = field(init=False)  # how long a permit may wait for a connection

    def __attrs_post_init__(self) -> None:
        # Only a limiter that processes share has one: it takes a permit back by itself when its holder may be dead.
        lease = getattr(self.limiter, "lease", None)
        self._patience = None
        if not isinstance(lease, int | float):
            return
        if self.ends_within is None or self.ends_within >= lease:
            raise ConfigError(
                f"timeout={self.ends_within!r} is not below the limiter's lease of {lease:g} s: a request would "
                "outlive its permit; give the client a shorter timeout, or RedisLimiter a longer lease="
            )
        # The other half is for the way from Redis to here, and from here to the server.
        self._patience = (lease - self.ends_within) / 2

    async def send(self, request: Request) -> Response:
        """Wait for a permit, send once, and read the answer, whatever its status.

        Raises:
            TransportTimeoutError: The deadline passed (`deadline_exceeded`); `attempts` is 0 where it did so before
                anything was sent. Or one attempt took too long.
            TransportError: Nobody answered, or not in full.
        """
        turn = _Turn(self.clock())
        try:
            if not self._enter_at_once(request, turn):
                await self._in_time(request, turn, self._enter(request, turn))
            turn.answer = None  # from here on the server may count it
            if self._is_far(request):
                response = await self.transport.send(request)
            else:
                response = await self._in_time(request, turn, self.transport.send(request))
            turn.answer = self._learn(response)
            return response
        except ConfigError as error:
            if error.attempts == 0:  # a borrowed session may fail after it has sent
                turn.answer = NOT_SENT
            raise
        finally:
            if turn.has_slot and self.connections is not None:
                self.connections.slots.release()
            if turn.permit is not None:
                await self.limiter.release(turn.permit, turn.answer)

    def _enter_at_once(self, request: Request, turn: _Turn) -> bool:
        """Take what is free, which is nearly always all; a timer for that would cost more than the rest of this."""
        limiter = self.limiter
        if request.authenticated and type(limiter) in _IMMEDIATE:
            turn.permit = cast(LocalLimiter | Unlimited, limiter).acquire_nowait(bulk=request.bulk)
        if request.authenticated and turn.permit is None:
            return False
        turn.has_slot = self.connections is None or self.connections.slots.acquire_nowait()
        return turn.has_slot

    def _is_far(self, request: Request) -> bool:
        """Tell whether the deadline comes after the transport has ended by itself, so that it needs no timer."""
        if request.deadline is None:
            return True
        return self.ends_within is not None and self.clock() + self.ends_within < request.deadline

    async def _in_time(self, request: Request, turn: _Turn, work: Awaitable[T]) -> T:
        """Work until the request's deadline."""
        scope = asyncio.timeout(None if request.deadline is None else request.deadline - self.clock())
        try:
            async with scope:
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
        was_sent = turn.answer is not NOT_SENT
        where = "before the answer was complete" if was_sent else self._name_wait(request, turn)
        raise self._late(f"the deadline passed {where}, after {self.clock() - turn.begun:.1f} s", attempts=was_sent)

    async def _enter(self, request: Request, turn: _Turn) -> None:
        while not turn.has_slot or (request.authenticated and turn.permit is None):
            if request.authenticated and turn.permit is None:
                on_wait = partial(self._announce, request)
                turn.permit = await self.limiter.acquire(bulk=request.bulk, on_wait=on_wait)
            if turn.has_slot or await self._take_slot(turn):
                continue
            permit, turn.permit = turn.permit, None
            if permit is not None:
                await self.limiter.release(permit, NOT_SENT)

    async def _take_slot(self, turn: _Turn) -> bool:
        """Wait for a connection, for no longer than the permit can."""
        if self.connections is not None:
            try:
                async with asyncio.timeout(None if turn.permit is None else self._patience):
                    await self.connections.slots.acquire()
            except TimeoutError:
                return False
        turn.has_slot = True
        return True

    def _name_wait(self, request: Request, turn: _Turn) -> str:
        if request.authenticated and turn.permit is None:
            return "while waiting for a permit of the rate limit"
        return "while waiting for one of the connections (max_concurrency)"

    def _learn(self, response: Response) -> Answer:
        headers = response.headers
        name = headers.get(TIER_HEADER)
        tier = read_tier(name)
        if name is not None:
            self.narrator.see_tier(tier, name)
        if response.status == 429:
            return Answer(429, read_retry_after(headers), tier)
        return _answer(response.status, tier)

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
