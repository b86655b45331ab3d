"""The export by workers beside that of one process, and what is left of it when workers and Redis die.

    python -m benchmarks.bench_workers           # all tables
    python -m benchmarks.bench_workers speed     # quota lifted, and with a quota
    python -m benchmarks.bench_workers harm      # kill -9 of workers, and what can happen to Redis

Needs ``redis-server``, which is started on a loopback port, and the extras ``taskiq`` and ``redis``. The sandbox runs
in this process, so on two processors it is what two workers wait for; look at the quota's table for what they are
meant for. Each way has the same sessions; the rows are compared with those of one process by a digest that does not
depend on their order. "Of quota" is the time that the requests take at the limit, half a window of them being free,
as a share of the time it took.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import anyio
from attrs import define, field, frozen

import isnotai_async as isnotai
from isnotai_async.workers import describe_job, make_plan, merge_partitions, run_job

SESSIONS: Final = 2_000
SIZE: Final = 20  # sessions of a part
LIMIT: Final = 600
WINDOW: Final = 6.0  # seconds: a tenth of the server's, so that a table takes minutes and not hours


@define
class RedisProgram:
    """A Redis that keeps its data, to be harmed."""

    folder: Path
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes"]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        time.sleep(0.5)

    def kill(self, *, empty: bool = False) -> None:
        self._process.kill()
        self._process.wait()
        if empty:
            for path in sorted(self.folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    def pause(self, seconds: float) -> None:
        self._process.send_signal(signal.SIGSTOP)
        asyncio.get_running_loop().call_later(seconds, self._process.send_signal, signal.SIGCONT)


@contextmanager
def running_redis() -> Iterator[RedisProgram]:
    """Run a Redis."""
    with tempfile.TemporaryDirectory() as folder:
        program = RedisProgram(Path(folder))
        try:
            yield program
        finally:
            program.kill()


@frozen
class Case:
    """A way to export.

    Attributes:
        name: What the table calls it.
        workers: Processes; 0 for one that exports by itself.
        quota: Whether there is one.
    """

    name: str
    workers: int
    quota: bool


@define
class Result:
    """What came of it."""

    seconds: float
    cpu: float
    rows: int
    digest: str
    requests: int
    rejected: int


@asynccontextmanager
async def open_source(task: dict[str, Any]) -> AsyncGenerator[isnotai.Client, None]:
    """Open a client with the limiter of a case."""
    async with AsyncExitStack() as stack:
        limiter: Any = isnotai.Unlimited()
        if task["quota"] and task["redis"]:
            limiter = await stack.enter_async_context(
                isnotai.RedisLimiter.from_url(task["redis"], tier="pro", window=WINDOW)
            )
        elif task["quota"]:
            limiter = isnotai.LocalLimiter(tier="pro", window=WINDOW)
        client = isnotai.Client(task["key"], base_url=task["base_url"], limiter=limiter)
        yield await stack.enter_async_context(client)


async def _export(task: dict[str, Any]) -> None:
    """Be the one process that exports by itself."""
    async with open_source(task) as client:
        begun = time.perf_counter()
        await isnotai.export_events(client, task["sessions"], task["out"], concurrency=16)
        print(time.perf_counter() - begun)


async def _work(task: dict[str, Any]) -> None:
    """Be a worker."""
    from isnotai_async.workers.taskiq import make_broker, run_worker

    stop = anyio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    broker = make_broker(task["redis"], open_source=lambda: open_source(task), idle_timeout=task["idle_timeout"])
    print("ready", flush=True)
    await run_worker(broker, stop)


async def start(role: str, task: dict[str, Any]) -> Process:
    command = [sys.executable, "-m", "benchmarks.bench_workers", role]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(task).encode() + b"\n")
    await process.stdin.drain()
    return process


async def _end(process: Process) -> float:
    """End a worker; returns seconds of CPU, which the system tells of those that have ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode is None:
        process.terminate()
    await process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def digest_rows(paths: list[Path]) -> tuple[int, str]:
    """Count rows, and make a digest that is the same in any order, and another if one is missing or repeated."""
    count = total = 0
    for path in paths:
        for row in path.read_bytes().splitlines():
            count += 1
            total += int.from_bytes(blake2b(row, digest_size=16).digest())
    return count, f"{total % 2**128:032x}"


def describe_task(sandbox: isnotai.Sandbox, *, quota: bool, redis: str | None, out: Path) -> dict[str, Any]:
    """Say what a process has to do."""
    return {
        "redis": redis,
        "base_url": sandbox.base_url,
        "key": sandbox.api_key,
        "quota": quota,
        "sessions": sandbox.session_ids(),
        "out": str(out),
        "idle_timeout": 60.0,
    }


async def measure(case: Case, redis: RedisProgram, sessions: int) -> Result:
    """Export in one way."""
    limit: Any = LIMIT if case.quota else None
    sandbox = isnotai.Sandbox(sessions=sessions, rate_limit=limit, window=WINDOW, tier="pro", compress=False)
    async with sandbox:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / ("job" if case.workers else "one.jsonl")
            task = describe_task(sandbox, quota=case.quota, redis=redis.url if case.workers else None, out=out)
            seconds, cpu = await (_distribute(task, case.workers) if case.workers else _by_itself(task))
            rows, digest = digest_rows(sorted(out.glob("part-*")) if case.workers else [out])
        stats = sandbox.stats
        return Result(seconds, cpu, rows, digest, stats.requests, stats.rejected)


async def _by_itself(task: dict[str, Any]) -> tuple[float, float]:
    process = await start("export", task)
    assert process.stdout is not None
    seconds = float(await process.stdout.readline())
    return seconds, await _end(process)


