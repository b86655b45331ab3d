"""Other programs read the database while a sync runs: sqlite3, pandas and DuckDB, each in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from isnotai_async import update_store
from isnotai_async.export import sync_reading
from tests.export.sync_world import DAY, World

QUERY = (
    "SELECT (SELECT count(*) FROM {0}events) AS events, (SELECT ifnull(sum(_isnotai_rows), 0) FROM {0}sessions) AS c"
)
# Each defines `look`, which opens the database and returns how many events it has, and how many the sessions say.
READERS = {
    "sqlite3": f"""
import sqlite3
def look(path):
    with sqlite3.connect(path) as db:
        return db.execute("{QUERY.format("")}").fetchone()
""",
    "pandas": f"""
import pandas, sqlite3
def look(path):
    with sqlite3.connect(path) as db:
        events = pandas.read_sql("SELECT * FROM events", db)
        counts = pandas.read_sql("{QUERY.format("")}", db)
    assert list(events.columns)[:3] == ["region", "session_id", "event_id"]
    return tuple(counts.iloc[0])
""",
    "duckdb": f"""
import duckdb
from importlib.resources import files
version = next(files("duckdb_extension_sqlite_scanner").joinpath("extensions").iterdir())
db = duckdb.connect()
db.execute(f"LOAD '{{version}}/sqlite_scanner.duckdb_extension'")
def look(path):
    db.execute(f"ATTACH '{{path}}' AS store (TYPE sqlite, READ_ONLY)")
    seen = db.execute("{QUERY.format("store.").replace("ifnull", "coalesce")}").fetchone()
    db.execute("DETACH store")
    return seen
""",
}
LOOP = """
import sys
for _ in sys.stdin:
    print(*map(int, look(sys.argv[1])), flush=True)
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reader", READERS)
async def test_a_reader_sees_whole_commits_while_a_sync_runs(
    tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_reading, "COMMIT_ROWS", 10)  # so that there are many commits
    world, path, seen = World(page_size=10), tmp_path / "events.db", list[tuple[int, int]]()
    for number in range(4):
        world.add_session(f"s{number}", world.now - 3 * DAY)
        world.grow(f"s{number}", *(world.now - 3 * DAY + n for n in range(30)), moves=False)
    pipe, lock = asyncio.subprocess.PIPE, asyncio.Lock()
    program = [sys.executable, "-c", READERS[reader] + LOOP, str(path)]
    process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe)

    async def look() -> None:
        async with lock:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"look\n")
            events, counted = (await process.stdout.readline()).split()
            seen.append((int(events), int(counted)))

    world.hold = look
    async with world.serve() as client:
        report = await update_store(client, path, concurrency=2)
    await look()
    process.terminate()
    await process.wait()
    assert report.rows == 120
    assert all(events == counted for events, counted in seen)
    assert seen == sorted(seen)
    assert len({events for events, _ in seen}) > 5, "it has seen the database grow"
    assert seen[-1] == (120, 120)
