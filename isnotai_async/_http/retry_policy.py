"""Retry policy: whether a call makes one more attempt, and after how many seconds. Arithmetic only.

A call is in one of three states:

| from | what happens | to |
|---|---|---|
| attempting | a response that the caller can use | succeeded: the quota gets back what the last retry cost, or 1 |
| attempting | a cause that rules 1 to 5 allow to retry | attempting again, after the wait; the quota pays |
| attempting | any other outcome | failed |

1. Worth another attempt: a connection that failed or broke, a timeout, a response of something in front of the API,
   and the statuses 408, 425, 429 and 5xx (guide page "Errors": every route is an idempotent read). Once: a response
   that is not HTTP, a name that does not exist, a body that cannot be read. Never: a bad certificate, a redirect, an
   oversized body, any other 4xx of the API.
2. The wait is random from 0 to a bound that doubles ("full jitter": aws.amazon.com/blogs/architecture,
   "Exponential backoff and jitter"). After a connection was lost before any response, the first retry does not wait:
   the server may close an idle connection just when it is used (RFC 9112, section 9.3.1).
3. ``Retry-After`` is a floor, never cut short: a silent cap retries too early (urllib3 #1338). If it is longer than
   `max_retry_after`, the call fails.
4. A 429 is no failure but a wait: it has a counter of its own, and the limiter pauses the other requests of the key.
5. A quota keeps an outage from being multiplied: each retry costs, each success pays back. If all calls fail, some
   twenty retries are made and then none, whatever the number of calls (botocore's standard mode).
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final, NamedTuple

from attrs import Attribute, define, field, frozen

from isnotai_async._models.validation import check_int, explain_options
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import ConfigError

MAX_THROTTLES: Final = 8
"""Number of 429s that one call waits for."""

FULL_QUOTA: Final = 100
_REWARD: Final = 1
_THROTTLE_FACTOR: Final = 2.0  # the bound after a 429 starts at 1 s, after other causes at 0.5 s


class FailureKind(Enum):
    """Kinds of causes of a retry; the value is what the retry costs of the quota."""

    THROTTLED = 0
    TRANSIENT = 5
    TIMEOUT = 10  # each held a connection of an overloaded server for long


def _check_number(_retry: object, attribute: Attribute[float], value: object) -> None:
    least = 1.0 if attribute.name == "factor" else 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < math.inf:
        raise ConfigError(f"Retry: {attribute.name} must be a number of at least {least:g}, not {value!r}")


def _check_attempts(_retry: object, _attribute: object, value: object) -> None:
    check_int(value, "Retry: attempts (1 is no retry)", 1)


@explain_options
@frozen(kw_only=True)
class Retry:
    """The options of retries. Times are seconds.

    Example:
        >>> sandbox.inject(isnotai.sandbox.Fault.status(503))
        >>> impatient = client.with_options(retry=isnotai.Retry(attempts=2, base=0.1))
        >>> len((await impatient.list_sessions()).data)
        40

    Attributes:
        attempts: Number of attempts, the first included; 1 means no retry, not even after a 429. Waits for 429s (up
            to 8 a call) are not counted.
        base: Bound of the wait before the first retry; the wait is random between 0 and the bound.
        factor: Factor by which the bound grows with each further retry.
        cap: Largest bound.
        max_retry_after: Longest ``Retry-After`` to wait for. After a longer one the call fails at once, with
            `retry_after` in the error.

    Raises:
        ConfigError: A value is not valid.
    """

    attempts: int = field(default=4, validator=_check_attempts)
    base: float = field(default=0.5, validator=_check_number)
    factor: float = field(default=2.0, validator=_check_number)
    cap: float = field(default=20.0, validator=_check_number)
    max_retry_after: float = field(default=120.0, validator=_check_number)

    __repr__, __eq__, __hash__ = show, equals, hashed


def check_retry(value: Retry) -> Retry:
    """Check that a value is a `Retry`.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, Retry):
        raise ConfigError(f"retry must be a Retry, such as Retry(attempts=2), not {type(value).__name__}")
    return value


