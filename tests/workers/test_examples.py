"""The examples of workers run, as programs of their own; those that need other packages are read at least."""

from __future__ import annotations

import ast
import os
import re
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pyarrow.dataset as ds  # type: ignore[import-untyped]
import pytest

from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import Partition, merge_partitions
from tests.redis_server import running_redis
from tests.workers.crew import ROOT, open_client, partitions_of, plan_job, read_rows

SESSIONS = 12
SCRIPTS = ["arq_app", "celery_app", "export_part", "plan_parts"]


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


async def run(sandbox: Sandbox, *arguments: str, given: str = "", redis: str = "") -> tuple[int, str, str]:
    """Run a program; returns its exit code, stdout and stderr."""
    environment = environment_of(sandbox, redis)
    done = await anyio.run_process(
        [sys.executable, *arguments], input=given.encode(), cwd=ROOT, env=environment, check=False
    )
    said = done.stderr.decode()
    assert sandbox.api_key not in done.stdout.decode() + said
    return done.returncode, done.stdout.decode(), said


async def test_plain_processes_share_a_folder(sandbox: Sandbox, tmp_path: Path) -> None:
    code, out, said = await run(sandbox, "-m", "examples.processes", str(tmp_path / "job"), "2")

    rows = read_rows(tmp_path / "job")
    assert (code, said) == (0, "")
    assert out == f"{len(rows):,} events of {SESSIONS} sessions in 1 parts\n"
    assert len({row["event_id"] for row in rows}) == len(rows)


async def test_taskiq_runs_a_worker_of_the_example(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    worker = [sys.executable, "-m", "taskiq", "worker", "examples.taskiq_app:broker", "--workers", "1"]
    with running_redis(tmp_path / "redis") as redis:
        environment = environment_of(sandbox, redis.url)
        async with await anyio.open_process(worker, cwd=ROOT, env=environment, stderr=None) as process:
            code, out, said = await run(sandbox, "-m", "examples.taskiq_app", str(tmp_path / "job"), redis=redis.url)
            process.send_signal(signal.SIGTERM)
            await process.wait()
    assert code == 0, said
    assert out.endswith(f"events of {SESSIONS} sessions in 1 parts\n")
    assert ds.dataset(tmp_path / "job", format="parquet").count_rows() == int(out.split()[0].replace(",", ""))


async def test_a_part_can_be_exported_by_a_program_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    code, out, said = await run(sandbox, "examples/plan_parts.py", str(tmp_path / "job"))
    assert (code, said) == (0, "1 of 1 parts are missing\n")
    [partition] = [Partition.from_json(line) for line in out.splitlines()]

    assert await run(sandbox, "examples/export_part.py", str(tmp_path / "job"), given=out) == (0, "", "")

    report = await merge_partitions(tmp_path / "job")
    assert report.sessions == SESSIONS == len(partition.sessions)
    code, out, said = await run(sandbox, "examples/plan_parts.py", str(tmp_path / "job"))
    assert (code, out, said) == (0, "", f"{report.rows:,} events of {SESSIONS} sessions in 1 parts\n")


async def test_such_a_program_says_what_is_wrong(sandbox: Sandbox, tmp_path: Path) -> None:
    async with open_client(sandbox) as client:
        [partition] = await partitions_of(await plan_job(client, ["big-3"], tmp_path / "job"))

    code, _, said = await run(
        sandbox, "examples/export_part.py", str(tmp_path / "elsewhere"), given=partition.to_json()
    )

    assert code == 1
    assert said.startswith("ConfigError: there is no plan ")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_what_it_needs(name: str) -> None:
    """Its inline dependencies (PEP 723) are what it imports beside the standard library and its neighbours."""
    text = (ROOT / "examples" / f"{name}.py").read_text()
    block = re.search(r"(?m)^# /// script$\n((?:^#.*$\n)+?)^# ///$", text)
    assert block is not None
    about = tomllib.loads("".join(f"{line[2:]}\n" for line in block[1].splitlines()))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    needed = {re.split(r"[\[>=<]", requirement)[0].replace("-", "_") for requirement in about["dependencies"]}
    assert imported - set(sys.stdlib_module_names) == needed
    assert about["requires-python"] == ">=3.11"
