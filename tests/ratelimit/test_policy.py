"""The policy: window, spacing, pauses and tiers together; alone, and against the servers that there may be."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf

import msgspec
import pytest

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.constants import CONSTANTS
from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.policy import FULL, PAUSED, PROBING, SPACED, RateLimitPolicy
from isnotai_async._ratelimit.policy_state import PolicyState
from isnotai_async._ratelimit.sliding_window import SlidingWindowLog
from isnotai_async.sandbox.rate_limit import ApproximateCounter, ExactLog
from tests.programs import Program, Server, World

OK = RequestOutcome(200)


def try_acquire(policy: RateLimitPolicy, now: float, *, bulk: bool = False) -> Permit:
    permit = policy.try_acquire(now, bulk=bulk)
    assert permit is not None
    return permit


def burst(policy: RateLimitPolicy, now: float, *, bulk: bool = False) -> list[Permit]:
    """Take as many permits as there are."""
    permits = []
    while permit := policy.try_acquire(now, bulk=bulk):
        permits.append(permit)
    return permits


# Window and spacing.


@pytest.mark.parametrize(("held", "now", "bursts"), [(14, 120.0, True), (14, 119.9, False), (15, 130.0, False)])
def test_bulk_work_bursts_again_after_two_windows_with_less_than_a_quarter_of_the_limit_in_use(
    held: int, now: float, bursts: bool
) -> None:
    policy = RateLimitPolicy(FREE)
    for permit in burst(policy, 0.0, bulk=True)[held:]:
        policy.record_outcome(permit, OK, 0.0)

    try_acquire(policy, now, bulk=True)
    assert (policy.try_acquire(now, bulk=True) is not None) is bursts


def test_a_key_is_busy_from_a_quarter_of_its_limit_on() -> None:
    policy = RateLimitPolicy(FREE)
    for _ in range(15):
        try_acquire(policy, 0.0)
    assert policy.state.idle_from == -inf

    try_acquire(policy, 1.0)
    assert policy.state.idle_from == 121.0


def test_a_late_request_is_caught_up_after_a_pause_too() -> None:
    policy = RateLimitPolicy(FREE)
    policy.record_outcome(burst(policy, 0.0, bulk=True)[-1], RequestOutcome(429, 5.0), 0.0)
    policy.record_outcome(try_acquire(policy, 5.0, bulk=True), OK, 5.0)
    late = 5.2 + policy.wait(5.0, bulk=True)[0]
    try_acquire(policy, late, bulk=True)

    assert policy.wait(late, bulk=True)[0] == pytest.approx(policy.spacing(late) - 0.2)


def test_bulk_work_does_not_wait_for_the_time_that_a_lower_tier_set() -> None:
    policy = RateLimitPolicy(FREE)
    permits = burst(policy, 0.0, bulk=True)
    assert policy.wait(0.0, bulk=True)[0] == pytest.approx(60 / 58.8)
    for permit in permits[:2]:
        policy.record_outcome(permit, RequestOutcome(200, tier=Tier.PRO), 0.0)

    assert policy.wait(0.0, bulk=True)[0] == pytest.approx(60 / 588)


def test_a_share_of_one_request_a_window_waits_for_the_window_alone() -> None:
    policy = RateLimitPolicy(FREE, quota=1 / 60)
    for number in range(30):  # even spacing is slower, and would be behind after 17
        now = number * 60.25
        policy.record_outcome(try_acquire(policy, now), OK, now)
        assert policy.wait(now, bulk=False) == (60.25, FULL)


@pytest.mark.parametrize(("outcome", "lasts"), [(OK, 60.25), (None, 65.25)])
def test_a_slot_is_free_a_window_after_its_answer_and_later_without_one(
    outcome: RequestOutcome | None, lasts: float
) -> None:
    policy = RateLimitPolicy(FREE)

    assert policy.record_outcome(try_acquire(policy, 0.0), outcome, 0.0) == 0.0
    assert (policy.slots.occupied(lasts - 0.01), policy.slots.occupied(lasts)) == (1, 0)


def test_the_end_of_a_pause_opens_no_full_window() -> None:
    policy = RateLimitPolicy(FREE)
    policy.record_outcome(burst(policy, 0.0)[-1], RequestOutcome(429, retry_after=10), 0.0)

    assert policy.wait(10.0, bulk=False)[1] == FULL


def test_the_answer_to_a_probe_forgets_how_often_the_key_was_rejected() -> None:
    policy = RateLimitPolicy(FREE)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, retry_after=10), 0.0)
    policy.record_outcome(try_acquire(policy, 10.0), OK, 10.0)

    assert policy.state.rejections == 0


@pytest.mark.parametrize("tier", list(Tier))
def test_an_idle_key_lets_bulk_work_burst_through_half_of_its_window(tier: Tier) -> None:
    policy = RateLimitPolicy(tier)
    half = tier.requests_per_minute // 2
    assert len(burst(policy, 0.0, bulk=True)) == half + 1  # one more is due when the others have gone
    wait, reason = policy.wait(0.0, bulk=True)
    assert (0 < wait < 1.1, reason) == (True, SPACED)


@pytest.mark.parametrize("tier", list(Tier))
def test_single_calls_are_bounded_by_the_window_alone(tier: Tier) -> None:
    policy = RateLimitPolicy(tier)
    permits = burst(policy, 0.0)
    assert len(permits) == tier.requests_per_minute
    assert policy.wait(0.0, bulk=False) == (inf, FULL)
    policy.record_outcome(permits[0], OK, 5.0)
    wait, reason = policy.wait(5.0, bulk=False)
    assert wait == pytest.approx(60.25)
    assert reason == FULL
    assert policy.try_acquire(65.2, bulk=False) is None
    assert policy.try_acquire(65.3, bulk=False) is not None


def test_bulk_work_makes_room_for_single_calls() -> None:
    """Both together keep to the rate, so the window never fills up and no single call waits."""
    policy, now, next_single, singles, bulks, kept_waiting = RateLimitPolicy(Tier.PRO), 0.0, 90.0, 0, 0, 0
    while now < 300:
        while permit := policy.try_acquire(now, bulk=True):
            policy.record_outcome(permit, OK, now)
            bulks += now >= 120  # by then the first burst has left the window
        if now >= next_single:
            permit = policy.try_acquire(now, bulk=False)
            next_single += 0.2
            if permit is None:
                kept_waiting += 1
                continue
            policy.record_outcome(permit, OK, now)
            singles += now >= 120
        now += 0.01
    assert kept_waiting == 0
    assert 0.95 * 3 * 600 <= singles + bulks <= 0.99 * 3 * 600


# 429.


def test_a_429_pauses_the_key_for_as_long_as_it_says() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    first, second = try_acquire(policy, 0.0), try_acquire(policy, 0.0)
    assert policy.record_outcome(first, RequestOutcome(429, 7.0), 1.0) == 7.0
    assert policy.wait(1.0, bulk=False) == (7.0, PAUSED)
    policy.record_outcome(second, OK, 2.0)  # was sent before: it tells nothing of the time after
    assert policy.try_acquire(7.9, bulk=False) is None
    assert policy.try_acquire(8.0, bulk=False) is not None


def test_one_probe_goes_first_and_its_answer_opens() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 7.0), 0.0)
    probe = try_acquire(policy, 7.0)
    assert policy.try_acquire(7.0, bulk=False) is None
    assert policy.wait(7.0, bulk=False) == (inf, PROBING)
    policy.record_outcome(probe, OK, 7.5)
    assert policy.wait(7.5, bulk=False)[0] < 0.2  # spaced from now on, but not paused


@pytest.mark.parametrize("how", ["unanswered", "withdrawn"])
def test_a_probe_that_comes_to_nothing_is_followed_by_another(how: str) -> None:
    policy = RateLimitPolicy(Tier.PRO)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 1.0), 0.0)
    probe = try_acquire(policy, 1.0)
    if how == "unanswered":
        policy.record_outcome(probe, None, 2.0)
    else:
        policy.withdraw(probe)
    try_acquire(policy, 2.0)
    assert policy.wait(2.0, bulk=False) == (inf, PROBING)


def test_requests_sent_before_a_pause_do_not_count_twice() -> None:
    policy = RateLimitPolicy(Tier.ENTERPRISE)
    permits = burst(policy, 0.0)[:100]
    for permit in permits:
        policy.record_outcome(permit, RequestOutcome(429, 2.0), 0.1)
    once = RateLimitPolicy(Tier.ENTERPRISE)
    once.record_outcome(try_acquire(once, 0.0), RequestOutcome(429, 2.0), 0.1)
    assert policy.spacing(0.1) == once.spacing(0.1)


def test_a_later_429_can_make_the_pause_longer_and_not_shorter() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    first, second, third = (try_acquire(policy, 0.0) for _ in range(3))
    policy.record_outcome(first, RequestOutcome(429, 5.0), 0.0)
    assert policy.record_outcome(second, RequestOutcome(429, 9.0), 0.0) == 9.0
    assert policy.record_outcome(third, RequestOutcome(429, 1.0), 0.0) == 0.0
    assert policy.wait(0.0, bulk=False) == (9.0, PAUSED)


def test_without_advice_the_pause_ends_when_the_oldest_slot_is_left() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    policy.record_outcome(try_acquire(policy, 0.0), OK, 0.0)
    refused = try_acquire(policy, 20.0)
    assert policy.record_outcome(refused, RequestOutcome(429), 20.0) == pytest.approx(40.25)


def test_a_slot_that_is_free_by_now_says_nothing_of_the_pause() -> None:
    policy = RateLimitPolicy(FREE)
    policy.record_outcome(try_acquire(policy, 0.0), OK, 0.0)  # its slot is free at 60.25
    permit = try_acquire(policy, 50.0)

    assert policy.record_outcome(permit, RequestOutcome(429), 61.0) == pytest.approx(60.25)


@pytest.mark.parametrize("window", [60.0, 6.0])
def test_a_pause_without_advice_has_bounds(window: float) -> None:
    policy = RateLimitPolicy(Tier.PRO, window)
    now, pauses = 0.0, []
    policy.record_outcome(try_acquire(policy, 0.0), OK, 0.0)
    now = window * 1.003  # the slot is about to be left
    for _ in range(12):
        permit = try_acquire(policy, now)
        pauses.append(policy.record_outcome(permit, RequestOutcome(429), now))
        now += pauses[-1]
    assert min(pauses) == pytest.approx(window / 60)
    assert max(pauses) == pytest.approx(window * 61 / 60)


def test_an_absurd_retry_after_cannot_stop_a_key_for_years() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    assert (
        policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 9_999_999_999.0), 0.0)
        == CONSTANTS.max_pause
        == 900
    )


def test_after_a_second_429_single_calls_are_spaced_too() -> None:
    policy = RateLimitPolicy(Tier.FREE)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 1.0), 0.0)
    policy.record_outcome(try_acquire(policy, 1.0), OK, 1.0)
    assert policy.wait(1.0, bulk=False) == (0.0, "")
    policy.record_outcome(try_acquire(policy, 1.0), RequestOutcome(429, 1.0), 1.0)
    policy.record_outcome(try_acquire(policy, 2.0), OK, 2.0)
    wait, reason = policy.wait(2.0, bulk=False)
    assert wait == pytest.approx(60 / (0.98 * 60 * 0.64), rel=0.01)
    assert reason == SPACED


def test_a_policy_resumes_from_its_state_in_bytes() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 7.0, Tier.ENTERPRISE), 0.0)
    saved = msgspec.msgpack.encode(policy.state)
    resumed = RateLimitPolicy(state=msgspec.msgpack.decode(saved, type=PolicyState))
    assert resumed.wait(1.0, bulk=False) == (6.0, PAUSED)
    assert resumed.tier is Tier.PRO
    assert resumed.spacing(1.0) == policy.spacing(1.0) > RateLimitPolicy(Tier.PRO).spacing(1.0)


def test_the_last_request_before_a_pause_is_older_than_the_pause() -> None:
    policy, once = RateLimitPolicy(Tier.PRO), RateLimitPolicy(Tier.PRO)
    for key in (policy, once):
        key.record_outcome(try_acquire(key, 0.0), OK, 0.0)
    first, last = try_acquire(policy, 1.0), try_acquire(policy, 1.0)
    policy.record_outcome(first, RequestOutcome(429, 5.0), 1.0)
    once.record_outcome(try_acquire(once, 1.0), RequestOutcome(429, 5.0), 1.0)
    assert policy.record_outcome(last, RequestOutcome(429), 1.0) == 0.0
    assert policy.wait(1.0, bulk=False) == (5.0, PAUSED)
    assert policy.spacing(1.0) == once.spacing(1.0)


def test_a_429_that_ends_a_pause_at_the_same_time_adds_none() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    first, second = try_acquire(policy, 0.0), try_acquire(policy, 0.0)
    policy.record_outcome(first, RequestOutcome(429, 5.0), 0.0)
    assert policy.record_outcome(second, RequestOutcome(429, 3.0), 2.0) == 0.0


def test_a_late_429_of_a_request_before_the_pause_does_not_pause_an_open_key_again() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    first, late = try_acquire(policy, 0.0), try_acquire(policy, 0.0)
    policy.record_outcome(first, RequestOutcome(429, 1.0), 0.0)
    policy.record_outcome(try_acquire(policy, 1.0), OK, 1.0)
    assert policy.record_outcome(late, RequestOutcome(429, 30.0), 2.0) == 0.0
    assert policy.wait(2.0, bulk=False) == (0.0, "")


class LeavingNow(SlidingWindowLog):
    """Slots of which the oldest is always about to leave."""

    def next_leaving(self) -> float:
        return 0.0


def test_pauses_without_advice_double_with_each_rejected_probe_up_to_61_seconds() -> None:
    policy, now, pauses = RateLimitPolicy(Tier.PRO, slots=LeavingNow()), 0.0, list[float]()
    for _ in range(14):
        pauses.append(policy.record_outcome(try_acquire(policy, now), RequestOutcome(429), now))
        now += pauses[-1]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, *[61] * 8])


def test_the_rest_of_a_pause_can_be_asked_for() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    assert policy.pause_left(0.0) == 0.0
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 7.0), 0.0)
    assert [policy.pause_left(now) for now in (0.0, 5.0, 7.0, 9.0)] == [7.0, 2.0, 0.0, 0.0]
    policy.record_outcome(try_acquire(policy, 8.0), OK, 8.0)
    assert policy.pause_left(5.0) == 0.0  # open


def test_a_key_is_idle_without_requests_pause_and_spacing() -> None:
    policy = RateLimitPolicy(Tier.PRO)
    assert policy.is_idle(0.0)
    permit = try_acquire(policy, 0.0)
    assert not policy.is_idle(0.0)
    policy.record_outcome(permit, OK, 0.0)
    assert [policy.is_idle(now) for now in (60.2, 60.3)] == [False, True]
    for now in (100.0, 102.0):
        policy.record_outcome(try_acquire(policy, now), RequestOutcome(429, 1.0), now)
    assert not policy.is_idle(200.0)  # paused, until a probe goes
    policy.record_outcome(try_acquire(policy, 200.0), OK, 200.0)
    assert [policy.is_idle(now) for now in (600.0, 701.9, 702.1)] == [False, False, True]  # spaced for ten windows


def test_a_key_that_is_paused_for_longer_than_a_window_is_not_idle() -> None:
    policy = RateLimitPolicy(FREE)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(429, 300.0), 0.0)

    assert policy.slots.occupied(200.0) == 0
    assert not policy.is_idle(200.0)


def test_a_request_that_a_store_admitted_takes_a_slot_and_is_the_probe_of_a_paused_key() -> None:
    policy = RateLimitPolicy(Tier.FREE)
    assert [policy.record(0.0).number for _ in range(61)] == list(range(1, 62))
    assert policy.slots.occupied(0.0) == 61  # the store knows better
    assert policy.state.idle_from == 120.0
    policy.record_outcome(Permit(1), RequestOutcome(429, 1.0), 0.0)
    probe = policy.record(0.5)
    assert policy.wait(5.0, bulk=False) == (inf, PROBING)
    policy.withdraw(probe)
    assert policy.state.probe == 0
    assert [policy.slots.occupied(now) for now in (60.2, 60.3)] == [61, 60]


# Tier.


def see(policy: RateLimitPolicy, *tiers: Tier | None, now: float = 0.0) -> Tier:
    for tier in tiers:
        policy.record_outcome(try_acquire(policy, now), RequestOutcome(200, None, tier), now)
    return policy.tier


FREE, PRO, ENTERPRISE = Tier.FREE, Tier.PRO, Tier.ENTERPRISE


@pytest.mark.parametrize(
    ("seen", "followed"),
    [
        ([], FREE),
        ([PRO], FREE),
        ([PRO, PRO], PRO),
        ([PRO, None, PRO], PRO),
        ([PRO, FREE, PRO], FREE),
        ([PRO, ENTERPRISE], FREE),
        ([PRO, ENTERPRISE, ENTERPRISE], ENTERPRISE),
        ([ENTERPRISE, PRO, PRO], PRO),
        ([ENTERPRISE, ENTERPRISE, PRO], PRO),
        ([ENTERPRISE, ENTERPRISE, PRO, ENTERPRISE], PRO),
        ([PRO, FREE] * 10, FREE),
        ([None] * 10, FREE),
    ],
)
def test_the_tier_goes_up_after_two_equal_sightings_and_down_at_once(seen: list[Tier | None], followed: Tier) -> None:
    assert see(RateLimitPolicy(), *seen) is followed


def test_the_history_stays_when_the_tier_goes_down() -> None:
    policy = RateLimitPolicy(PRO)
    for permit in burst(policy, 0.0):
        policy.record_outcome(permit, OK, 0.0)
    policy = RateLimitPolicy(PRO)
    permits = burst(policy, 0.0)[:200]
    for permit in permits[:-1]:
        policy.record_outcome(permit, OK, 0.0)
    policy.record_outcome(permits[-1], RequestOutcome(200, None, FREE), 0.0)
    assert policy.wait(1.0, bulk=False)[1] == FULL


def test_the_history_stays_when_the_tier_goes_up() -> None:
    policy = RateLimitPolicy(FREE)
    permits = burst(policy, 0.0)
    for permit in permits:
        policy.record_outcome(permit, RequestOutcome(200, None, PRO), 0.0)
    assert len(burst(policy, 0.0)) == 540


def test_a_tier_that_was_asked_for_yields_to_what_the_answers_told() -> None:
    policy = RateLimitPolicy()
    policy.expect(ENTERPRISE)
    assert policy.tier is ENTERPRISE
    see(policy, PRO)
    policy.expect(ENTERPRISE)
    assert policy.tier is PRO


def test_the_tier_of_the_shared_state_is_adopted_as_known() -> None:
    policy = RateLimitPolicy(FREE)
    assert (policy.known_tier, policy.limit) == (None, 60)
    see(policy, PRO)  # rising
    policy.adopt(ENTERPRISE)
    assert (policy.known_tier, policy.tier, policy.limit) == (ENTERPRISE, ENTERPRISE, 6000)
    policy.adopt(FREE)
    see(policy, PRO)  # counts as the first of two again
    assert policy.known_tier is FREE


# A share of the quota.


@pytest.mark.parametrize(("quota", "limit"), [(1 / 4, 15), (1 / 3, 20), (0.9999, 59), (1 / 59, 1), (1.0, 60)])
def test_a_share_is_rounded_down_to_whole_requests(quota: float, limit: int) -> None:
    assert len(burst(RateLimitPolicy(FREE, quota=quota), 0.0)) == limit


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("share", [100, 61, 7_200])
def test_a_share_below_one_request_a_window_is_kept_by_spacing(share: int, bulk: bool) -> None:
    policy, now, sent, end = RateLimitPolicy(FREE, quota=1 / share), 0.0, list[float](), 20.0 * 60 * share / 60
    while now < end:
        if permit := policy.try_acquire(now, bulk=bulk):
            sent.append(now)
            policy.record_outcome(permit, OK, now + 0.2)
        wait = policy.wait(now, bulk=bulk)[0]
        assert 0 < wait < inf
        now += wait
    assert 19 <= len(sent) <= 20
    assert min(later - earlier for earlier, later in pairwise(sent)) >= 0.75 * share


def test_a_share_below_one_request_a_window_follows_the_tier() -> None:
    policy = RateLimitPolicy(FREE, quota=1 / 100)
    policy.record_outcome(try_acquire(policy, 0.0), RequestOutcome(200, None, ENTERPRISE), 0.0)
    assert policy.wait(1.0, bulk=False)[0] > 50
    policy.record_outcome(try_acquire(policy, 110.0), RequestOutcome(200, None, ENTERPRISE), 110.0)
    permits = burst(policy, 110.0)
    assert len(permits) == 59
    for permit in permits:
        policy.record_outcome(permit, OK, 110.0)
    policy.record_outcome(try_acquire(policy, 171.0), RequestOutcome(200, None, FREE), 171.0)
    policy.record_outcome(try_acquire(policy, 400.0), OK, 400.0)
    assert policy.wait(440.0, bulk=False)[0] > 20


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("tier", list(Tier))
def test_processes_with_a_share_each_use_the_quota_together_and_meet_no_429(tier: Tier, bulk: bool) -> None:
    windows = 3 if tier is ENTERPRISE else 8
    server = Server(ExactLog(60.0), tier.requests_per_minute)
    singles = 0 if bulk else inf
    programs = [Program(RateLimitPolicy(tier, quota=0.25), server, workers=16, singles=singles) for _ in range(4)]
    World(programs).run(60.0 * windows)
    assert server.refused == 0
    assert server.requests >= 0.95 * windows * tier.requests_per_minute


# Against the servers that there may be.


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("tier", list(Tier))
def test_a_saturated_key_uses_its_quota_and_meets_no_429(tier: Tier, bulk: bool) -> None:
    windows = 3 if tier is ENTERPRISE else 8
    server = Server(ExactLog(60.0), tier.requests_per_minute)
    World([Program(RateLimitPolicy(tier), server, workers=64, singles=0 if bulk else inf)]).run(60.0 * windows)
    assert server.refused == 0
    assert server.requests >= (0.97 if bulk else 0.98) * windows * tier.requests_per_minute


@pytest.mark.parametrize("start", [0.0, 15.0, 30.0, 45.0, 59.0])
@pytest.mark.parametrize("tier", list(Tier))
def test_an_approximate_counter_refuses_nothing_of_bulk_work(tier: Tier, start: float) -> None:
    windows = 3 if tier is ENTERPRISE else 8
    server = Server(ApproximateCounter(60.0), tier.requests_per_minute)
    World([Program(RateLimitPolicy(tier), server, workers=64)], start=start).run(60.0 * windows)
    assert server.refused == 0
    assert server.requests >= 0.95 * windows * tier.requests_per_minute


@pytest.mark.parametrize("start", [0.0, 15.0, 30.0, 45.0])
@pytest.mark.parametrize("tier", list(Tier))
def test_after_a_full_window_of_single_calls_bulk_work_does_not_burst(tier: Tier, start: float) -> None:
    server = Server(ApproximateCounter(60.0), tier.requests_per_minute)
    program = Program(RateLimitPolicy(tier), server, workers=10_000, singles=tier.requests_per_minute)
    World([program], start=start, latency=0.01).run(60.0 * 3)
    assert server.refused == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("advises", [True, False], ids=["with advice", "without"])
@pytest.mark.parametrize("tier", [FREE, PRO])
def test_two_programs_on_one_key_share_it_with_few_refusals(tier: Tier, advises: bool, seed: int) -> None:
    server = Server(ExactLog(60.0), tier.requests_per_minute)
    programs = [
        Program(RateLimitPolicy(tier), server, dice=random.Random(f"{seed} {n}"), advises=advises) for n in range(2)
    ]
    World(programs).run(60.0 * 12)
    assert server.refused <= 0.05 * server.requests
    assert server.requests >= 0.6 * 12 * tier.requests_per_minute
