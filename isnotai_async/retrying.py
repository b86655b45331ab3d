"""Retrying: send again, or let it through. The rules are in `backoff`; here they are carried out.

Every attempt goes through pacing and so pays a permit. The deadline is checked before each wait, so nobody sleeps
towards an instant at which it would be too late: the last real outcome comes at once instead, marked
`deadline_exceeded`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from attrs import define, field

from isnotai_async.backoff import Backoff, Kind, Retry, RetryQuota, Trouble, judge_status
from isnotai_async.errors import DecodeError, LimiterError, PaginationError, TransportError, TransportTimeoutError
from isnotai_async.headers import read_retry_after
from isnotai_async.messages import Request, Response
from isnotai_async.notices import TOLD_SECONDS, AttemptNotice, Narrator, RetryNotice, logger, until
from isnotai_async.transport import Transport
from isnotai_async.turns import Turns
from isnotai_async.wire import read_response

T = TypeVar("T")

Outcome = Response | TransportError

_UNREADABLE: Final = Trouble(Kind.TRANSIENT, retry_limit=1)


@define(eq=False, repr=False)
class _Call:
    """What one call has been through.

    Attributes:
        request: What is asked, with its deadline.
        begun: When it began.
        attempts: Requests on the wire so far.
        last: The last outcome that came from outside, and not from the deadline.
        is_late: Whether the deadline ended it.
        backoff: Made when there is trouble.
    """

    request: Request
    begun: float
    attempts: int = 0
    last: Outcome | None = None
    is_late: bool = False
    backoff: Backoff | None = None


@define(eq=False, repr=False)
class RetryingTransport:
    """Sends until there is an answer worth having, or no hope of one.

    Attributes:
        transport: What sends once.
        retry: How often and when.
        deadline: Seconds for everything, waits included; None for no limit.
        quota: What the retries of all calls may cost together.
        narrator: What is told of attempts and retries.
        clock: Seconds, never going back; the clock of `Request.deadline`.
        sleep: Waits.
        roll: Random numbers from 0 to 1.
        turns: Keeps answers that come together from being read all at once.
    """

    transport: Transport
    retry: Retry
    deadline: float | None
    quota: RetryQuota
    narrator: Narrator
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    roll: Callable[[], float] = random.random
    turns: Turns = field(factory=Turns)

    async def send(self, request: Request) -> Response:
        """Send until the answer is final, whatever its status; it tells all `attempts` and the whole `elapsed`.

        Raises:
            TransportError: Nobody answered in the end.
        """
        call = self._begin(request)
        response = await self._send(call)
        self._settle(call, response)
        return response

    async def fetch(self, request: Request, read: Callable[[Response], T]) -> T:
        """Send and read; an answer that cannot be read is asked for once more.

        Args:
            request: What to ask.
            read: One of the readers of `wire`.

        Raises:
            IsNotAIError: As of `send` and of `wire.read_response`.
        """
        call = self._begin(request)
        self.turns.expected += 1
        try:
            response = await self._send(call)
        finally:
            self.turns.expected -= 1
        if self.turns.are_wanted:
            await self.turns.take()
        try:
            value = read_response(response, read)
        except PaginationError:  # a broken chain of cursors is no accident of the transfer
            raise
        except DecodeError as error:
            wait = self._judge(call, _UNREADABLE)
            error.deadline_exceeded = call.is_late
            if wait is None:
                raise
        else:
            self._settle(call, response)
            return value
        await self._wait(call, wait, "the answer could not be read")
        response = await self._send(call)
        value = read_response(response, read)
        self._settle(call, response)
        return value

    def _begin(self, request: Request) -> _Call:
        now = self.clock()
        if self.deadline is not None:
            # Written out, because evolve() would take longer than all the rest here.
            operation, target, cursor = request.operation, request.target, request.cursor
            deadline = now + self.deadline
            request = Request(operation, target, cursor, request.authenticated, request.bulk, deadline)
        return _Call(request, now)

    async def _send(self, call: _Call) -> Response:
        while True:
            begun = self.clock()
            outcome: Outcome
            try:
                outcome = await self.transport.send(call.request)
                call.attempts += 1
            except TransportError as error:
                # One that the deadline ended before it got its permit says 0; so does one that got none at all.
                says = error.deadline_exceeded or isinstance(error, LimiterError)
                call.attempts += error.attempts if says else 1
                outcome = error
            if self.narrator.is_heard or logger.isEnabledFor(logging.DEBUG):
                self._tell_attempt(call, outcome, self.clock() - begun)
            trouble = _find_trouble(outcome)
            if isinstance(outcome, TransportError) and outcome.deadline_exceeded:
                call.is_late, outcome = True, call.last or outcome
                break
            if trouble is None:
                break
            call.last = outcome
            wait = self._judge(call, trouble)
            if wait is None:
                break
            await self._wait(call, wait, _describe(outcome))
        return self._hand_over(call, outcome)

    def _judge(self, call: _Call, trouble: Trouble) -> float | None:
        """Return the seconds to wait for one more attempt; None where there is none."""
        if call.backoff is None:
            call.backoff = Backoff(self.retry, self.quota)
        deadline = call.request.deadline
        left = math.inf if deadline is None else deadline - self.clock()
        verdict = call.backoff.judge(trouble, jitter=self.roll(), left=left)
        if verdict.wait is None:
            logger.debug("%s is not tried again: %s", call.request.operation, verdict.why_not)
        call.is_late = verdict.is_late
        return verdict.wait

    async def _wait(self, call: _Call, wait: float, reason: str) -> None:
        operation, attempt = call.request.operation, call.attempts + 1
        if wait > TOLD_SECONDS:
            logger.info("%s waits for %s, before attempt %d: %s", operation, until(wait), attempt, reason)
        region = self.narrator.region
        notice = RetryNotice(region=region, operation=operation, attempt=attempt, wait=wait, reason=reason)
        self.narrator.tell(notice)
        await self.sleep(wait)

    def _settle(self, call: _Call, response: Response) -> None:
        if response.status < 300:
            self.quota.settle(0 if call.backoff is None else call.backoff.cost)

    def _hand_over(self, call: _Call, outcome: Outcome) -> Response:
        elapsed = self.clock() - call.begun
        outcome.attempts, outcome.elapsed, outcome.deadline_exceeded = call.attempts, elapsed, call.is_late
        if isinstance(outcome, Response):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # or error, traceback and this frame would keep one another alive

    def _tell_attempt(self, call: _Call, outcome: Outcome, elapsed: float) -> None:
        answered = isinstance(outcome, Response)
        notice = AttemptNotice(
            region=self.narrator.region,
            operation=call.request.operation,
            attempt=call.attempts,
            status=outcome.status if isinstance(outcome, Response) else None,
            error=None if answered else type(outcome).__name__,
            elapsed=elapsed,
        )
        text = "%s, attempt %d: %s after %.3f s"
        logger.debug(text, notice.operation, notice.attempt, _describe(outcome), elapsed)
        self.narrator.tell(notice)


def _find_trouble(outcome: Outcome) -> Trouble | None:
    if isinstance(outcome, Response):
        kind = judge_status(outcome.status)
        return None if kind is None else Trouble(kind, retry_after=read_retry_after(outcome.headers))
    kind = Kind.TIMEOUT if isinstance(outcome, TransportTimeoutError) else Kind.TRANSIENT
    # The base class itself says that a connection was lost which had been made before.
    return Trouble(kind, retry_limit=outcome.retry_limit, at_once=type(outcome) is TransportError)


def _describe(outcome: Outcome) -> str:
    return f"status {outcome.status}" if isinstance(outcome, Response) else str(outcome)
