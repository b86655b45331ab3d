"""The gate: window, spacing, pauses and tiers together; alone, and against the servers that there may be."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf

import pytest
from attrs import fields

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Answer, Permit
from isnotai_async._ratelimit.policy import FULL, MAX_PAUSE, PAUSED, PROBING, SPACED, Gate, Shape
from isnotai_async.sandbox.rate_limit import ApproximateCounter, ExactLog
from tests.programs import Program, Server, World

OK = Answer(200)


def admit(gate: Gate, now: float, *, bulk: bool = False) -> Permit:
    permit = gate.admit(now, bulk=bulk)
    assert permit is not None
    return permit


def burst(gate: Gate, now: float, *, bulk: bool = False) -> list[Permit]:
    """Take as many permits as there are."""
    permits = []
    while permit := gate.admit(now, bulk=bulk):
        permits.append(permit)
    return permits


# The gate: window and spacing.


@pytest.mark.parametrize("tier", list(Tier))
def test_an_idle_key_lets_bulk_work_burst_through_half_of_its_window(tier: Tier) -> None:
    gate = Gate(tier)
    half = tier.requests_per_minute // 2
    assert len(burst(gate, 0.0, bulk=True)) == half + 1  # one more is due when the others have gone
    wait, reason = gate.wait(0.0, bulk=True)
    assert (0 < wait < 1.1, reason) == (True, SPACED)


@pytest.mark.parametrize("tier", list(Tier))
def test_single_calls_are_bounded_by_the_window_alone(tier: Tier) -> None:
    gate = Gate(tier)
    permits = burst(gate, 0.0)
    assert len(permits) == tier.requests_per_minute
    assert gate.wait(0.0, bulk=False) == (inf, FULL)
    gate.settle(permits[0], OK, 5.0)
    wait, reason = gate.wait(5.0, bulk=False)
    assert wait == pytest.approx(60.25)
    assert reason == FULL
    assert gate.admit(65.2, bulk=False) is None
    assert gate.admit(65.3, bulk=False) is not None


def test_bulk_work_makes_room_for_single_calls() -> None:
    """Both together keep to the rate, so the window never fills up and no single call waits."""
    gate, now, next_single, singles, bulks, kept_waiting = Gate(Tier.PRO), 0.0, 90.0, 0, 0, 0
    while now < 300:
        while permit := gate.admit(now, bulk=True):
            gate.settle(permit, OK, now)
            bulks += now >= 120  # by then the first burst has left the window
        if now >= next_single:
            permit = gate.admit(now, bulk=False)
            next_single += 0.2
            if permit is None:
                kept_waiting += 1
                continue
            gate.settle(permit, OK, now)
            singles += now >= 120
        now += 0.01
    assert kept_waiting == 0
    assert 0.95 * 3 * 600 <= singles + bulks <= 0.99 * 3 * 600


# The gate: 429.


def test_row_43_a_429_closes_the_gate_for_as_long_as_it_says() -> None:
    gate = Gate(Tier.PRO)
    first, second = admit(gate, 0.0), admit(gate, 0.0)
    assert gate.settle(first, Answer(429, 7.0), 1.0) == 7.0
    assert gate.wait(1.0, bulk=False) == (7.0, PAUSED)
    gate.settle(second, OK, 2.0)  # was sent before: it tells nothing of the time after
    assert gate.admit(7.9, bulk=False) is None
    assert gate.admit(8.0, bulk=False) is not None


def test_row_43_one_probe_goes_first_and_its_answer_opens() -> None:
    gate = Gate(Tier.PRO)
    gate.settle(admit(gate, 0.0), Answer(429, 7.0), 0.0)
    probe = admit(gate, 7.0)
    assert gate.admit(7.0, bulk=False) is None
    assert gate.wait(7.0, bulk=False) == (inf, PROBING)
    gate.settle(probe, OK, 7.5)
    assert gate.wait(7.5, bulk=False)[0] < 0.2  # shaped from now on, but not closed


@pytest.mark.parametrize("how", ["unanswered", "withdrawn"])
def test_a_probe_that_comes_to_nothing_is_followed_by_another(how: str) -> None:
    gate = Gate(Tier.PRO)
    gate.settle(admit(gate, 0.0), Answer(429, 1.0), 0.0)
    probe = admit(gate, 1.0)
    if how == "unanswered":
        gate.settle(probe, None, 2.0)
    else:
        gate.withdraw(probe)
    admit(gate, 2.0)
    assert gate.wait(2.0, bulk=False) == (inf, PROBING)


def test_requests_sent_before_a_pause_do_not_count_twice() -> None:
    gate = Gate(Tier.ENTERPRISE)
    permits = burst(gate, 0.0)[:100]
    for permit in permits:
        gate.settle(permit, Answer(429, 2.0), 0.1)
    once = Gate(Tier.ENTERPRISE)
    once.settle(admit(once, 0.0), Answer(429, 2.0), 0.1)
    assert gate.spacing(0.1) == once.spacing(0.1)


def test_a_later_429_can_make_the_pause_longer_and_not_shorter() -> None:
    gate = Gate(Tier.PRO)
    first, second, third = (admit(gate, 0.0) for _ in range(3))
    gate.settle(first, Answer(429, 5.0), 0.0)
    assert gate.settle(second, Answer(429, 9.0), 0.0) == 9.0
    assert gate.settle(third, Answer(429, 1.0), 0.0) == 0.0
    assert gate.wait(0.0, bulk=False) == (9.0, PAUSED)


def test_row_44_without_advice_the_pause_ends_when_the_oldest_slot_is_left() -> None:
    gate = Gate(Tier.PRO)
    gate.settle(admit(gate, 0.0), OK, 0.0)
    refused = admit(gate, 20.0)
    assert gate.settle(refused, Answer(429), 20.0) == pytest.approx(40.25)


@pytest.mark.parametrize("window", [60.0, 6.0])
def test_row_44_a_pause_without_advice_has_bounds(window: float) -> None:
    gate = Gate(Tier.PRO, window)
    now, pauses = 0.0, []
    gate.settle(admit(gate, 0.0), OK, 0.0)
    now = window * 1.003  # the slot is about to be left
    for _ in range(12):
        permit = admit(gate, now)
        pauses.append(gate.settle(permit, Answer(429), now))
        now += pauses[-1]
    assert min(pauses) == pytest.approx(window / 60)
    assert max(pauses) == pytest.approx(window * 61 / 60)


def test_row_45_an_absurd_retry_after_cannot_stop_a_key_for_years() -> None:
    gate = Gate(Tier.PRO)
    assert gate.settle(admit(gate, 0.0), Answer(429, 9_999_999_999.0), 0.0) == MAX_PAUSE


def test_after_a_second_429_single_calls_are_spaced_too() -> None:
    gate = Gate(Tier.FREE)
    gate.settle(admit(gate, 0.0), Answer(429, 1.0), 0.0)
    gate.settle(admit(gate, 1.0), OK, 1.0)
    assert gate.wait(1.0, bulk=False) == (0.0, "")
    gate.settle(admit(gate, 1.0), Answer(429, 1.0), 1.0)
    gate.settle(admit(gate, 2.0), OK, 2.0)
    wait, reason = gate.wait(2.0, bulk=False)
    assert wait == pytest.approx(60 / (0.98 * 60 * 0.64), rel=0.01)
    assert reason == SPACED


def test_all_that_a_gate_remembers_is_saved() -> None:
    """A field that a new rule adds and `save` forgets would be lost with each call of the limiter of a file."""
    remembered = {field.alias for kind in (Gate, Shape) for field in fields(kind)}
    derived = {"limit", "rate", "log", "shape"}
    given = {"length", "quota", "slots"}
    assert set(Gate().save()) == remembered - derived - given


# The gate: tier.


def see(gate: Gate, *tiers: Tier | None, now: float = 0.0) -> Tier:
    for tier in tiers:
        gate.settle(admit(gate, now), Answer(200, None, tier), now)
    return gate.tier


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
def test_row_47_the_tier_goes_up_after_two_equal_sightings_and_down_at_once(
    seen: list[Tier | None], followed: Tier
) -> None:
    assert see(Gate(), *seen) is followed


def test_row_47_the_history_stays_when_the_tier_goes_down() -> None:
    gate = Gate(PRO)
    for permit in burst(gate, 0.0):
        gate.settle(permit, OK, 0.0)
    gate = Gate(PRO)
    permits = burst(gate, 0.0)[:200]
    for permit in permits[:-1]:
        gate.settle(permit, OK, 0.0)
    gate.settle(permits[-1], Answer(200, None, FREE), 0.0)
    assert gate.wait(1.0, bulk=False)[1] == FULL


def test_row_47_the_history_stays_when_the_tier_goes_up() -> None:
    gate = Gate(FREE)
    permits = burst(gate, 0.0)
    for permit in permits:
        gate.settle(permit, Answer(200, None, PRO), 0.0)
    assert len(burst(gate, 0.0)) == 540


def test_a_tier_that_was_asked_for_yields_to_what_the_answers_told() -> None:
    gate = Gate()
    gate.expect(ENTERPRISE)
    assert gate.tier is ENTERPRISE
    see(gate, PRO)
    gate.expect(ENTERPRISE)
    assert gate.tier is PRO


# A share of the quota.


@pytest.mark.parametrize(("quota", "limit"), [(1 / 4, 15), (1 / 3, 20), (0.9999, 59), (1 / 59, 1), (1.0, 60)])
def test_a_share_is_rounded_down_to_whole_requests(quota: float, limit: int) -> None:
    assert len(burst(Gate(FREE, quota=quota), 0.0)) == limit


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("share", [100, 61, 7_200])
def test_a_share_below_one_request_a_window_is_kept_by_spacing(share: int, bulk: bool) -> None:
    gate, now, sent, end = Gate(FREE, quota=1 / share), 0.0, list[float](), 20.0 * 60 * share / 60
    while now < end:
        if permit := gate.admit(now, bulk=bulk):
            sent.append(now)
            gate.settle(permit, OK, now + 0.2)
        wait = gate.wait(now, bulk=bulk)[0]
        assert 0 < wait < inf
        now += wait
    assert 19 <= len(sent) <= 20
    assert min(later - earlier for earlier, later in pairwise(sent)) >= 0.75 * share


def test_a_share_below_one_request_a_window_follows_the_tier() -> None:
    gate = Gate(FREE, quota=1 / 100)
    gate.settle(admit(gate, 0.0), Answer(200, None, ENTERPRISE), 0.0)
    assert gate.wait(1.0, bulk=False)[0] > 50
    gate.settle(admit(gate, 110.0), Answer(200, None, ENTERPRISE), 110.0)
    permits = burst(gate, 110.0)
    assert len(permits) == 59
    for permit in permits:
        gate.settle(permit, OK, 110.0)
    gate.settle(admit(gate, 171.0), Answer(200, None, FREE), 171.0)
    gate.settle(admit(gate, 400.0), OK, 400.0)
    assert gate.wait(440.0, bulk=False)[0] > 20


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("tier", list(Tier))
def test_processes_with_a_share_each_use_the_quota_together_and_meet_no_429(tier: Tier, bulk: bool) -> None:
    windows = 3 if tier is ENTERPRISE else 8
    server = Server(ExactLog(60.0), tier.requests_per_minute)
    singles = 0 if bulk else inf
    programs = [Program(Gate(tier, quota=0.25), server, workers=16, singles=singles) for _ in range(4)]
    World(programs).run(60.0 * windows)
    assert server.refused == 0
    assert server.requests >= 0.95 * windows * tier.requests_per_minute


# Against the servers that there may be.


@pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])
@pytest.mark.parametrize("tier", list(Tier))
def test_a_saturated_key_uses_its_quota_and_meets_no_429(tier: Tier, bulk: bool) -> None:
    windows = 3 if tier is ENTERPRISE else 8
    server = Server(ExactLog(60.0), tier.requests_per_minute)
    World([Program(Gate(tier), server, workers=64, singles=0 if bulk else inf)]).run(60.0 * windows)
    assert server.refused == 0
    assert server.requests >= (0.97 if bulk else 0.98) * windows * tier.requests_per_minute


@pytest.mark.parametrize("start", [0.0, 15.0, 30.0, 45.0, 59.0])
@pytest.mark.parametrize("tier", list(Tier))
def test_row_49_an_approximate_counter_refuses_nothing_of_bulk_work(tier: Tier, start: float) -> None:
    windows = 3 if tier is ENTERPRISE else 8
    server = Server(ApproximateCounter(60.0), tier.requests_per_minute)
    World([Program(Gate(tier), server, workers=64)], start=start).run(60.0 * windows)
    assert server.refused == 0
    assert server.requests >= 0.95 * windows * tier.requests_per_minute


@pytest.mark.parametrize("start", [0.0, 15.0, 30.0, 45.0])
@pytest.mark.parametrize("tier", list(Tier))
def test_row_49_after_a_full_window_of_single_calls_bulk_work_does_not_burst(tier: Tier, start: float) -> None:
    server = Server(ApproximateCounter(60.0), tier.requests_per_minute)
    program = Program(Gate(tier), server, workers=10_000, singles=tier.requests_per_minute)
    World([program], start=start, latency=0.01).run(60.0 * 3)
    assert server.refused == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("advises", [True, False], ids=["with advice", "without"])
@pytest.mark.parametrize("tier", [FREE, PRO])
def test_row_48_two_programs_on_one_key_share_it_with_few_refusals(tier: Tier, advises: bool, seed: int) -> None:
    server = Server(ExactLog(60.0), tier.requests_per_minute)
    programs = [Program(Gate(tier), server, dice=random.Random(f"{seed} {n}"), advises=advises) for n in range(2)]
    World(programs).run(60.0 * 12)
    assert server.refused <= 0.05 * server.requests
    assert server.requests >= 0.6 * 12 * tier.requests_per_minute
