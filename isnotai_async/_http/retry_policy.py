"""Retry policy: which errors and statuses are retried, and after how many seconds. Arithmetic only.

1. Worth another attempt: a connection that failed or broke, a timeout, an answer of something in front of the API,
   and the statuses 408, 425, 429 and 5xx (guide page "Errors": every route is an idempotent read). Once: an answer
   that is not HTTP, a name that does not exist, a body that cannot be read. Never: a bad certificate, a redirect, an
   oversized body, any other 4xx of the API.
2. The wait is random from 0 to a bound that doubles ("full jitter": aws.amazon.com/blogs/architecture,
   "Exponential backoff and jitter"). A connection that was lost before any answer is tried again at once, the first
   time: an idle one may be closed by the server just when it is used (RFC 9112, section 9.3.1).
3. ``Retry-After`` is a floor, never cut short: a silent cap retries too early (urllib3 #1338). If it is longer than
   `max_retry_after`, the outcome is final.
4. A 429 is no failure but a wait: it has a counter of its own, and the limiter holds the other tasks of the key.
5. A quota keeps an outage from being multiplied: each retry costs, each success pays back. When all fails, some
   twenty retries are made and then none, whatever the number of calls (botocore's standard mode).
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final, NamedTuple

from attrs import Attribute, define, field, frozen

from isnotai_async._showing import show
from isnotai_async.errors import ConfigError

MAX_THROTTLES: Final = 8
"""How many 429s one call waits for."""

FULL_QUOTA: Final = 100
_REWARD: Final = 1
_THROTTLE_FACTOR: Final = 2.0  # a 429's backoff begins at 1 s where others begin at 0.5 s


class FailureKind(Enum):
    """Kinds of trouble; the value is what a retry costs of the quota."""

    THROTTLED = 0
    TRANSIENT = 5
    TIMEOUT = 10  # each held a connection of a server in distress for long


def _check_number(_retry: object, attribute: Attribute[float], value: object) -> None:
    least = 1.0 if attribute.name == "factor" else 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < math.inf:
        raise ConfigError(f"Retry: {attribute.name} must be a number of at least {least:g}, not {value!r}")


def _check_attempts(_retry: object, _attribute: object, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"Retry: attempts must be an int of at least 1, not {value!r}; it counts the first one, so 1 is no retry"
        )


@frozen(kw_only=True)
class Retry:
    """How a call is tried again. Times are seconds.

    Attributes:
        attempts: Attempts in all, the first included; 1 means that nothing is tried again, a 429 neither. Waits for
            429s (up to 8 a call) are not counted.
        base: Bound of the wait before the first retry; the wait is random between 0 and the bound.
        factor: What the bound is multiplied with for each further retry.
        cap: Largest bound.
        max_retry_after: Longest ``Retry-After`` that is waited for; beyond it the error comes at once, with
            `retry_after`.

    Raises:
        ConfigError: A value that cannot be.
    """

    attempts: int = field(default=4, validator=_check_attempts)
    base: float = field(default=0.5, validator=_check_number)
    factor: float = field(default=2.0, validator=_check_number)
    cap: float = field(default=20.0, validator=_check_number)
    max_retry_after: float = field(default=120.0, validator=_check_number)

    __repr__ = show


def check_retry(value: Retry) -> Retry:
    """Check that something is a `Retry`; raises `ConfigError` where it is not."""
    if not isinstance(value, Retry):
        raise ConfigError(f"retry must be a Retry, such as Retry(attempts=2), not {type(value).__name__}")
    return value


@define(eq=False, repr=False)
class RetryQuota:
    """Tokens that the calls of a client share.

    Attributes:
        tokens: What is left, from 0 to 100.
    """

    tokens: int = FULL_QUOTA

    def charge(self, cost: int) -> bool:
        """Take the cost of a retry; False, and nothing taken, where there is not enough."""
        if cost > self.tokens:
            return False
        self.tokens -= cost
        return True

    def settle(self, cost: int) -> None:
        """Pay a success: one token for a clean one, else the cost of the retry that brought it."""
        self.tokens = min(FULL_QUOTA, self.tokens + (cost or _REWARD))


class RetryCause(NamedTuple):
    """What came instead of a good answer.

    Attributes:
        kind: Its kind.
        retry_after: Seconds the server asked to wait, or None.
        retry_limit: Most retries that this trouble is worth, or None for as many as there are.
        at_once: Whether the first retry need not wait.
    """

    kind: FailureKind
    retry_after: float | None = None
    retry_limit: int | None = None
    at_once: bool = False


class RetryDecision(NamedTuple):
    """What to do.

    Attributes:
        wait: Seconds to wait before the next attempt; None where there is none.
        why_not: Why there is none, for the log.
        is_late: Whether the deadline alone is why.
    """

    wait: float | None
    why_not: str = ""
    is_late: bool = False


def judge_status(status: int) -> FailureKind | None:
    """Tell whether a status is trouble worth another attempt, and of what kind."""
    if status < 400:
        return None
    if status == 429:
        return FailureKind.THROTTLED
    return FailureKind.TRANSIENT if status >= 500 or status in {408, 425} else None


@define(eq=False, repr=False)
class Backoff:
    """One call's way through its troubles.

    Args:
        retry: The options.
        quota: The client's.
    """

    retry: Retry
    quota: RetryQuota
    _failures: int = field(default=0, init=False)
    _throttles: int = field(default=0, init=False)
    _limited: int = field(default=0, init=False)  # retries for troubles that are worth only so many
    _cost: int = field(default=0, init=False)

    @property
    def cost(self) -> int:
        """What the last retry cost of the quota; 0 where there was none."""
        return self._cost

    def judge(self, trouble: RetryCause, *, jitter: float, left: float = math.inf) -> RetryDecision:
        """Decide about one more attempt, and charge the quota for it.

        Args:
            trouble: What the last attempt met.
            jitter: A random number, from 0 to 1.
            left: Seconds until the deadline.
        """
        if why_not := self._refusal(trouble):
            return RetryDecision(None, why_not)
        wait = self._wait(trouble, jitter)
        if wait >= left:
            why_not = f"the deadline passes in {left:.1f} s, before the wait of {wait:.1f} s"
            return RetryDecision(None, why_not, is_late=True)
        if not self.quota.charge(trouble.kind.value):
            return RetryDecision(None, "the retry quota is used up, because most calls fail")
        self._cost = trouble.kind.value
        if trouble.kind is FailureKind.THROTTLED:
            self._throttles += 1
        else:
            self._failures += 1
        self._limited += trouble.retry_limit is not None
        return RetryDecision(wait)

    def _refusal(self, trouble: RetryCause) -> str:
        retry = self.retry
        if trouble.kind is FailureKind.THROTTLED:
            if retry.attempts == 1 or self._throttles >= MAX_THROTTLES:
                return f"that was the last of {self._throttles + 1} attempts"
        elif self._failures + 1 >= retry.attempts:
            return f"that was the last of {retry.attempts} attempts"
        if trouble.retry_limit is not None and self._limited >= trouble.retry_limit:
            return "trying again does not mend this"
        if trouble.retry_after is not None and trouble.retry_after > retry.max_retry_after:
            return f"Retry-After is {trouble.retry_after:g} s, more than the {retry.max_retry_after:g} s allowed"
        return ""

    def _wait(self, trouble: RetryCause, jitter: float) -> float:
        if trouble.retry_after:  # 0 is no advice: then the backoff decides
            return trouble.retry_after + jitter * min(1.0, 0.1 * trouble.retry_after)
        if trouble.at_once and self._failures == 0:
            return 0.0
        throttled = trouble.kind is FailureKind.THROTTLED
        bound = self.retry.base * (_THROTTLE_FACTOR if throttled else 1.0)
        for _ in range(self._throttles if throttled else self._failures):
            bound *= self.retry.factor
            if bound >= self.retry.cap:  # in time, before it overflows
                break
        return jitter * min(self.retry.cap, bound)