async def _distribute(task: dict[str, Any], workers: int) -> tuple[float, float]:
    crew = [await start("work", task) for _ in range(workers)]
    for process in crew:
        assert process.stdout is not None
        await process.stdout.readline()
    begun = time.perf_counter()
    await run_through(task)
    seconds = time.perf_counter() - begun
    return seconds, sum([await _end(process) for process in crew])


async def run_through(task: dict[str, Any]) -> None:
    """Plan a job, have it done, and put it together."""
    from isnotai_async.workers.taskiq import open_queue

    async with isnotai.Client(task["key"], base_url=task["base_url"]) as client:
        job = await describe_job(client, task["sessions"], size=SIZE)
        plan = await make_plan(client, task["sessions"], task["out"], job)
    async with open_queue(task["redis"], Path(task["out"])) as queue:
        await run_job(plan, queue)
    await merge_partitions(task["out"])


async def compare_speed(redis: RedisProgram) -> None:
    """Print both tables."""
    for quota, sessions in ((False, SESSIONS), (True, SESSIONS // 5)):
        title = f"quota of {LIMIT} in {WINDOW:g} s" if quota else "quota lifted"
        print(f"\n{sessions:,} sessions, {title}\n")
        print("| way | seconds | rows/s | CPU s | requests | 429s | of quota | rows |")
        print("|---|---:|---:|---:|---:|---:|---:|---|")
        first: Result | None = None
        for workers in (0, 1, 2, 4):
            name = f"{workers} worker{'s' * (workers > 1)}" if workers else "one process, by itself"
            result = await measure(Case(name, workers, quota), redis, sessions)
            first = first or result
            ideal = max(0.0, result.requests - LIMIT / 2) / LIMIT * WINDOW
            cells = [
                f"{result.seconds:.1f}",
                f"{result.rows / result.seconds:,.0f}",
                f"{result.cpu:.1f}",
                f"{result.requests:,}",
                f"{result.rejected}",
                f"{ideal / result.seconds:.1%}" if quota else "",
                "same" if result.digest == first.digest else "**other**",
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def count_parts(folder: Path) -> int:
    """Count the finished parts of a job."""
    return len(list(folder.glob("part-*")))


@define(eq=False)
class Mischief:
    """What happens while an export is under way: the more parts are finished, the more has died."""

    task: dict[str, Any]
    redis: RedisProgram
    crew: list[Process]
    dice: random.Random = field(factory=lambda: random.Random(8))
    kills: int = 0
    done: list[str] = field(factory=list)
    _seen: int = 0

    async def watch(self, folder: Path) -> None:
        """Look how many parts are finished, and do harm now and then."""
        steps = {15: "killed, back with its data", 35: "paused for 10 s", 60: "killed, back with nothing"}
        while True:
            await anyio.sleep(0.05)
            finished = count_parts(folder)
            for at in [at for at in steps if finished >= at]:
                self._harm_redis(steps.pop(at))
            if finished >= self._seen + 4:
                self._seen = finished
                self._kill(self.dice.choice(self.crew))
            # As a supervisor does: also those that began while Redis did not answer, and ended.
            self.crew = [one if one.returncode is None else await start("work", self.task) for one in self.crew]

    def _kill(self, victim: Process) -> None:
        if victim.returncode is None:
            victim.kill()
            self.kills += 1

    def _harm_redis(self, what: str) -> None:
        self.done.append(what)
        if what.startswith("paused"):
            self.redis.pause(10)
        else:
            self.redis.kill(empty=what.endswith("nothing"))
            self.redis.start()


async def harm(redis: RedisProgram) -> None:
    """Kill workers and harm Redis while 2,000 sessions are exported, and compare the rows."""
    sandbox = isnotai.Sandbox(sessions=SESSIONS, rate_limit=None, compress=False, latency=(0.0, 0.02))
    async with sandbox:
        with tempfile.TemporaryDirectory() as folder:
            one, job = Path(folder) / "one.jsonl", Path(folder) / "job"
            task = describe_task(sandbox, quota=False, redis=None, out=one)
            await _by_itself(task)
            task |= {"redis": redis.url, "out": str(job), "idle_timeout": 2.0}
            begun = time.perf_counter()
            mischief = Mischief(task, redis, [await start("work", task) for _ in range(3)])
            async with anyio.create_task_group() as group:
                group.start_soon(mischief.watch, job)
                await run_through(task)
                group.cancel_scope.cancel()
            seconds = time.perf_counter() - begun
            expected, found = digest_rows([one]), digest_rows(sorted(job.glob("part-*")))
            for process in mischief.crew:
                await _end(process)
    print(f"\n{SESSIONS:,} sessions in parts of {SIZE}, 3 workers, while they and Redis die\n")
    print("| workers killed | Redis | seconds | rows expected | rows found | the same rows, each once |")
    print("|---:|---|---:|---:|---:|---|")
    same = "yes" if found == expected else "**no**"
    told = "; ".join(mischief.done)
    print(f"| {mischief.kills} | {told} | {seconds:.0f} | {expected[0]:,} | {found[0]:,} | {same} |")


async def main(argv: list[str]) -> None:
    """Print the tables."""
    with running_redis() as redis:
        if argv in ([], ["speed"]):
            await compare_speed(redis)
        if argv in ([], ["harm"]):
            await harm(redis)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export"]:
            asyncio.run(_export(json.loads(sys.stdin.readline())))
        case ["work"]:
            asyncio.run(_work(json.loads(sys.stdin.readline())))
        case argv:
            asyncio.run(main(argv))
