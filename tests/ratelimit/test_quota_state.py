"""What a limiter reports about itself: limit, slots in use, waiting requests, pause."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.limiter import OnWait
from tests import virtual

OK = isnotai.RequestOutcome(200)


def test_a_local_limiter_reports_what_is_used_who_waits_and_how_long_a_pause_lasts() -> None:
    async def main() -> None:
        limiter = isnotai.LocalLimiter(tier="pro", quota=0.01, clock=virtual.now)
        assert limiter.quota_state == isnotai.QuotaState(limit=6, used=0, waiting=0, pause=0.0)
        permits = [await limiter.acquire(bulk=False) for _ in range(6)]
        waiting = asyncio.create_task(limiter.acquire(bulk=False))
        await asyncio.sleep(1)
        assert limiter.quota_state == isnotai.QuotaState(limit=6, used=6, waiting=1, pause=0.0)
        await limiter.release(permits[0], isnotai.RequestOutcome(429, 30.0))
        await asyncio.sleep(10)
        assert limiter.quota_state == isnotai.QuotaState(limit=6, used=6, waiting=1, pause=20.0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(25)
        assert (limiter.quota_state.waiting, limiter.quota_state.pause) == (0, 0.0)

    virtual.run(main())


async def test_a_shared_limiter_reports_what_all_processes_used(tmp_path: Path) -> None:
    """Two limiters stand for two processes."""
    async with isnotai.FileLimiter(tmp_path / "a.db") as first, isnotai.FileLimiter(tmp_path / "a.db") as second:
        one, other = (limiter.bind(REGIONS["us"], "ab" * 16) for limiter in (first, second))
        permits = [await one.acquire(bulk=False) for _ in range(7)]
        await other.acquire(bulk=False)
        assert other.quota_state == isnotai.QuotaState(limit=60, used=8, waiting=0, pause=0.0)
        await one.release(permits[0], isnotai.RequestOutcome(429, 30.0))
        async with asyncio.timeout(10):
            while one._task is not None:  # until the file has it
                await asyncio.sleep(0.01)
            waits = asyncio.Queue[float]()
            waiting = asyncio.create_task(other.acquire(bulk=False, on_wait=lambda wait, _: waits.put_nowait(wait)))
            await waits.get()
        assert 20 < other.quota_state.pause <= 30
        assert other.quota_state.waiting == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_client_passes_on_what_its_limiter_reports(tmp_path: Path) -> None:
    async with isnotai.Sandbox() as sandbox:
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            await client.list_sessions(page_size=1)
            state = client.quota_state
            assert state is not None
            assert (state.used, state.waiting, state.pause) == (1, 0, 0.0)
        unlimited = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited())
        assert unlimited.quota_state is None


class Counting(isnotai.LocalLimiter):
    """A limiter that overrides only `acquire`."""

    count = 0

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> isnotai.Permit:
        self.count += 1
        return await super().acquire(bulk=bulk, on_wait=on_wait)


class CountingBoth(Counting):
    """A limiter that overrides both."""

    def acquire_nowait(self, *, bulk: bool) -> isnotai.Permit | None:
        self.count += 1
        return super().acquire_nowait(bulk=bulk)


@pytest.mark.parametrize("kind", [Counting, CountingBoth])
async def test_a_limiter_that_overrides_a_method_is_never_bypassed(kind: type[Counting]) -> None:
    limiter = kind()
    async with (
        isnotai.Sandbox() as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client,
    ):
        await client.list_sessions(page_size=1)
        assert limiter.count == 1
