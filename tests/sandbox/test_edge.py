"""The limiter and the counters, over HTTP. The window's arithmetic is tested without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isnotai_async.sandbox import Sandbox
from isnotai_async.sandbox.faults import FaultQueue
from isnotai_async.sandbox.generated import Dataset
from isnotai_async.sandbox.options import SandboxOptions
from isnotai_async.sandbox.region import SandboxRegion
from isnotai_async.sandbox.seed_data import Dice


def make_region(**options: Any) -> SandboxRegion:
    return SandboxRegion(
        name="us",
        key="key",
        tier="free",
        seed=1,
        options=SandboxOptions(**options),
        data=Dataset(1, 0),
        faults=FaultQueue(Dice(1)),
    )


@pytest.mark.parametrize(("tier", "limit"), [("free", 60), ("pro", 600), ("enterprise", 6_000)])
def test_every_tier_has_its_documented_number_of_requests(tier: str, limit: int) -> None:
    region = make_region()
    region.tier = tier

    assert [region.accept("key", 0.0) for _ in range(limit + 1)].count(None) == limit
    assert (region.stats.rejected, len(region.stats.arrivals)) == (1, limit + 1)


def test_a_change_of_tier_keeps_the_history() -> None:
    region = make_region()
    region.tier = "pro"
    for _ in range(100):
        assert region.accept("key", 0.0) is None
    region.tier = "free"

    assert region.accept("key", 59.0) == pytest.approx(1.0)
    assert region.accept("key", 60.0) is None


def test_buckets_are_apart() -> None:
    region = make_region(rate_limit=1)

    assert region.accept("key", 0.0) is None
    assert region.accept("tier free", 0.0) is None
    assert region.accept("key", 0.0) is not None


def test_a_lifted_limit_still_notes_arrivals() -> None:
    region = make_region(rate_limit=None)

    assert [region.accept("key", float(now)) for now in range(10_000)] == [None] * 10_000
    assert list(region.stats.arrivals) == [float(now) for now in range(10_000)]


def test_latency_is_split_between_both_ways_and_stays_in_its_range() -> None:
    region = make_region(latency=(0.1, 0.3))
    draws = [region.latency() for _ in range(200)]

    assert all(0.1 <= inward + outward <= 0.3 for inward, outward in draws)
    assert all(inward >= 0 and outward >= 0 for inward, outward in draws)
    assert len(set(draws)) == 200


@pytest.mark.parametrize("counter", ["log", "approximate"])
async def test_a_full_window_is_a_429_from_the_edge(ask: Any, counter: Any) -> None:
    async with Sandbox(rate_limit=2, counter=counter) as sandbox:
        statuses = [(await ask(sandbox, "/v1/integration")).status for _ in range(2)]
        reply = await ask(sandbox, "/v1/sessions")

    assert statuses == [200, 200]
    assert (reply.status, reply.code) == (429, "SANDBOX_RATE_LIMITED")
    assert "x-isnotai-tier" not in reply.headers
    assert 1 <= int(reply.headers["Retry-After"]) <= 121
    assert sandbox.stats.rejected == 1
    assert len(sandbox.stats.arrivals) == 3
    assert sandbox.stats.statuses == {200: 2, 429: 1}


async def test_retry_after_can_be_left_out(ask: Any) -> None:
    async with Sandbox(rate_limit=1, retry_after=False) as sandbox:
        await ask(sandbox, "/v1/integration")
        reply = await ask(sandbox, "/v1/integration")

    assert reply.status == 429
    assert "Retry-After" not in reply.headers


async def test_every_authenticated_request_counts_and_no_other(ask: Any) -> None:
    async with Sandbox(rate_limit=3) as sandbox:
        await ask(sandbox, "/health")
        await ask(sandbox, "/v1/sessions", headers={})
        await ask(sandbox, "/v1/nothing")
        await ask(sandbox, "/v1/sessions", method="POST")
        await ask(sandbox, "/v1/sessions", pageSize=0)
        assert (await ask(sandbox, "/v1/sessions")).status == 429
        assert (await ask(sandbox, "/v1/sessions", region="eu")).status == 200

    assert sandbox.stats.requests == 6
    assert len(sandbox.stats.arrivals) == 4


async def test_x_api_key_counts_in_a_bucket_of_its_own(ask: Any) -> None:
    async with Sandbox(rate_limit=1) as sandbox:
        assert (await ask(sandbox, "/v1/integration")).status == 200
        headers = {"x-api-key": sandbox.api_key}
        assert (await ask(sandbox, "/v1/integration", headers=headers)).status == 200
        assert (await ask(sandbox, "/v1/integration", headers=headers)).status == 429


async def test_counters_see_what_is_in_flight(ask: Any) -> None:
    async with Sandbox(latency=(0.02, 0.04)) as sandbox:
        await asyncio.gather(*(ask(sandbox, "/v1/sessions/big-1") for _ in range(5)))

    stats = sandbox.stats
    assert (stats.requests, stats.in_flight) == (5, 0)
    assert stats.max_in_flight >= 2
    assert stats.paths == {"/v1/sessions/big-1": 5}
    assert list(stats.arrivals) == sorted(stats.arrivals)
    assert sandbox.region_stats("eu").requests == 0


def test_very_long_runs_do_not_grow_without_end() -> None:
    stats = make_region().stats
    stats.arrivals.extend(range(1_000_000))
    stats.arrive(1e9)

    assert len(stats.arrivals) == 500_001
    assert stats.arrivals[-1] == 1e9
