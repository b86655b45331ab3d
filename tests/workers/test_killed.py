"""Workers and Redis that die in the middle: real processes, a real Redis, and parts that are whole in the end.

`benchmarks.bench_workers` does the same with 2,000 sessions.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import Plan, merge_partitions, run_job
from isnotai_async.workers.taskiq import open_queue
from tests.redis_server import RedisServer, running_redis
from tests.workers.crew import Crew, count_rows, open_client, plan_job, running_crew

SIZES = [*range(200, 248), 3_000]  # some 170 pages; one part takes as long as many others together


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isnotai_async.workers.driving._TICK", 0.05)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with running_redis(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(rate_limit=None, compress=False, latency=0.02) as sandbox:
        yield sandbox


@pytest.fixture
async def plan(sandbox: Sandbox, tmp_path: Path) -> Plan:
    async with open_client(sandbox) as client:
        return await plan_job(client, [f"big-{size}" for size in SIZES], tmp_path / "job", size=3)


@pytest.fixture
def crew(redis: RedisServer, sandbox: Sandbox) -> Iterator[Crew]:
    with running_crew(redis.url, sandbox, 2, concurrency=1, idle_timeout=0.5) as crew:
        yield crew


async def run_with(plan: Plan, redis: RedisServer, harm: Callable[[int], None]) -> None:
    """Run the job, and after each finished part do harm; then check every row."""
    done = -1

    def tell(parts_done: int) -> None:
        nonlocal done
        while done < parts_done:
            done += 1
            harm(done)

    with anyio.fail_after(50):
        async with open_queue(redis.url, plan.folder.path) as queue:
            await run_job(plan, queue, ahead=10, on_progress=lambda progress: tell(progress.parts_done))
    await merge_partitions(plan.folder.path)
    count_rows(plan.folder.path, SIZES)


async def test_workers_and_redis_die_in_the_middle_and_nothing_is_lost_or_repeated(
    plan: Plan, redis: RedisServer, crew: Crew
) -> None:
    """Row 51, with parts instead of permits, and row 52: killed and back with its data, paused, and emptied."""

    def harm(done: int) -> None:
        if done in {1, 11}:
            crew.processes[-1].kill()
            crew.start()
        elif done == 3:
            redis.kill()
            redis.start()
        elif done == 6:
            redis.pause()
            threading.Timer(0.7, redis.resume).start()
        elif done == 9:
            redis.ask("FLUSHALL")

    await run_with(plan, redis, harm)
    assert len(crew.processes) == 4
    with anyio.fail_after(10):
        while redis.ask("XLEN", "isnotai"):  # the last task is acknowledged after its report
            await anyio.sleep(0.01)
    assert crew.end()[0] == 0  # the one that nobody has killed
