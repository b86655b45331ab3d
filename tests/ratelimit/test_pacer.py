"""Even spacing, and the rate after unexpected 429s."""

from __future__ import annotations

import asyncio

import pytest

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import RequestOutcome
from isnotai_async._ratelimit.local import LocalLimiter
from isnotai_async._ratelimit.pacer import Pacer
from isnotai_async._ratelimit.policy import RateLimitPolicy
from tests import virtual


def test_spaced_requests_come_at_98_percent_of_the_rate() -> None:
    pacer, now, count = Pacer(60.0), 0.0, 0
    while now < 600:
        now += pacer.wait(now)
        pacer.spend(60, now)
        count += 1
    assert count == pytest.approx(0.98 * 600, abs=2)


def test_late_wake_ups_do_not_add_up() -> None:
    pacer, now, count = Pacer(60.0), 0.0, 0
    while now < 60:
        now += pacer.wait(now) + 0.02  # twice the spacing late, each time
        pacer.spend(6000, now)
        count += 1
        while pacer.wait(now) == 0:
            pacer.spend(6000, now)
            count += 1
    assert count >= 0.97 * 6000


@pytest.mark.parametrize(("rate", "at_once"), [(60, 1), (600, 6), (6_000, 60)])
def test_a_long_delay_is_caught_up_by_a_hundredth_of_the_limit_and_no_more(rate: float, at_once: int) -> None:
    pacer, sent = Pacer(), 0
    pacer.spend(rate, 0.0)
    while not pacer.wait(100.0):
        pacer.spend(rate, 100.0)
        sent += 1

    assert sent == at_once


def test_each_unexpected_429_takes_a_fifth_down_to_a_tenth() -> None:
    pacer = Pacer(60.0)
    shares = []
    for _ in range(13):
        pacer.slow_down(0.0)
        shares.append(pacer.share(0.0))
    assert shares[:3] == pytest.approx([0.8, 0.64, 0.512])
    assert shares[-2:] == [0.1, 0.1]


def test_the_rate_comes_back_by_a_twentieth_each_window() -> None:
    pacer = Pacer(60.0)
    pacer.slow_down(0.0)
    pacer.slow_down(0.0)
    assert [pacer.share(60.0 * windows) for windows in (1, 2, 8)] == pytest.approx([0.69, 0.74, 1.0])


def test_everything_is_spaced_for_ten_windows_after_the_second_429_within_ten() -> None:
    pacer = Pacer(60.0)
    pacer.slow_down(0.0)
    assert not pacer.spaces_all(0.0)
    pacer.slow_down(599.0)
    assert [pacer.spaces_all(now) for now in (599.0, 1198.0, 1199.0)] == [True, True, False]


def test_a_second_429_after_exactly_ten_windows_is_the_first_of_two_again() -> None:
    pacer = Pacer(60.0)
    pacer.slow_down(0.0)
    pacer.slow_down(600.0)
    assert not pacer.spaces_all(600.0)


def test_a_higher_rate_moves_the_next_request_forward_by_no_more_than_its_spacing() -> None:
    pacer = Pacer(60.0, due=100.0)
    pacer.slow_down(0.0)
    pacer.hurry(600, 30.0)
    assert pacer.due == 30.0 + pacer.spacing(600, 30.0) > 30.1
    pacer.hurry(60, 30.0)
    assert pacer.due == 30.0 + pacer.spacing(600, 30.0)  # a lower rate moves it not back


def test_429s_that_are_far_apart_space_nothing_but_bulk_work() -> None:
    pacer = Pacer(60.0)
    for now in (0.0, 601.0, 1202.0):
        pacer.slow_down(now)
        assert not pacer.spaces_all(now)
        assert pacer.spacing(60, now) > pacer.spacing(60, now + 600)


def test_a_stray_429_costs_single_calls_its_pause_and_no_more() -> None:
    policy, now, sent = RateLimitPolicy(Tier.FREE), 0.0, 0
    while sent < 21:
        wait, _ = policy.wait(now, bulk=False)
        now += wait
        if (permit := policy.try_acquire(now, bulk=False)) is None:
            continue
        answer = RequestOutcome(429, 1.0, Tier.FREE) if sent == 0 else RequestOutcome(200, None, Tier.FREE)
        policy.record_outcome(permit, answer, now + 0.05)
        now, sent = now + 0.05, sent + 1
    assert now < 3.0


async def count_walked_pages(tier: Tier, *, windows: int, held: float) -> int:
    """Count the requests of 64 walks that are always behind, after their first window, which has a burst.

    Something holds the loop twice a second, for so many seconds.
    """
    loop, sent = asyncio.get_running_loop(), 0
    limiter = LocalLimiter(tier=tier, clock=virtual.now)
    begin = virtual.now() + 61.0  # the slots of the burst are held for the margin, too

    async def walk() -> None:
        nonlocal sent
        while True:
            permit = await limiter.acquire(bulk=True)
            sent += virtual.now() >= begin
            await asyncio.sleep(0.1)
            await limiter.release(permit, RequestOutcome(200, tier=tier))

    walks = [asyncio.create_task(walk()) for _ in range(64)]
    while (left := begin + 60.0 * windows - virtual.now()) > 0:
        await asyncio.sleep(min(0.5, left))
        assert isinstance(loop, virtual.VirtualLoop)
        loop.jump(held)
    for task in walks:
        task.cancel()
    return sent


@pytest.mark.parametrize("held", [0.0, 0.05])
@pytest.mark.parametrize("tier", Tier)
def test_walks_use_98_percent_of_the_quota_on_a_loop_that_is_held_now_and_then(tier: Tier, held: float) -> None:
    sent, quota = virtual.run(count_walked_pages(tier, windows=2, held=held)), 2 * tier.requests_per_minute
    assert 0.98 * quota - 2 <= sent <= quota
