"""What lost rows, repeated them or crashed before an export had its work store: each of it has a test."""

from __future__ import annotations

import ast
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from isnotai_async._cli import main
from isnotai_async.errors import ExportError, SinkError, StoreError
from isnotai_async.export.places import store_of, unnamed_of
from isnotai_async.export.system import System
from isnotai_async.export.work_store import checksum_row
from tests.event_source import ids
from tests.export.desk import all_rows, make_desk
from tests.export.faulty_system import Crash, FaultySystem, names_in, read_all, sqlite_error
from tests.export.test_export import begin, read_ids

TESTS = Path(__file__).parents[1]
SEEN = {
    "one flipped byte in a finished file without a name is published": (
        "export/test_earlier_bugs.py",
        "test_a_byte_that_flips_in_a_finished_file_without_a_name_is_never_published",
    ),
    "one flipped bit in what was saved is published": (
        "export/test_work_store.py",
        "test_each_flipped_bit_of_a_page_is_found_before_the_target_is_named",
    ),
    "the lock is tidied away, a second export starts and is killed: rows twice and rows lost, exit 0": (
        "export/test_earlier_bugs.py",
        "test_a_store_that_is_tidied_away_while_another_export_starts_and_dies_costs_no_row",
    ),
    "the folder is removed: rows are called safe": (
        "cli/test_export.py",
        "test_when_the_store_is_removed_no_row_is_called_safe",
    ),
    "odd values with good checksums: a raw TypeError, a negative count": (
        "export/test_earlier_bugs.py",
        "test_odd_values_with_good_checksums_are_a_damaged_store",
    ),
    "the folder becomes read-only: cannot write to stdout": (
        "export/test_earlier_bugs.py",
        "test_a_folder_that_becomes_read_only_is_what_the_message_says",
    ),
    "file systems that do not sync folders allow no export": (
        "export/test_crashes.py",
        "test_file_systems_that_do_not_sync_folders_take_an_export",
    ),
    "file systems without hard links never publish": (
        "export/test_crashes.py",
        "test_file_systems_without_hard_links_take_an_export",
    ),
    "Polars does not take the folder of segments": (
        "export/test_readers.py",
        "test_other_programs_read_the_same_rows",
    ),
    "a finished export run again exits 1": (
        "export/test_export.py",
        "test_the_same_call_again_finds_the_receipt_and_another_one_the_file",
    ),
    "an estimate of all sessions has no totals": (
        "export/test_earlier_bugs.py",
        "test_an_estimate_of_all_sessions_has_totals",
    ),
    "a URL as a target: there is no folder s3:/b; make it": (
        "cli/test_export.py",
        "test_a_place_that_is_no_file_is_refused_with_what_to_do",
    ),
}


