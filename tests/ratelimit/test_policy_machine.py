"""The rate limit policy under any order of events: a state machine with the server as its model."""

from __future__ import annotations

from bisect import bisect, insort
from copy import deepcopy
from math import inf
from operator import itemgetter

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.policy import RateLimitPolicy
from tests.examples import scaled


@define(eq=False)
class Sent:
    """A request as the world sees it: sent, arrived somewhen, answered or not."""

    permit: Permit
    sent: float
    limit: int
    arrived: float | None = None


class PolicyMachine(RuleBasedStateMachine):
    """Any order of asking, answering, cancelling, waiting, tiers and 429s.

    The model is the server: it counts what arrives, which may be any time between sending and answer, and up to
    five seconds after we gave up. None of its windows ever has more than the limit that held when its last was sent.
    """

    under_way = Bundle("under_way")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.policy = RateLimitPolicy()
        self.arrivals: list[tuple[float, int, int]] = []  # when, number of the permit, limit when it was sent
        self.unchecked: set[float] = set()
        self.held: set[int] = set()

    @rule(target=under_way, bulk=st.booleans())
    def ask(self, bulk: bool) -> Sent | None:
        return self.send(bulk)

    def send(self, bulk: bool) -> Sent | None:
        permit = self.policy.try_acquire(self.now, bulk=bulk)
        if permit is None:
            return None
        self.held.add(permit.number)
        return Sent(permit, self.now, self.policy.tier.requests_per_minute)

    @rule(bulk=st.booleans(), count=st.integers(2, 200))
    def ask_many(self, bulk: bool, count: int) -> None:
        for _ in range(count):
            sent = self.send(bulk)
            if sent is None:
                return
            self.arrive(sent, self.now)
            self.answer(sent, 200, None, None)

    def arrive(self, sent: Sent, at: float) -> None:
        if sent.arrived is None:
            sent.arrived = at
            insort(self.arrivals, (at, sent.permit.number, sent.limit))
            self.unchecked.add(at)

    def answer(self, sent: Sent, status: int, after: float | None, tier: Tier | None) -> None:
        self.held.discard(sent.permit.number)
        self.policy.record_outcome(sent.permit, RequestOutcome(status, after, tier), self.now)

    @rule(sent=under_way)
    def reach_the_server(self, sent: Sent | None) -> None:
        if sent is not None and sent.permit.number in self.held:
            self.arrive(sent, self.now)

    @rule(
        sent=consumes(under_way),
        status=st.sampled_from([200, 200, 200, 404, 500]),
        tier=st.none() | st.sampled_from(Tier),
    )
    def be_answered(self, sent: Sent | None, status: int, tier: Tier | None) -> None:
        if sent is not None:
            self.arrive(sent, self.now)
            self.answer(sent, status, None, tier)

    @rule(sent=consumes(under_way), after=st.none() | st.floats(0, 100))
    def be_refused(self, sent: Sent | None, after: float | None) -> None:
        if sent is not None:
            self.arrive(sent, self.now)
            self.answer(sent, 429, after, None)

    @rule(sent=consumes(under_way), late=st.floats(0, 4.9))
    def be_given_up(self, sent: Sent | None, late: float) -> None:
        if sent is not None:
            self.arrive(sent, self.now + late)
            self.held.discard(sent.permit.number)
            self.policy.record_outcome(sent.permit, None, self.now)

    @rule(count=st.integers(2, 60), late=st.floats(0, 4.9))
    def give_up_many(self, count: int, late: float) -> None:
        for _ in range(count):
            if sent := self.send(bulk=False):
                self.arrive(sent, self.now + late)
                self.held.discard(sent.permit.number)
                self.policy.record_outcome(sent.permit, None, self.now)

    @rule(sent=consumes(under_way))
    def be_cancelled_before_sending(self, sent: Sent | None) -> None:
        if sent is not None and sent.arrived is None:
            self.held.discard(sent.permit.number)
            self.policy.withdraw(sent.permit)
        elif sent is not None:
            self.answer(sent, 200, None, None)

    @rule(seconds=st.floats(0, 30))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(59, 66))
    def pass_a_window(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def suspend(self) -> None:
        """The machine slept, and the clock jumps."""
        self.now += 3600.0

    @invariant()
    def no_window_has_more_than_the_limit(self) -> None:
        for end in [end for end in self.unchecked if end <= self.now]:
            self.unchecked.discard(end)
            low, high = (bisect(self.arrivals, (at, inf, 0)) for at in (end - 60, end))
            window = self.arrivals[low:high]
            assert len(window) <= max(window, key=itemgetter(1))[2]

    @invariant()
    @precondition(lambda self: not self.held)
    def a_request_can_always_go_in_the_end(self) -> None:
        """With nothing under way, a request may go within a window, or within the pause that was ordered."""
        policy, now = deepcopy(self.policy), self.now  # a copy, because looking ahead forgets what leaves until then
        for _ in range(50):
            wait, _ = policy.wait(now, bulk=True)
            if wait == 0:
                break
            assert wait < inf
            now += max(wait, 1e-6)
        assert policy.wait(now, bulk=True)[0] == 0
        assert now - self.now <= 100 + 66


PolicyMachine.TestCase.settings = settings(max_examples=scaled(40), stateful_step_count=60)
TestPolicy = PolicyMachine.TestCase


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_the_policy_keeps_its_promises_in_many_more_histories() -> None:
    run_state_machine_as_test(PolicyMachine, settings=settings(max_examples=1_000, stateful_step_count=60))
