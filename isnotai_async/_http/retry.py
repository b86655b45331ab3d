"""Runs the attempts of a call: sends, waits and sends again, as `retry_policy` decides.

Every attempt is paced and uses a permit. The deadline is checked before each wait: if the wait would end after it,
the last failure that was not a deadline is raised at once, with `deadline_exceeded`.

Taking turns: 32 KiB are read in each round of the event loop, two pages of 100 events. If many answers arrive at
the same time, the loop would otherwise read all of them before it does anything else: 64 pages hold it for 20 ms. So
each call waits for its turn before it reads its answer; timers, sockets and other tasks run between two rounds. If
only one answer is under way, this is left out.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from attrs import asdict, define, evolve, field
from msgspec import Struct
from msgspec.structs import replace

from isnotai_async._http.api_errors import add_words
from isnotai_async._http.credentials import ApiKey
from isnotai_async._http.messages import Request, Response, read_retry_after, show_target
from isnotai_async._http.retry_policy import (
    FULL_QUOTA,
    Backoff,
    FailureKind,
    Retry,
    RetryCause,
    RetryQuota,
    judge_status,
)
from isnotai_async._http.transport import Transport
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import MAX_RECORD_BYTES, Page
from isnotai_async._notices import (
    AttemptNotice,
    Notifier,
    PageNotice,
    RetryNotice,
    captured_by,
    log_fields,
    logger,
    until,
)
from isnotai_async.errors import (
    APIError,
    ConnectError,
    DecodeError,
    GatewayError,
    IsNotAIError,
    LimiterError,
    ProtocolError,
    RateLimitedError,
    TransportError,
    TransportTimeoutError,
)

_BYTES_A_ROUND: Final = 32 * 2**10


class FairReader:
    """Gives turns, first come first served: in each round of the loop one, or as many as have 32 KiB to read.

    Attributes:
        expected: How many answers are under way.
    """

    def __init__(self) -> None:
        self.expected = 0
        self._left: int | None = None  # bytes of this round; None if no turn was taken in the last one
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def are_wanted(self) -> bool:
        """Whether other calls have answers to read."""
        return self.expected > 0 or self._left is not None

    async def take(self, size: int) -> None:
        """Wait for a turn to read so many bytes. It ends by itself."""
        loop = asyncio.get_running_loop()
        if self._left is None:
            self._left = _BYTES_A_ROUND - size
            loop.call_soon(self._pass_on, loop)
        elif self._waiting or size > self._left:
            turn = loop.create_future()
            self._waiting.append((turn, size))
            await turn  # a cancelled one is skipped
        else:
            self._left -= size

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = None
        while self._waiting and (self._left is None or self._waiting[0][1] <= self._left):
            turn, size = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left = (_BYTES_A_ROUND if self._left is None else self._left) - size
        if self._left is not None:
            loop.call_soon(self._pass_on, loop)


T = TypeVar("T")

_LARGE_BODY: Final = 256 * 1024
"""Bytes above which a body is decoded in a thread: a page of 100 events has 12 KiB, 8 MiB of ``{}`` take seconds."""

Failure = TransportError | APIError | DecodeError


class _Call(Struct, eq=False):
    """The state of one call.

    Attributes:
        request: The request, with its deadline.
        begun: Time of its start.
        attempts: Requests that were sent so far.
        last: The last failure that was not a deadline.
        is_late: Whether the deadline ended it.
        backoff: Created at the first failure.
        is_told: Whether its notices are emitted.
        is_second_look: Whether a page with unreadable records was requested a second time.
        spare: That page; it is returned if there is no other attempt.
        spare_deviations: Its deviations from the documentation.
    """

    request: Request
    begun: float
    is_told: bool
    attempts: int = 0
    last: Failure | None = None
    is_late: bool = False
    backoff: Backoff | None = None
    is_second_look: bool = False
    spare: Any = None
    spare_deviations: Sequence[Deviation] = ()


@define(eq=False, repr=False)
class Retrier:
    """Sends a request until there is an answer, or until a retry is not allowed.

    Attributes:
        transport: Sends one request.
        retry: How often and when to retry.
        deadline: Seconds for everything, waits included; None for no limit.
        quota: Budget for the retries of all calls.
        notifier: Emits the notices of attempts, retries and pages.
        key: The API key, to remove it from errors that echo it; or None.
        clock: Returns monotonic seconds; the clock of `Request.deadline`.
        sleep: Waits a number of seconds.
        roll: Returns a random number from 0 to 1.
        fair_reader: Lets calls read their answers one after the other.
        strict: Whether a deviation from the documented answers is an error.
        check: Called first; it raises `ConfigError` if the client is not open, before a permit is used.
    """

    transport: Transport
    retry: Retry
    deadline: float | None
    quota: RetryQuota
    notifier: Notifier
    key: ApiKey | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    roll: Callable[[], float] = random.random
    fair_reader: FairReader = field(factory=FairReader)
    strict: bool = False
    check: Callable[[], None] | None = None

    async def fetch(self, request: Request, read: Callable[[Response], T]) -> T:
        """Send a request and read its answer, with retries.

        Args:
            request: The request.
            read: Reads the answer, as `Endpoint.read` does.

        Raises:
            TransportError: No attempt got an answer. Like the next two, it has the number of `attempts` and the whole
                `elapsed` time.
            APIError: The API answered with an error.
            DecodeError: The answer cannot be read, also at a second attempt.
        """
        call = self._begin(request)
        failure: Failure | None = None
        while True:
            try:
                response = await self._send(call)
                if self.fair_reader.are_wanted:
                    await self.fair_reader.take(len(response.body))
                response.attempts, response.elapsed = call.attempts, self.clock() - call.begun
                if len(response.body) <= _LARGE_BODY:
                    value = _read(response, read)
                else:
                    value = await asyncio.to_thread(_read, response, read)
                self._accept(call, response, value)
            except (TransportError, APIError, DecodeError) as error:
                failure = error
            else:
                failure = None  # as below
                return self._record_success(call, value, response.deviations)
            wait = self._judge(call, failure)
            if wait is None:
                break
            call.spare = None
            await self._wait(call, wait, failure)
        if call.spare is not None:
            spare: T = call.spare
            call.spare = failure = None
            return self._record_success(call, spare, call.spare_deviations)
        failure = self._complete(call, failure)
        try:
            raise failure
        finally:
            del failure  # or error, traceback and this frame would keep one another alive

    def _begin(self, request: Request) -> _Call:
        if self.check is not None:
            self.check()
        now = self.clock()
        if self.deadline is not None:
            request = replace(request, deadline=now + self.deadline)
        has_listener = self.notifier.on_notice is not None or captured_by.get() is not None
        return _Call(request, now, has_listener or logger.isEnabledFor(logging.DEBUG))

    async def _send(self, call: _Call) -> Response:
        begun, fair_reader = self.clock(), self.fair_reader
        fair_reader.expected += 1
        try:
            response = await self.transport.send(call.request)
        except TransportError as error:
            # One that the deadline ended before it got its permit says 0; so does one that got none at all.
            says = error.deadline_exceeded or isinstance(error, LimiterError)
            call.attempts += error.attempts if says else 1
            if call.is_told:
                self._report_attempt(call, error, begun)
            raise
        finally:
            fair_reader.expected -= 1
        call.attempts += 1
        if call.is_told:
            self._report_attempt(call, response, begun)
        return response

    def _accept(self, call: _Call, response: Response, value: object) -> None:
        """Look at what was read: whether it is worth a second look, or has something to report."""
        if self.strict:
            check_strictly(response, value)
        if isinstance(value, Page) and value.rejected and not call.is_second_look:
            call.is_second_look, call.spare, call.spare_deviations = True, value, response.deviations
            raise value.rejected[0].as_error()

    def _judge(self, call: _Call, failure: Failure) -> float | None:
        """Return the seconds to wait before one more attempt, or None if there is none."""
        if self.key is not None and isinstance(failure, APIError):
            self.key.scrub_error(failure)  # at once: a task cancelled during the wait would show it
        if failure.deadline_exceeded:
            call.is_late = True
            return None
        call.last = failure
        cause = _find_cause(failure)
        if cause is None:
            return None
        if call.backoff is None:
            call.backoff = Backoff(self.retry, self.quota)
        deadline = call.request.deadline
        left = math.inf if deadline is None else deadline - self.clock()
        decision = call.backoff.judge(cause, jitter=self.roll(), left=left)
        if decision.wait is None:
            operation, why_not = call.request.operation, decision.why_not
            extra = log_fields("no retry", region=self.notifier.region, operation=operation, reason=why_not)
            logger.debug("%s is not tried again: %s", operation, why_not, extra=extra)
        call.is_late = decision.is_late
        return decision.wait

    async def _wait(self, call: _Call, wait: float, failure: Failure) -> None:
        operation, attempt, reason = call.request.operation, call.attempts + 1, _describe(failure)
        region = self.notifier.region
        kind = _name_kind(failure)
        extra = log_fields("retry", region=region, operation=operation, attempt=attempt, wait=wait, kind=kind)
        logger.info("%s waits for %s, before attempt %d: %s", operation, until(wait), attempt, reason, extra=extra)
        notice = RetryNotice(region=region, operation=operation, attempt=attempt, wait=wait, reason=reason, kind=kind)
        self.notifier.emit(notice)
        await self.sleep(wait)

    def _record_success(self, call: _Call, value: T, deviations: Sequence[Deviation]) -> T:
        if deviations:
            self.notifier.see_deviations(call.request.operation, deviations)
        if call.backoff is not None or self.quota.tokens < FULL_QUOTA:
            self.quota.record_success(0 if call.backoff is None else call.backoff.cost)
        call.last = None
        if call.is_told and isinstance(value, Page):
            self._report_page(call, value)
        if isinstance(value, Page) and value.rejected:
            counted: Any = evolve(
                value, rejected=tuple(evolve(each, attempts=call.attempts) for each in value.rejected)
            )
            value = counted
        return value

    def _complete(self, call: _Call, failure: Failure) -> Failure:
        if failure.deadline_exceeded and call.last is not None:  # the last other failure says more
            failure = call.last
        failure.region, failure.attempts = self.notifier.region, call.attempts
        failure.elapsed, failure.deadline_exceeded = self.clock() - call.begun, call.is_late
        if call.is_late:
            add_words(failure, f"the deadline of {self.deadline:g} s ended the call")
        call.last = None  # frames of the error's traceback have the call
        return failure

    def _report_attempt(self, call: _Call, outcome: Response | TransportError, begun: float) -> None:
        answered, elapsed = isinstance(outcome, Response), self.clock() - begun
        notice = AttemptNotice(
            region=self.notifier.region,
            operation=call.request.operation,
            attempt=call.attempts,
            status=outcome.status if isinstance(outcome, Response) else None,
            error=None if answered else type(outcome).__name__,
            elapsed=elapsed,
        )
        shown = f"status {notice.status}" if answered else str(outcome)
        if logger.isEnabledFor(logging.DEBUG):
            text, extra = "%s, attempt %d: %s after %.3f s: GET %s", log_fields("attempt", **asdict(notice))
            target = show_target(call.request)
            logger.debug(text, notice.operation, notice.attempt, shown, elapsed, target, extra=extra)
        self.notifier.emit(notice)

    def _report_page(self, call: _Call, page: Page[object]) -> None:
        operation, records = call.request.operation, len(page.data)
        notice = PageNotice(region=self.notifier.region, operation=operation, records=records, has_more=page.has_more)
        self.notifier.emit(notice)


def _find_cause(failure: Failure) -> RetryCause | None:
    match failure:
        case APIError() if failure.status < 300:  # an error envelope under a success
            return RetryCause(FailureKind.TRANSIENT, retry_limit=1)
        case APIError():
            kind = judge_status(failure.status)
            return None if kind is None else RetryCause(kind, retry_after=failure.retry_after)
        case DecodeError():
            return RetryCause(FailureKind.TRANSIENT, retry_limit=failure.retry_limit)
        case GatewayError():
            return RetryCause(FailureKind.TRANSIENT, retry_after=read_retry_after(failure.headers))
        case TransportTimeoutError():
            return RetryCause(FailureKind.TIMEOUT, retry_limit=failure.retry_limit)
        case _:  # the base class itself says that a connection was lost which had been made before
            at_once = type(failure) is TransportError
            return RetryCause(FailureKind.TRANSIENT, retry_limit=failure.retry_limit, at_once=at_once)


def _read(response: Response, read: Callable[[Response], T]) -> T:
    try:
        return read(response)
    except DecodeError as error:
        error.body = error.body or response.body[:MAX_RECORD_BYTES]
        raise


def check_strictly(response: Response, value: object) -> None:
    """Check that an answer is as documented, after it was read.

    Raises:
        DecodeError: It is not; of several places the first.
    """
    if response.deviations:
        first = response.deviations[0]
        text = f"{first.text} - at {first.path}"
        raise DecodeError(text, path=first.path, body=response.body[:MAX_RECORD_BYTES])
    if isinstance(value, Page) and value.rejected:
        raise value.rejected[0].as_error()


_KINDS: Final[tuple[tuple[type[IsNotAIError], str], ...]] = (
    (RateLimitedError, "rate limited"),
    (APIError, "status"),
    (DecodeError, "unreadable"),
    (GatewayError, "gateway"),
    (ConnectError, "connect"),
    (TransportTimeoutError, "timeout"),
    (ProtocolError, "protocol"),
    (LimiterError, "limiter"),
    (TransportError, "connection lost"),
)


def _name_kind(failure: Failure) -> str:
    return next(name for kind, name in _KINDS if isinstance(failure, kind))


def _describe(failure: Failure) -> str:
    if isinstance(failure, APIError):
        return f"status {failure.status}"
    return "the answer could not be read" if isinstance(failure, DecodeError) else str(failure)
