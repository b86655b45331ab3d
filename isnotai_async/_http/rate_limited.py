"""Rate-limited sending: wait for a permit, send, and report the outcome to the limiter."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from attrs import define, field
from msgspec import Struct

from isnotai_async._http.http_session import HttpSession
from isnotai_async._http.messages import TIER_HEADER, Request, Response, read_retry_after
from isnotai_async._http.transport import Transport
from isnotai_async._models.tiers import read_tier
from isnotai_async._notices import Notifier, WaitNotice
from isnotai_async._ratelimit.limiter import (
    NOT_SENT,
    ImmediateLimiter,
    LeasedLimiter,
    Limiter,
    Permit,
    RequestOutcome,
    find_immediate,
)
from isnotai_async._ratelimit.policy import PAUSED
from isnotai_async.errors import ConfigError, TransportTimeoutError

T = TypeVar("T")


class _Attempt(Struct, eq=False):
    """State of one request: its start, its permit, its connection slot, and the outcome to report."""

    begun: float
    permit: Permit | None = None
    has_slot: bool = False
    answer: RequestOutcome | None = NOT_SENT


@define(eq=False, repr=False)
class RateLimitedTransport:
    """A transport that sends each request with a permit and a connection slot, before the request's deadline.

    The slot is taken after the permit, because requests that wait for permits must not block connections.

    Attributes:
        transport: Transport that sends the requests.
        limiter: Limiter that grants permits. Requests without the key (`health`) need none, because the API counts
            requests by key.
        notifier: Receives the notices about waits and tiers.
        connections: Connections with a limited number of slots; None for no limit.
        ends_within: Seconds within which the transport always ends. A later deadline needs no timer.
        clock: The clock of the deadlines, in seconds.
    """

    transport: Transport
    limiter: Limiter
    notifier: Notifier
    connections: HttpSession | None = None
    ends_within: float | None = None
    clock: Callable[[], float] = time.monotonic
    _immediate: ImmediateLimiter | None = field(init=False)
    _patience: float | None = field(init=False)  # how long a permit may wait for a connection

    def __attrs_post_init__(self) -> None:
        self._immediate, self._patience = find_immediate(self.limiter), None
        if not isinstance(self.limiter, LeasedLimiter):
            return
        lease = self.limiter.lease
        if self.ends_within is None or self.ends_within >= lease:
            raise ConfigError(
                f"timeout={self.ends_within!r} is not below the limiter's lease of {lease:g} s: a request would "
                "outlive its permit; give the client a shorter timeout, or the limiter a longer lease="
            )
        # The other half is for the reply from Redis, and for the request on its way to the server.
        self._patience = (lease - self.ends_within) / 2

    async def send(self, request: Request) -> Response:
        """Wait for a permit, send the request once, and return the response, whatever its status.

        Raises:
            TransportTimeoutError: The deadline passed (`deadline_exceeded`); `attempts` is 0 if nothing was sent
                before. Or the attempt took too long.
            TransportError: No response came, or an incomplete one.
        """
        turn = _Attempt(self.clock())
        try:
            if not self._enter_at_once(request, turn):
                await self._in_time(request, turn, self._enter(request, turn))
            turn.answer = None  # from here on the server may count the request
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

    def _enter_at_once(self, request: Request, turn: _Attempt) -> bool:
        """Take the permit and the slot if both are free, and return whether they are.

        They are nearly always free, and a timer would cost more than all the rest.
        """
        if request.authenticated:
            if self._immediate is not None:
                turn.permit = self._immediate.acquire_nowait(bulk=request.bulk)
            if turn.permit is None:
                return False
        turn.has_slot = self.connections is None or self.connections.slots.acquire_nowait()
        return turn.has_slot

    def _is_far(self, request: Request) -> bool:
        """Return whether the transport always ends before the deadline, so that the deadline needs no timer."""
        if request.deadline is None:
            return True
        return self.ends_within is not None and self.clock() + self.ends_within < request.deadline

    async def _in_time(self, request: Request, turn: _Attempt, work: Awaitable[T]) -> T:
        """Await the work, but no longer than the request's deadline."""
        scope = asyncio.timeout(None if request.deadline is None else request.deadline - self.clock())
        try:
            async with scope:
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
        was_sent = turn.answer is not NOT_SENT
        what = "the answer was not complete" if was_sent else self._name_wait(request, turn)
        raise self._late(f"{what} after {self.clock() - turn.begun:.1f} s", attempts=was_sent)

    async def _enter(self, request: Request, turn: _Attempt) -> None:
        while not turn.has_slot or (request.authenticated and turn.permit is None):
            if request.authenticated and turn.permit is None:
                on_wait = partial(self._announce, request)
                turn.permit = await self.limiter.acquire(bulk=request.bulk, on_wait=on_wait)
            if turn.has_slot or await self._take_slot(turn):
                continue
            permit, turn.permit = turn.permit, None
            if permit is not None:
                await self.limiter.release(permit, NOT_SENT)

    async def _take_slot(self, turn: _Attempt) -> bool:
        """Wait for a connection slot, but no longer than the permit is valid; return whether it was taken."""
        if self.connections is not None:
            try:
                async with asyncio.timeout(None if turn.permit is None else self._patience):
                    await self.connections.slots.acquire()
            except TimeoutError:
                return False
        turn.has_slot = True
        return True

    def _name_wait(self, request: Request, turn: _Attempt) -> str:
        if request.authenticated and turn.permit is None:
            return "the call was still waiting for a permit of the rate limit"
        return "the call was still waiting for one of the connections (max_concurrency)"

    def _learn(self, response: Response) -> RequestOutcome:
        headers = response.headers
        name = headers.get(TIER_HEADER)
        tier = read_tier(name)
        if name is not None and (tier is None or tier is not self.notifier.tier):
            self.notifier.see_tier(tier, name)
        retry_after = read_retry_after(headers) if response.status == 429 else None
        return RequestOutcome(response.status, retry_after, tier)

    def _announce(self, request: Request, wait: float, reason: str) -> None:
        notice = WaitNotice(region=self.notifier.region, operation=request.operation, wait=wait, reason=reason)
        self.notifier.emit(notice)
        left = math.inf if request.deadline is None else request.deadline - self.clock()
        # Only a pause cannot become shorter. So a request whose deadline is earlier fails now and does not wait.
        if reason == PAUSED and wait >= left:
            text = f"the API answered 429 and this key pauses for {wait:.0f} s more"
            raise self._late(text, attempts=False)

    def _late(self, text: str, *, attempts: bool) -> TransportTimeoutError:
        error = TransportTimeoutError(text)
        error.region, error.attempts, error.deadline_exceeded = self.notifier.region, int(attempts), True
        return error
