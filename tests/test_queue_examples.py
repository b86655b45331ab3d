"""The examples of workers run, as programs of their own; the one that needs other packages is read at least."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pyarrow.dataset as ds  # type: ignore[import-untyped]
import pytest

from isnotai_async.sandbox import Sandbox
from tests.redis_server import running_redis

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
    command = [sys.executable, "-m", *arguments]
    done = await anyio.run_process(command, cwd=ROOT, env=environment_of(sandbox, redis), check=False)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert sandbox.api_key not in done.stdout.decode() + said
    return done.stdout.decode()


def read_ids(folder: Path) -> list[str]:
    files = [str(path) for path in folder.glob("*.parquet")]
    ids: list[str] = ds.dataset(files, format="parquet").to_table(columns=["event_id"])["event_id"].to_pylist()
    return ids


async def test_tasks_of_a_queue_share_one_client(sandbox: Sandbox) -> None:
    printed = await run(sandbox, "examples.queue_workers")

    assert re.fullmatch(r"(\w+ [\d,]+\n){3}", printed)
    assert sandbox.stats.rejected == 0


async def test_plain_processes_export_each_session_once(sandbox: Sandbox, tmp_path: Path) -> None:
    printed = await run(sandbox, "examples.shard_processes", str(tmp_path), "3")

    ids = read_ids(tmp_path)
    assert printed == f"{len(ids):,} events in 3 files\n"
    assert len(set(ids)) == len(ids) > 1000
    assert printed == await run(sandbox, "examples.shard_processes", str(tmp_path), "3")  # again: nothing to do


@pytest.mark.timeout(180)  # five interpreters, on a machine that may be busy
async def test_taskiq_exports_each_session_once_with_two_workers(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with running_redis(tmp_path) as redis:
        environment = {**environment_of(sandbox, redis.url), "IDLE_SECONDS": "2"}
        command = [sys.executable, "-m", "taskiq", "worker", "--workers", "1", "examples.taskiq_shards:broker"]
        workers = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for _ in range(2)
        ]
        try:
            printed = await run(sandbox, "examples.taskiq_shards", str(folder), "6", redis=redis.url)
        finally:
            for worker in workers:
                if worker.poll() is None:
                    os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    ids = read_ids(folder)
    assert printed == f"{len(ids):,} events in 6 files\n"
    assert len(set(ids)) == len(ids) > 1000


def test_the_example_that_needs_other_packages_says_so_and_can_be_read() -> None:
    text = (ROOT / "examples" / "arq_shards.py").read_text(encoding="utf-8")
    header = re.search(r"# /// script\n(.*?)# ///", text, re.DOTALL)

    assert header is not None
    assert "dependencies" in tomllib.loads(re.sub(r"^# ?", "", header[1], flags=re.MULTILINE))
    assert ast.get_docstring(ast.parse(text))
