"""Processes that share one key through Redis or a file; the sandbox's own log of arrivals is the witness.

Windows are scaled down from a minute; benchmarks/bench_shared_quota.py has whole ones.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from tests.load import max_in_window
from tests.redis_server import RedisServer, running_redis

ROOT = Path(__file__).parents[2]
WINDOW, WINDOWS = 3.0, 3

WORKER = """
import asyncio, sys, time
import isnotai_async as isnotai

place, skew, window, seconds, calls_url, calls_key, walks_url, walks_key = sys.argv[1:]
real = time.time
time.time = lambda: real() + float(skew)

async def call(client):
    while True:
        await client.get_session("big-1")

async def walk(client, position):
    async for _ in client.list_events("big-100000", page_size=1, resume=position).pages():
        pass

async def main():
    if "://" in place:
        limiter = isnotai.RedisLimiter.from_url(place, window=float(window))
    else:
        limiter = isnotai.FileLimiter(place, window=float(window))
    calls = isnotai.Client(calls_key, base_url=calls_url, limiter=limiter, deadline=None)
    walks = isnotai.Client(walks_key, base_url=walks_url, limiter=limiter, deadline=None)
    async with limiter, calls, walks:
        first = walks.list_events("big-100000", page_size=1)
        async for _ in first:  # the first page of a walk counts as a single call
            break
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        jobs = [call(calls) for _ in range(16)] + [walk(walks, first.position) for _ in range(16)]
        tasks = [asyncio.create_task(job) for job in jobs]
        done, _ = await asyncio.wait(tasks, timeout=float(seconds), return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

asyncio.run(main())
"""

HOLDER = """
import asyncio, sys
import isnotai_async as isnotai

async def main():
    async with isnotai.RedisLimiter.from_url(sys.argv[1], window=1.0, lease=1.0) as limiter:
        for _ in range(60):
            await limiter.bind(isnotai.REGIONS["us"], "ab" * 16).acquire(bulk=False)
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@asynccontextmanager
async def programs(source: str, arguments: list[list[str]]) -> AsyncIterator[list[Process]]:
    """Start programs, and wait until all are ready."""
    started: list[Process] = []
    try:
        for each in arguments:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", source, *each, cwd=ROOT, stdin=PIPE, stdout=PIPE
            )
            started.append(process)
        for process in started:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.mark.parametrize("place", ["redis", "file"])
@pytest.mark.heavy
async def test_rows_50_and_53_four_processes_use_one_quota_and_meet_no_429(
    server: RedisServer, tmp_path: Path, place: str
) -> None:
    """16 tasks each that call, on one key, and 16 that walk, on another; the clocks of two are an hour wrong.

    Bulk work is spaced, so what a busy machine delays by more than some milliseconds is lost to it at this scale.
    """
    options: dict[str, Any] = {"tier": "free", "window": WINDOW, "latency": (0.0, WINDOW / 300)}
    async with isnotai.Sandbox(**options, seed="calls") as calls, isnotai.Sandbox(**options, seed="walks") as walks:
        fixed = [str(WINDOW), str(WINDOW * WINDOWS), calls.base_url, calls.api_key, walks.base_url, walks.api_key]
        where = server.url if place == "redis" else str(tmp_path / "limit.db")
        arguments = [[where, str(skew), *fixed] for skew in (0, 0, 3600, -3600)]
        async with programs(WORKER, arguments) as started:
            before = len(walks.stats.arrivals)
            await asyncio.gather(*(process.communicate(b"go\n") for process in started))
            assert [process.returncode for process in started] == [0, 0, 0, 0]
        for sandbox in (calls, walks):
            assert sandbox.stats.rejected == 0
            assert max_in_window(sandbox.stats, WINDOW) <= 60
        assert len(calls.stats.arrivals) >= 0.97 * WINDOWS * 60
        assert len(walks.stats.arrivals) - before >= 0.85 * WINDOWS * 60


async def test_what_a_killed_process_held_comes_back_after_lease_and_window(server: RedisServer) -> None:
    async with programs(HOLDER, [[server.url]]) as (holder,):
        loop = asyncio.get_running_loop()
        holder.kill()
        killed = loop.time()
        async with isnotai.RedisLimiter.from_url(server.url, window=1.0, lease=1.0) as limiter:
            mine, told = limiter.bind(REGIONS["us"], "ab" * 16), list[float]()
            await mine.acquire(bulk=False, on_wait=lambda wait, _: told.append(wait))
            assert 1.0 < told[0] <= 2.1  # what is left of a lease and a window since the permits
            assert loop.time() - killed <= told[0] + 5


def test_forks_of_a_process_do_not_take_each_others_slots(server: RedisServer) -> None:
    """What web servers do that load the program once and fork it: each fork has to count for itself."""
    source = """
import asyncio, os, sys
import isnotai_async as isnotai
limiter = isnotai.RedisLimiter.from_url(sys.argv[1])
key = limiter.bind(isnotai.REGIONS["us"], "ab" * 16)

async def main():
    for _ in range(10):
        await key.release(await key.acquire(bulk=False), isnotai.RequestOutcome(200))
    await limiter.aclose()

children = []
for _ in range(3):
    child = os.fork()
    if not child:
        asyncio.run(main())
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""
    subprocess.run([sys.executable, "-c", source, server.url], check=True, timeout=50)
    (slots,) = server.ask("KEYS", "*:slots")
    assert server.ask("ZCARD", slots.decode()) == 30
