"""dlt loads the sessions and events into DuckDB: what is new, each once, whatever load is killed or fails."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from attrs import define

from tests.export.sync_world import DAY, KEY, World
from tests.integrations.delta_processes import make_world

pytest.importorskip("dlt", reason="dlt is not installed: uv run --group engines pytest -n 0 tests/integrations")

pytestmark = pytest.mark.timeout(180)
ROWS = "SELECT region, session_id, event_id, message_id, event_type_name, timestamp, payload_size FROM isnotai.events"


@define
class Warehouse:
    """A database that dlt loads into, from a world that is served.

    Attributes:
        world: The world.
        base_url: Where it is served.
        folder: The folder of the database and the pipeline.
    """

    world: World
    base_url: str
    folder: Path

    async def load(self, *, dies: str | None = None, rows: int = 1000) -> int | None:
        """Run the pipeline in a process; return the number of its loads, or None if it was killed."""
        case: dict[str, Any] = {"key": KEY, "base_url": self.base_url, "folder": str(self.folder), "rows": rows}
        case |= {"dies": dies, "database": str(self.folder / "warehouse.duckdb")}
        pipe = asyncio.subprocess.PIPE
        program = [sys.executable, "-m", "tests.integrations.dlt_program"]
        process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe, stderr=pipe)
        out, errors = await process.communicate(json.dumps(case).encode())
        if dies is not None:
            assert process.returncode == -9, errors.decode()
            return None
        assert process.returncode == 0, errors.decode()
        return int(json.loads(out.splitlines()[-1])["loads"])

    def add_session(self) -> None:
        """Let a session happen, and time pass until it is quiet."""
        self.world.add_session("new", self.world.now)
        self.world.grow("new", self.world.now)
        self.world.pass_time(2 * DAY)

    def query(self, query: str) -> Sequence[Any]:
        with duckdb.connect(str(self.folder / "warehouse.duckdb")) as database:
            return database.execute(query).fetchall()

    def is_whole(self) -> bool:
        return sorted(self.query(ROWS)) == sorted(self.world.exists.values())


@pytest.fixture
async def warehouse(tmp_path: Path) -> AsyncIterator[Warehouse]:
    world = make_world(sessions=6, rows=5)
    runner = await world.start()
    yield Warehouse(world, f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path)
    await runner.cleanup()


async def test_a_second_run_adds_what_is_new_and_changes_records(warehouse: Warehouse) -> None:
    world = warehouse.world
    await warehouse.load()
    assert warehouse.is_whole()
    assert warehouse.query("SELECT count(*), count(DISTINCT id) FROM isnotai.sessions") == [(6, 6)]
    world.pass_time(DAY)
    world.grow("s00", world.now)
    world.sessions["s00"].status = "closed"
    warehouse.add_session()
    await warehouse.load()
    assert warehouse.is_whole()
    assert warehouse.query("SELECT id FROM isnotai.sessions WHERE status = 'closed'") == [("s00",)]
    assert warehouse.query("SELECT count(*), count(DISTINCT id) FROM isnotai.sessions") == [(7, 7)]


@pytest.mark.parametrize("step", ["commit", "normalize", "load", "complete"])
async def test_a_load_that_is_killed_and_repeated_loses_and_doubles_nothing(warehouse: Warehouse, step: str) -> None:
    await warehouse.load(dies=step)
    await warehouse.load()
    assert warehouse.is_whole()
    warehouse.add_session()
    await warehouse.load(dies=step)
    await warehouse.load()
    assert warehouse.is_whole()


async def test_a_load_whose_files_are_lost_is_made_again(warehouse: Warehouse) -> None:
    await warehouse.load()
    warehouse.add_session()
    await warehouse.load(dies="load")
    (warehouse.folder / "clicks" / "load" / "normalized").rename(warehouse.folder / "lost")
    (warehouse.folder / "clicks" / "load" / "normalized").mkdir()
    await warehouse.load()
    assert warehouse.is_whole()


@pytest.mark.parametrize("lost", ["clicks", "clicks.isnotai.db"])
async def test_a_lost_working_folder_or_store_costs_another_load_and_no_row(warehouse: Warehouse, lost: str) -> None:
    await warehouse.load()
    (warehouse.folder / lost).rename(warehouse.folder / "lost")
    warehouse.add_session()
    await warehouse.load()
    assert warehouse.is_whole()


async def test_rows_are_loaded_in_windows(warehouse: Warehouse) -> None:
    assert await warehouse.load(rows=7) == 5
    assert warehouse.is_whole()