@define(eq=False, repr=False)
class RetryQuota:
    """The retry quota that the calls of a client share.

    Attributes:
        tokens: Tokens that are left, from 0 to 100.
    """

    tokens: int = FULL_QUOTA

    def charge(self, cost: int) -> bool:
        """Take the cost of a retry, if there are enough tokens; return whether there were."""
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def record_success(self, cost: int) -> None:
        """Record a success: return the cost of its last retry, or one token if it needed none."""
        self.tokens = min(FULL_QUOTA, self.tokens + (cost or _REWARD))


class RetryCause(NamedTuple):
    """The outcome of an attempt that may lead to a retry.

    Attributes:
        kind: Its kind.
        retry_after: Seconds the server asked to wait, or None.
        retry_limit: Largest number of retries for this cause, or None for no limit of its own.
        at_once: Whether the first retry does not wait.
    """

    kind: FailureKind
    retry_after: float | None = None
    retry_limit: int | None = None
    at_once: bool = False


class RetryDecision(NamedTuple):
    """The decision about one more attempt.

    Attributes:
        wait: Seconds to wait before the next attempt; None if there is none.
        why_not: The reason if there is none, for the log.
        is_late: Whether only the deadline is the reason.
    """

    wait: float | None
    why_not: str = ""
    is_late: bool = False


def judge_status(status: int) -> FailureKind | None:
    """Return the kind of cause that a status is, or None if it is not worth another attempt."""
    if status == 429:
        return FailureKind.THROTTLED
    return FailureKind.TRANSIENT if status >= 500 or status in {408, 425} else None


@define(eq=False, repr=False)
class Backoff:
    """State of one call's retries.

    Args:
        retry: The options.
        quota: The retry quota of the client.
    """

    retry: Retry
    quota: RetryQuota
    _failures: int = field(default=0, init=False)
    _throttles: int = field(default=0, init=False)
    _limited: int = field(default=0, init=False)  # retries for causes with a `retry_limit`
    _cost: int = field(default=0, init=False)

    @property
    def cost(self) -> int:
        """Cost of the last retry; 0 if there was none."""
        return self._cost

    def judge(self, cause: RetryCause, *, jitter: float, left: float = math.inf) -> RetryDecision:
        """Decide about one more attempt, and charge the quota for it.

        Args:
            cause: The outcome of the last attempt.
            jitter: A random number, from 0 to 1.
            left: Seconds until the deadline.
        """
        if why_not := self._find_reason_against(cause):
            return RetryDecision(None, why_not)
        wait = self._wait(cause, jitter)
        if wait >= left:
            why_not = f"the deadline passes in {left:.1f} s, before the wait of {wait:.1f} s"
            return RetryDecision(None, why_not, is_late=True)
        if not self.quota.charge(cause.kind.value):
            return RetryDecision(None, "the retry quota is used up, because most calls fail")
        self._cost = cause.kind.value
        if cause.kind is FailureKind.THROTTLED:
            self._throttles += 1
        else:
            self._failures += 1
        self._limited += cause.retry_limit is not None
        return RetryDecision(wait)

    def _find_reason_against(self, cause: RetryCause) -> str:
        retry = self.retry
        if cause.kind is FailureKind.THROTTLED:
            if retry.attempts == 1 or self._throttles >= MAX_THROTTLES:
                return f"that was the last of {self._throttles + 1} attempts"
        elif self._failures + 1 >= retry.attempts:
            return f"that was the last of {retry.attempts} attempts"
        if cause.retry_limit is not None and self._limited >= cause.retry_limit:
            return "another attempt would get the same"
        if cause.retry_after is not None and cause.retry_after > retry.max_retry_after:
            return f"Retry-After is {cause.retry_after:g} s, more than the {retry.max_retry_after:g} s allowed"
        return ""

    def _wait(self, cause: RetryCause, jitter: float) -> float:
        if cause.retry_after:  # 0 says nothing: then the backoff decides
            return cause.retry_after + jitter * min(1.0, 0.1 * cause.retry_after)
        if cause.at_once and self._failures == 0:
            return 0.0
        throttled = cause.kind is FailureKind.THROTTLED
        bound = self.retry.base * (_THROTTLE_FACTOR if throttled else 1.0)
        for _ in range(self._throttles if throttled else self._failures):
            bound = min(self.retry.cap, bound * self.retry.factor)
        return jitter * min(self.retry.cap, bound)
