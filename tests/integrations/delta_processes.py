"""Processes that all do all of a job, some of them killed: ``python -m tests.integrations.delta_processes 20 s3``.

Each round is a new table. It ends with an error if the table has not each row exactly once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field
from deltalake import DeltaTable

from isnotai_async import Client
from isnotai_async.integrations.delta import TableReport, export_to_delta
from tests.export.sync_world import DAY, KEY, Row, World

COLUMNS = ("region", "session_id", "event_id", "message_id", "event_type_name", "timestamp", "payload_size")


def make_world(sessions: int = 24, rows: int = 20) -> World:
    """Make a world of sessions whose rows exist."""
    world = World(page_size=10, list_size=100)
    for number in range(sessions):
        world.add_session(f"s{number:02}", world.now - 3 * DAY)
        world.grow(f"s{number:02}", *(world.now - 3 * DAY + n for n in range(rows)), moves=False)
    return world


async def export(client: Client, table: str, **options: Any) -> TableReport:
    """Do the job "june" for all sessions."""
    return await export_to_delta(client, client.list_sessions(), table, **{"job": "june", **options})


def read_table(table: str, options: Mapping[str, str] = {}) -> list[Row]:
    """Return the rows of a table, as `World.exists` has them."""
    found = DeltaTable(table, storage_options=dict(options)).to_pyarrow_table()
    index = found.column_names.index("timestamp")
    found = found.set_column(index, "timestamp", found["timestamp"].cast("int64"))
    rows = found.select(list(COLUMNS)).to_pylist()
    return sorted((*list(row.values())[:5], row["timestamp"] // 1000, row["payload_size"]) for row in rows)


@define
class Round:
    """One job, and the processes that do it.

    Attributes:
        world: What is exported.
        table: The table.
        options: How to reach it.
        kills: How many processes are killed.
        slots: How many slots the plan has.
        transactions: Whether pieces go in with application transactions.
        dice: Decides when.
    """

    world: World
    table: str
    options: Mapping[str, str]
    kills: int
    slots: int = 2
    transactions: bool = True
    dice: random.Random = field(factory=random.Random)
    _running: list[asyncio.subprocess.Process] = field(factory=list, init=False)

    async def play(self, processes: int = 3) -> list[dict[str, Any]]:
        """Run all processes to their ends, killing some and starting others; return what the others printed."""
        left = sorted(self.dice.sample(range(5, 90), self.kills))

        def kill(kind: str) -> None:
            if left and sum(self.world.requests.values()) >= left[0] and self._running:
                left.pop(0)
                process = self.dice.choice(self._running)
                if process.returncode is None:
                    process.kill()

        self.world.during = kill
        runner = await self.world.start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return await asyncio.gather(*(self._run(url) for _ in range(processes)))
        finally:
            await runner.cleanup()

    async def _run(self, base_url: str) -> dict[str, Any]:
        """Run a process until one has not been killed."""
        case: dict[str, Any] = {"key": KEY, "base_url": base_url, "table": self.table, "options": dict(self.options)}
        case |= {"piece": 3, "slots": self.slots, "transactions": self.transactions}
        pipe = asyncio.subprocess.PIPE
        while True:
            program = [sys.executable, "-m", "tests.integrations.delta_program"]
            process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe)
            self._running.append(process)
            out, _ = await process.communicate(json.dumps(case).encode())
            self._running.remove(process)
            if process.returncode == 0:
                report: dict[str, Any] = json.loads(out)
                return report
            if process.returncode != -9:
                raise RuntimeError(f"a process ended with {process.returncode}")


@asynccontextmanager
async def open_s3() -> AsyncIterator[dict[str, str]]:
    """Run an S3 server with one bucket; give the options to reach it."""
    from moto.server import ThreadedMotoServer

    names = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it has a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        import boto3  # type: ignore[import-untyped]

        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        url = f"http://{host}:{port}"
        s3 = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
        )
        s3.create_bucket(Bucket="bucket")
        yield {**names, "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag"}
    finally:
        server.stop()


async def main(rounds: int, place: str, first: int = 0) -> None:
    """Play rounds from a first one, and print a line for each."""
    for number in range(first, first + rounds):
        world = make_world()
        if place == "s3":
            async with open_s3() as options:
                await play(world, f"s3://bucket/round-{number}", options, number)
        else:
            with TemporaryDirectory() as folder:
                await play(world, f"{folder}/table", {}, number)


async def play(world: World, table: str, options: Mapping[str, str], number: int) -> None:
    reports = await Round(world, table, options, kills=2, dice=random.Random(number)).play()
    rows = read_table(table, options)
    in_vain = sum(report["in_vain"] for report in reports)
    print(f"round {number}: {len(rows)} rows of {len(world.exists)}, {in_vain} requests in vain", flush=True)  # noqa: T201
    assert rows == sorted(world.exists.values())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