@pytest.mark.parametrize("bug", SEEN)
def test_each_earlier_bug_has_its_test(bug: str) -> None:
    file, name = SEEN[bug]
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "parquet", "sqlite", "segments"])
async def test_a_byte_that_flips_in_a_finished_file_without_a_name_is_never_published(
    tmp_path: Path, ending: str
) -> None:
    form: dict[str, Any] = {"format": "parquet", "segments": True} if ending == "segments" else {}
    whole = read_all((await make_desk().export(tmp_path / f"whole.{ending}", **form)).path)
    target = tmp_path / f"out.{ending}"
    naming = "rename_exclusive" if form else "link"
    with pytest.raises(Crash):
        await make_desk().export(target, FaultySystem(0, only=naming), **form)
    unnamed = unnamed_of(target)
    [finished, *_] = sorted(unnamed.iterdir()) if form else [unnamed]
    data = bytearray(finished.read_bytes())
    data[len(data) // 2] ^= 1
    finished.write_bytes(data)

    report = await make_desk().export(target, **form)

    assert report.resumed_rows == 23
    assert read_all(target) == whole


async def test_a_store_that_is_tidied_away_while_another_export_starts_and_dies_costs_no_row(tmp_path: Path) -> None:
    target, desk, died = tmp_path / "out.jsonl", make_desk(), False

    def tidy_away(_: object) -> None:
        if not died and store_of(target).exists():
            store_of(target).unlink()

    with pytest.raises(StoreError, match="no row is safe"):
        await desk.export(target, on_progress=tidy_away)
    with pytest.raises(Crash):
        await make_desk().export(target, FaultySystem(4, only="commit"))
    died = True
    assert not target.exists()

    await make_desk().export(target)
    assert read_ids(target) == ids(all_rows(desk))


ODD = [
    ("facts", "value", "name = 'totals'", '{"sessions": 4, "rows": -5, "rejected": 0}'),
    ("facts", "value", "name = 'totals'", '{"sessions": 4, "rows": "many", "rejected": 0}'),
    ("facts", "value", "name = 'totals'", '{"lines": 5}'),
    ("facts", "value", "name = 'totals'", "[1]"),
    ("facts", "value", "name = 'totals'", "{"),
    ("facts", "value", "name = 'identity'", "5"),
    ("facts", "value", "name = 'identity'", "{}"),
    ("sessions", "rows", "state = 'done'", -5),
    ("sessions", "pages", "state = 'done'", "many"),
    ("sessions", "rejected", "state = 'done'", 7),
    ("sessions", "state", "state = 'open'", "odd"),
    ("sessions", "walks", "state = 'open'", "[1]"),
    ("sessions", "walks", "state = 'open'", "{"),
    ("sessions", "walks", "state = 'open'", '[{"version": 2}]'),
    ("sessions", "number", "state = 'open'", -1),
    ("sessions", "walks", "state = 'open'", ""),
    ("sessions", "walks", "state = 'open'", "[]"),
    ("pages", "data", "key = 0", b"\xc1"),
    ("pages", "rows", "key = 0", "many"),
]


def alter(store: Path, table: str, *, change: str, where: str, value: object) -> None:
    """Change a value of a store, and make the checksums good again."""
    key = "name" if table == "facts" else "rowid"
    with closing(sqlite3.connect(store)) as connection, connection:
        assert connection.execute(f"UPDATE {table} SET {change} WHERE {where}", (value,)).rowcount
        for name, *columns, _ in connection.execute(f"SELECT {key}, * FROM {table}").fetchall():
            crc = checksum_row(tuple(columns))
            connection.execute(f"UPDATE {table} SET crc = ? WHERE {key} = ?", (crc, name))


@pytest.mark.parametrize("odd", ODD, ids=[f"{number}, {row[1]}" for number, row in enumerate(ODD)])
async def test_odd_values_with_good_checksums_are_a_damaged_store(tmp_path: Path, odd: tuple[Any, ...]) -> None:
    (table, column, where, value), target, desk = odd, tmp_path / "out.jsonl", make_desk()
    await begin(desk, target)
    alter(store_of(target), table, change=f"{column} = ?", where=where, value=value)

    try:
        report = await desk.export(target, on_error="collect")
    except ExportError as error:
        assert "--no-resume" in str(error)
        assert not target.exists()
    else:
        assert report.rows == 23
        assert read_ids(target) == ids(all_rows(desk))
    assert (await desk.export(target, resume=False, if_exists="replace")).rows == 23


@pytest.mark.parametrize(
    "odd", [{}, {"size": -1}, {"digest": 5}, {"report": {}}, {"report": {"failures": [1]}}], ids=str
)
async def test_an_odd_receipt_with_a_good_checksum_is_a_damaged_store(tmp_path: Path, odd: dict[str, Any]) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    await desk.export(target)
    whole = target.read_bytes()
    with closing(sqlite3.connect(store_of(target))) as connection:
        receipt = json.loads(connection.execute("SELECT value FROM facts WHERE name = 'receipt'").fetchone()[0])
    value = json.dumps({**receipt, **odd} if odd else odd)
    alter(store_of(target), "facts", change="value = ?", where="name = 'receipt'", value=value)
    with pytest.raises(ExportError):
        await desk.export(target)
    assert target.read_bytes() == whole


async def test_a_folder_that_becomes_read_only_is_what_the_message_says(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    error = sqlite_error(sqlite3.SQLITE_READONLY, "attempt to write a readonly database")
    with pytest.raises(SinkError, match=r"cannot write .*out\.jsonl.*readonly database.*rows are safe") as caught:
        await desk.export(target, FaultySystem(6, error, only="commit"))
    assert "stdout" not in str(caught.value)
    assert (await desk.export(target, System())).rows == 23
    assert names_in(tmp_path) == [store_of(target).name, target.name]


def test_an_estimate_of_all_sessions_has_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["export", "--sandbox", "--all", "--out", str(tmp_path / "o.csv"), "--estimate", "--json"]
    assert main(argv) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert estimate["sessions"] == 40
    assert estimate["events"] > 10_000
    assert estimate["pages"] > 100
