"""What the tests of workers share: jobs on a sandbox, their rows, and workers in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async.export.origin import AnySessions
from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import Partition, Plan, describe_job, make_plan

ROOT = Path(__file__).parent.parent.parent


@asynccontextmanager
async def open_client(sandbox: Sandbox) -> AsyncIterator[Client]:
    """Open a client that never waits for a quota."""
    async with Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Unlimited()) as client:
        yield client


async def plan_job(client: Client | SessionManager, sessions: AnySessions, folder: Path, **options: Any) -> Plan:
    """Plan a job in a folder."""
    return await make_plan(client, sessions, folder, await describe_job(client, sessions, **options))


async def partitions_of(plan: Plan) -> list[Partition]:
    """Read all partitions of a plan."""
    return [partition async for partition in plan.partitions()]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a JSON Lines file, or of all finished parts in a folder."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def count_rows(path: Path, sizes: Sequence[int]) -> None:
    """Check that sessions ``big-N`` of these sizes are in the parts with every event, each once."""
    rows = read_rows(path)
    ids = [(row["session_id"], row["event_id"]) for row in rows]
    assert len(set(ids)) == len(ids), "rows are repeated"
    assert len(ids) == sum(sizes)
    assert {session_id for session_id, _ in ids} == {f"big-{size}" for size in sizes if size}


@define(eq=False)
class Crew:
    """Workers in processes of their own.

    Attributes:
        url: The Redis of their queue.
        sandbox: Whom they ask.
        options: What else `tests.workers.program` is told.
    """

    url: str
    sandbox: Sandbox
    options: dict[str, Any] = field(factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(factory=list, init=False)

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker; it may take a moment until it works."""
        environment = {
            **os.environ,
            "ISNOTAI_API_KEY": self.sandbox.api_key,
            "ISNOTAI_BASE_URL": self.sandbox.base_url,
        }
        command = [sys.executable, "-m", "tests.workers.program", json.dumps({"url": self.url, **self.options})]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        self.processes.append(process)
        return process

    def end(self) -> list[int]:
        """Ask all that are left to end; returns their exit codes."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        return [process.wait(timeout=20) for process in self.processes]


@contextmanager
def running_crew(url: str, sandbox: Sandbox, count: int, **options: Any) -> Iterator[Crew]:
    """Run workers for as long as the block takes."""
    crew = Crew(url, sandbox, options)
    for _ in range(count):
        crew.start()
    try:
        yield crew
    finally:
        for process in crew.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
