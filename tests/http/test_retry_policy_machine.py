"""The retry policy under any order of outcomes: a state machine with calls that share one quota."""

from __future__ import annotations

from math import inf

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from isnotai_async import Retry
from isnotai_async._http.retry_policy import Backoff, FailureKind, RetryCause, RetryQuota
from tests.examples import scaled

COSTS = {FailureKind.THROTTLED: 0, FailureKind.TRANSIENT: 5, FailureKind.TIMEOUT: 10}


@define(eq=False)
class Call:
    """A call, and what the model knows of its retries."""

    retry: Retry
    backoff: Backoff
    failures: int = 0
    throttles: int = 0
    limited: int = 0
    cost: int = 0


class RetryMachine(RuleBasedStateMachine):
    """Calls start, meet causes of retries, wait, fail and succeed in any order. The model counts with them."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.quota, self.tokens = RetryQuota(), 100

    @rule(
        target=calls,
        retry=st.builds(
            Retry,
            attempts=st.integers(1, 5),
            base=st.sampled_from([0.0, 0.5, 3.0]),
            factor=st.sampled_from([1.0, 2.0, 1e200]),
            cap=st.sampled_from([1.0, 20.0]),
            max_retry_after=st.sampled_from([10.0, 120.0]),
        ),
    )
    def start(self, retry: Retry) -> Call:
        return Call(retry, Backoff(retry, self.quota))

    @rule(
        target=calls,
        call=consumes(calls),
        cause=st.builds(
            RetryCause,
            st.sampled_from(FailureKind),
            st.none() | st.sampled_from([0.0, 0.5, 10.0, 10.1, 120.0, 121.0]),
            st.none() | st.integers(0, 2),
            st.booleans(),
        ),
        jitter=st.sampled_from([0.0, 0.3, 1.0]),
        left=st.just(inf) | st.sampled_from([0.0, 0.5, 5.0]),
    )
    def meet(self, call: Call, cause: RetryCause, jitter: float, left: float) -> Call:
        decision = call.backoff.judge(cause, jitter=jitter, left=left)
        wait = self.expected_wait(call, cause, jitter)
        is_late = wait is not None and wait >= left
        if wait is None or is_late or self.tokens < COSTS[cause.kind]:
            assert decision.wait is None
            assert decision.why_not
            assert decision.is_late is is_late
            return multiple()  # type: ignore[return-value] # the call failed, so it leaves the bundle
        assert decision == (wait, "", False)
        self.tokens -= COSTS[cause.kind]
        call.cost = COSTS[cause.kind]
        call.throttles += cause.kind is FailureKind.THROTTLED
        call.failures += cause.kind is not FailureKind.THROTTLED
        call.limited += cause.retry_limit is not None
        return call

    @staticmethod
    def expected_wait(call: Call, cause: RetryCause, jitter: float) -> float | None:
        """Return the wait that the rules allow, None for no retry; the deadline and the quota apart."""
        retry, throttled = call.retry, cause.kind is FailureKind.THROTTLED
        allowed = (8 if retry.attempts > 1 else 0) if throttled else retry.attempts - 1
        if (call.throttles if throttled else call.failures) >= allowed:
            return None
        if cause.retry_limit is not None and call.limited >= cause.retry_limit:
            return None
        if cause.retry_after:
            late = jitter * min(1.0, 0.1 * cause.retry_after)
            return None if cause.retry_after > retry.max_retry_after else cause.retry_after + late
        if cause.at_once and not call.failures:
            return 0.0
        bounds = [retry.base * (2.0 if throttled else 1.0)]
        for _ in range(call.throttles if throttled else call.failures):
            bounds.append(min(bounds[-1] * retry.factor, 1e9))
        return jitter * min(retry.cap, bounds[-1])

    @rule(call=consumes(calls))
    def succeed(self, call: Call) -> None:
        assert call.backoff.cost == call.cost
        self.quota.record_success(call.backoff.cost)
        self.tokens = min(100, self.tokens + (call.cost or 1))

    @invariant()
    def the_quota_is_as_counted(self) -> None:
        assert self.quota.tokens == self.tokens
        assert 0 <= self.tokens <= 100


RetryMachine.TestCase.settings = settings(max_examples=scaled(40), stateful_step_count=60)
TestRetryPolicy = RetryMachine.TestCase


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_the_policy_keeps_its_promises_in_many_more_histories() -> None:
    run_state_machine_as_test(RetryMachine, settings=settings(max_examples=1_000, stateful_step_count=60))
