"""The examples of workers run, as programs of their own; the one that needs other packages is read at least."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from pyarrow import parquet  # type: ignore[import-untyped]

import isnotai_async as isnotai
from isnotai_async.sandbox import Sandbox
from tests.command import RUN_MODULE, Command
from tests.redis_server import RedisServer, running_redis

ROOT = Path(__file__).parent.parent
SESSIONS = 12


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(sessions=SESSIONS, rate_limit=None, compress=False) as sandbox:
        yield sandbox


def environment_of(sandbox: Sandbox, redis: str = "") -> dict[str, str]:
    return {
        **os.environ,
        "ISNOTAI_API_KEY": sandbox.api_key,
        "ISNOTAI_BASE_URL": sandbox.base_url,
        "ISNOTAI_REDIS_URL": redis,
    }


async def run(sandbox: Sandbox, *arguments: str, redis: str = "") -> str:
    """Run an example; return what it prints."""
    environment, pipe = environment_of(sandbox, redis), subprocess.PIPE
    example = Command(arguments, program=RUN_MODULE, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
    printed, said = await asyncio.to_thread(example.communicate)
    assert example.returncode == 0, said
    assert sandbox.api_key not in printed + said
    return str(printed)


def read_ids(folder: Path) -> list[str]:
    files = [str(path) for path in folder.glob("*.parquet")]
    ids: list[str] = parquet.read_table(files, columns=["event_id"])["event_id"].to_pylist()
    return ids


async def test_tasks_of_a_queue_share_one_client(sandbox: Sandbox) -> None:
    printed = await run(sandbox, "examples.queue_workers")

    assert re.fullmatch(r"(\w+ [\d,]+\n){3}", printed)
    assert sandbox.stats.rejected == 0


async def test_plain_processes_export_each_session_once(sandbox: Sandbox, tmp_path: Path) -> None:
    printed = await run(sandbox, "examples.shard_processes", str(tmp_path), "2")

    ids = read_ids(tmp_path)
    assert printed == f"{len(ids):,} events in 2 files\n"
    assert len(set(ids)) == len(ids) > 1000
    assert printed == await run(sandbox, "examples.shard_processes", str(tmp_path), "2")  # again: nothing to do


@contextmanager
def running_workers(environment: dict[str, str], count: int) -> Iterator[None]:
    """Run taskiq workers, each with one task at a time; kill them at the end, as a crash does."""
    options = ["--workers", "1", "--max-async-tasks", "1"]
    command = [sys.executable, "-m", "taskiq", "worker", *options, "examples.taskiq_shards:broker"]
    start = partial(subprocess.Popen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    workers = [start(command, cwd=ROOT, env=environment) for _ in range(count)]
    try:
        yield
    finally:
        for worker in workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.mark.timeout(180)  # five interpreters, on a machine that may be busy
@pytest.mark.heavy
async def test_taskiq_exports_each_session_once_with_two_workers(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with running_redis(tmp_path) as redis:
        environment = {**environment_of(sandbox, redis.url), "IDLE_SECONDS": "2"}
        with running_workers(environment, 2):
            printed = await run(sandbox, "examples.taskiq_shards", str(folder), "6", redis=redis.url)

    ids = read_ids(folder)
    assert printed == f"{len(ids):,} events in 6 files\n"
    assert len(set(ids)) == len(ids) > 1000


async def export_through_trouble(sandbox: Sandbox, redis: RedisServer, folder: Path, shards: int) -> tuple[int, str]:
    """Kill the workers and empty Redis in the middle of a job; then run the same job again, with new workers.

    Returns:
        Number of the shards that were finished when the workers were killed, and what the second run printed.
    """
    environment = {**environment_of(sandbox, redis.url), "IDLE_SECONDS": "2"}
    job = [sys.executable, "-m", "examples.taskiq_shards", str(folder), str(shards)]
    with subprocess.Popen(job, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as first:
        with running_workers(environment, 2):
            while not list(folder.glob("*.parquet")):
                assert first.poll() is None
                await anyio.sleep(0.02)
        first.kill()  # else it waits for results that Redis has lost
    finished = len(list(folder.glob("*.parquet")))
    redis.ask("FLUSHALL")
    with running_workers(environment, 2):
        return finished, await run(sandbox, *job[2:], redis=redis.url)


@pytest.mark.timeout(240)  # seven interpreters, on a machine that may be busy
@pytest.mark.heavy
async def test_a_taskiq_job_survives_killed_workers_double_delivery_and_an_emptied_redis(
    tmp_path: Path,
) -> None:
    folder, whole = tmp_path / "out", tmp_path / "whole"
    folder.mkdir()
    whole.mkdir()
    async with Sandbox(sessions=30, rate_limit=None, compress=False, latency=0.1) as sandbox:
        with running_redis(tmp_path) as redis:
            finished, printed = await export_through_trouble(sandbox, redis, folder, 6)
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            await isnotai.export_events(client, client.list_sessions(), whole / "events.parquet")

    assert 1 <= finished < 6  # these are delivered twice
    ids = read_ids(folder)
    assert printed == f"{len(ids):,} events in 6 files\n"
    assert sorted(ids) == sorted(read_ids(whole))


def test_the_example_that_needs_other_packages_says_so_and_can_be_read() -> None:
    text = (ROOT / "examples" / "arq_shards.py").read_text(encoding="utf-8")
    header = re.search(r"# /// script\n(.*?)# ///", text, re.DOTALL)

    assert header is not None
    assert "dependencies" in tomllib.loads(re.sub(r"^# ?", "", header[1], flags=re.MULTILINE))
    assert ast.get_docstring(ast.parse(text))
