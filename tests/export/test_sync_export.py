"""An event store written as a file: every format has every row once, the same bytes however the store was filled."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import trio

from isnotai_async import (
    Client,
    ConfigError,
    ExportLockedError,
    Sandbox,
    SinkError,
    StoreError,
    Unlimited,
    update_store,
)
from isnotai_async._cli import main
from isnotai_async.export import export_store
from isnotai_async.export.batches import COLUMNS
from isnotai_async.export.store_lock import lock_store
from tests.command import run_command
from tests.export.sync_world import DAY, Played, Row, World, read_rows


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Played]:
    world = World()
    for number in range(5):
        world.add_session(f"s{number}", world.now - 3 * DAY - number)
        world.grow(f"s{number}", *(world.now - 3 * DAY + n * 7 % 5 for n in range(number * 4)), moves=False)
    async with world.serve() as client:
        played = Played(world, client, tmp_path / "events.db")
        await played.sync()
        yield played


def read(path: Path) -> list[Row]:
    if path.is_dir() or path.suffix == ".parquet":
        table = pq.read_table(path)
        times = table.column("timestamp").cast("int64")
        rows = table.set_column(table.column_names.index("timestamp"), "timestamp", times).to_pylist()
    elif path.suffix == ".csv":
        with path.open() as file:
            rows = list(csv.DictReader(file))
    elif path.suffix == ".db":
        return read_rows(path)
    else:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = [json.loads(line) for line in text.splitlines()]
    numbers = {"message_id", "timestamp", "payload_size"}
    return [tuple(int(row[name]) if name in numbers else row[name] for name in COLUMNS) for row in rows]  # type: ignore[misc]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv", "x.parquet", "x.db"])
async def test_every_format_has_every_row_once(play: Played, tmp_path: Path, name: str) -> None:
    report = await export_store(play.path, tmp_path / name)
    assert (report.rows, report.sessions, report.rejected, report.requests) == (40, 4, 0, 0)
    assert sorted(read(tmp_path / name)) == sorted(play.world.exists.values())


async def test_rows_come_by_session_and_time(play: Played, tmp_path: Path) -> None:
    await export_store(play.path, tmp_path / "x.jsonl")
    rows = read(tmp_path / "x.jsonl")
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)  # s4 was created first
    assert rows == sorted(rows, key=lambda row: (-int(row[1][1:]), row[5], row[2]))


async def test_two_stores_with_the_same_rows_give_the_same_bytes(play: Played, tmp_path: Path) -> None:
    other = Played(play.world, play.client, tmp_path / "other.db")
    play.world.order, play.world.page_size = "falling", 1
    await other.sync()
    await export_store(play.path, tmp_path / "x.parquet")
    await export_store(other.path, tmp_path / "y.parquet")
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "y.parquet").read_bytes()


async def test_a_folder_of_parts_can_be_replaced(play: Played, tmp_path: Path) -> None:
    target = tmp_path / "x.parquet"
    await export_store(play.path, target, segments=True)
    play.world.grow("s0", play.world.now - 2 * DAY)
    play.world.pass_time(2 * DAY)
    await play.sync()
    await export_store(play.path, target, segments=True, if_exists="replace")
    assert sorted(read(target)) == sorted(play.world.exists.values())
    assert [path.name for path in tmp_path.iterdir() if "old" in path.name or "new" in path.name] == []


async def test_a_target_that_exists_is_left_alone_skipped_or_replaced(play: Played, tmp_path: Path) -> None:
    target = tmp_path / "x.jsonl"
    target.write_text("mine")
    with pytest.raises(SinkError, match="exists"):
        await export_store(play.path, target)
    assert (await export_store(play.path, target, if_exists="skip")).is_skipped
    assert target.read_text() == "mine"
    await export_store(play.path, target, if_exists="replace")
    assert len(read(target)) == 40


async def test_a_folder_is_not_replaced_by_a_file(play: Played, tmp_path: Path) -> None:
    target = tmp_path / "x.jsonl"
    target.mkdir()
    with pytest.raises(SinkError, match="is a folder; name a file to write into"):
        await export_store(play.path, target, if_exists="replace")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".x")] == []


async def test_what_is_no_store_is_refused(play: Played, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        await export_store(tmp_path / "none.db", tmp_path / "x.jsonl")
    (tmp_path / "text.db").write_bytes(b"text" * 1000)
    with pytest.raises(StoreError, match="no database"):
        await export_store(tmp_path / "text.db", tmp_path / "x.jsonl")
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE events (x)")
    with pytest.raises(StoreError, match="no event store"):
        await export_store(tmp_path / "other.db", tmp_path / "x.jsonl")
    with pytest.raises(ConfigError, match="ending"):
        await export_store(play.path, tmp_path / "x.txt")
    with pytest.raises(ConfigError, match="if_exists"):
        await export_store(play.path, tmp_path / "x.jsonl", if_exists="maybe")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir() if "x." in path.name] == []


async def test_rows_that_a_format_cannot_hold_are_set_aside(play: Played, tmp_path: Path) -> None:
    with closing(sqlite3.connect(play.path)) as db, db:
        db.execute("INSERT OR IGNORE INTO events VALUES ('us', 's1', 'far', 1, NULL, ?, 2)", (2**62,))
    report = await export_store(play.path, tmp_path / "x.parquet")
    assert (report.rows, report.rejected) == (40, 1)
    rejected = json.loads((tmp_path / "x.parquet.rejected").read_text())
    assert json.loads(rejected["record"])["event_id"] == "far"
    assert (rejected["region"], rejected["session_id"]) == ("us", "s1")
    assert os.stat(tmp_path / "x.parquet.rejected").st_mode & 0o77 == 0  # noqa: PTH116
    assert (await export_store(play.path, tmp_path / "x.jsonl")).rejected == 0


async def test_two_exports_of_one_target_exclude_one_another(play: Played, tmp_path: Path) -> None:
    locked = pytest.raises(ExportLockedError, match="another export is writing")
    with closing(lock_store(tmp_path / "x.jsonl")), locked:
        await export_store(play.path, tmp_path / "x.jsonl")
    assert (await export_store(play.path, tmp_path / "x.jsonl")).is_complete


async def test_a_store_is_not_replaced_by_its_own_export(play: Played) -> None:
    with pytest.raises(ConfigError, match="is the store itself"):
        await export_store(play.path, play.path, if_exists="replace")
    assert (await play.sync()).sessions == 5


async def test_an_export_during_a_sync_has_whole_commits(play: Played, tmp_path: Path) -> None:
    exports: list[asyncio.Task[object]] = []

    def export(kind: str) -> None:
        if kind == "events":
            target = tmp_path / f"{len(exports)}.jsonl"
            exports.append(asyncio.create_task(export_store(play.path, target)))

    for number in range(8):
        play.world.add_session(f"n{number}", play.world.now - 2 * DAY)
        play.world.grow(f"n{number}", *(play.world.now - 2 * DAY + n for n in range(10)), moves=False)
    play.world.during = export
    await play.sync(audited=0)
    await asyncio.gather(*exports)
    assert len(exports) == 32
    for number in range(len(exports)):
        rows = read(tmp_path / f"{number}.jsonl")
        assert len(rows) == len(set(rows)) >= 40
        assert set(rows) <= set(play.world.exists.values())


def command(*argv: str) -> tuple[int, str, str]:
    found = run_command(argv, capture_output=True, text=True)
    return found.returncode, found.stdout, found.stderr


@pytest.mark.parametrize(
    ("options", "ending"),
    [(["--all"], (2, "--from")), (["--no-resume"], (2, "--no-resume")), ([], (1, "there is no store"))],
)
def test_the_command_names_what_does_not_go_together(
    options: list[str], ending: tuple[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", "--from", str(tmp_path / "events.db"), "--out", str(tmp_path / "x.jsonl"), *options]
    assert main(argv) == ending[0]
    assert ending[1] in capsys.readouterr().err


async def test_the_command_writes_a_store(play: Played, tmp_path: Path) -> None:
    code, out, _ = command("export", "--from", str(play.path), "--out", str(tmp_path / "x.csv"), "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 40
    assert len(read(tmp_path / "x.csv")) == 40


async def test_the_sandbox_serves_a_store_and_a_sync_of_that_is_the_same_again(play: Played, tmp_path: Path) -> None:
    async with (
        Sandbox(data=play.path, rate_limit=None) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Unlimited()) as client,
    ):
        await update_store(client, tmp_path / "again.db")
    assert read_rows(tmp_path / "again.db") == sorted(play.world.exists.values())


async def test_the_sandbox_serves_an_export_to_sqlite_and_names_what_it_cannot(play: Played, tmp_path: Path) -> None:
    await export_store(play.path, tmp_path / "x.sqlite")
    async with (
        Sandbox(data=tmp_path / "x.sqlite", rate_limit=None) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Unlimited()) as client,
    ):
        assert [event.event_id async for event in client.list_events("s1")]
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as db, db:
        db.execute("UPDATE events SET payload_size = 'much' WHERE session_id = 's1'")
    with pytest.raises(ConfigError, match="payload_size has to be a whole number"):
        Sandbox(data=tmp_path / "x.sqlite")
    with closing(sqlite3.connect(tmp_path / "none.sqlite")) as db, db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(ConfigError, match="no table events"):
        Sandbox(data=tmp_path / "none.sqlite")


def test_trio_is_a_config_error_that_names_asyncio(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asyncio"):
        trio.run(export_store, tmp_path / "events.db", tmp_path / "events.csv")
