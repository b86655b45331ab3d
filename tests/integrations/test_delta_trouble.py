"""A job into a Delta table whose store fails, whose table another program changes, or whose name is odd."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from deltalake import DeltaTable, write_deltalake

from isnotai_async import Client, ConfigError, SinkError, StoreError
from isnotai_async.export.runner import Runner
from isnotai_async.export.system import System
from isnotai_async.integrations import _delta_piece
from isnotai_async.integrations._delta_faults import explain_store
from isnotai_async.integrations._delta_tables import JobTables
from isnotai_async.integrations._event_request import batch_schema
from isnotai_async.integrations.delta import export_to_delta
from tests.export.faulty_system import sqlite_error
from tests.export.sync_world import World
from tests.integrations.delta_processes import export, read_table
from tests.integrations.s3_faults import open_faulty_s3

pytestmark = pytest.mark.usefixtures("small_pieces")


@pytest.mark.timeout(180)
@pytest.mark.heavy
async def test_an_object_store_that_fails_now_and_then_has_each_row_once(world: World, client: Client) -> None:
    """Half of the errors come after the store has done what it was asked for."""
    async with open_faulty_s3() as store:
        store.fail_at_random(0.15)
        runs = (export(client, "s3://bucket/faulty", storage_options=store.options) for _ in range(2))
        await asyncio.gather(*runs)
        assert store.faults > 20
        store.fail_at_random(0)
        rows = await asyncio.to_thread(read_table, "s3://bucket/faulty", store.options)
        assert rows == sorted(world.exists.values())


@pytest.mark.timeout(180)
@pytest.mark.heavy
async def test_an_object_store_that_is_away_for_a_while_ends_the_run_and_the_same_call_resumes(
    world: World, client: Client
) -> None:
    async with open_faulty_s3() as store:
        store.chooses = lambda request: "before" if world.requests["events"] > 2 else None
        with pytest.raises(SinkError, match="cannot use the Delta table") as caught:
            await export(client, "s3://bucket/away", storage_options={**store.options, "max_retries": "2"})
        assert caught.value.is_temporary, "the command ends with code 4"
        store.chooses = lambda request: None
        report = await export(client, "s3://bucket/away", storage_options=store.options)
        assert (report.sessions, report.failures) == (7, ())
        rows = await asyncio.to_thread(read_table, "s3://bucket/away", store.options)
        assert rows == sorted(world.exists.values())


async def test_a_full_temporary_folder_is_not_said_to_keep_rows(
    client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits = System.commit, list[int]()

    def fill_up(system: System, connection: sqlite3.Connection) -> None:
        commits.append(len(commits))
        if len(commits) > 3:
            raise sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full")
        commit(system, connection)

    monkeypatch.setattr(System, "commit", fill_up)
    monkeypatch.setattr(_delta_piece, "Runner", partial(Runner, commit_bytes=1))
    with pytest.raises(SinkError, match=r"the disk is full; make room, and run the same again$"):
        await export(client, table)


async def test_a_table_whose_columns_another_program_changes_in_the_middle_is_an_error_in_words(
    world: World, client: Client, table: str
) -> None:
    def add_column(kind: str) -> None:
        if world.requests["events"] == 4:
            more = pa.table({"mark": pa.array([], pa.string())})
            write_deltalake(table, more, mode="append", schema_mode="merge")

    world.during = add_column
    with pytest.raises(StoreError, match="'mark': 'string'"):
        await export(client, table)
    rows = read_table(table)
    assert len(set(rows)) == len(rows) < 35


async def test_a_table_that_starts_to_forget_transactions_in_the_middle_is_an_error_in_words(
    world: World, client: Client, table: str
) -> None:
    def forget(kind: str) -> None:
        if world.requests["events"] == 4:
            DeltaTable(table).alter.set_table_properties({"delta.setTransactionRetentionDuration": "interval 1 days"})

    world.during = forget
    with pytest.raises(StoreError, match="forgets which pieces are in"):
        await export(client, table)


async def test_a_table_with_a_column_of_another_type_is_rejected(client: Client, table: str) -> None:
    await export(client, table)
    other = DeltaTable(table).to_pyarrow_table()
    index = other.column_names.index("payload_size")
    other = other.set_column(index, "payload_size", other["payload_size"].cast("string"))
    write_deltalake(f"{table}-2", other)
    with pytest.raises(StoreError, match="'payload_size': 'string'"):
        await export(client, f"{table}-2")


async def test_rows_of_another_writer_stay(world: World, client: Client, table: str) -> None:
    """Another program appends rows while the job runs."""
    await export_to_delta(client, ["s01"], f"{table}-2", job="june")
    others = DeltaTable(f"{table}-2").to_pyarrow_table()

    def write(kind: str) -> None:
        if kind == "events":
            write_deltalake(table, others, mode="append")

    world.during = write
    await export(client, table)
    rows = read_table(table)
    assert len(rows) == 35 + 5 * 7
    assert set(rows) == set(world.exists.values())


async def test_a_piece_goes_in_if_others_commit_often_while_it_is_written(
    client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, nothing = JobTables._check, batch_schema().empty_table()

    def check_and_write(tables: JobTables, found: DeltaTable) -> None:
        check(tables, found)
        for _ in range(40):
            write_deltalake(table, nothing, mode="append")

    await export_to_delta(client, ["s00"], table, job="june")
    monkeypatch.setattr(JobTables, "_check", check_and_write)
    assert (await export_to_delta(client, ["s01"], table, job="july")).rows == 5


async def test_two_jobs_into_one_table_at_once_are_both_whole(world: World, client: Client, table: str) -> None:
    halves = ([f"s0{number}" for number in range(4)], [f"s0{number}" for number in range(4, 7)])
    jobs = zip(("a", "b"), halves, strict=True)
    reports = await asyncio.gather(*(export_to_delta(client, ids, table, job=job) for job, ids in jobs))
    assert sorted(report.rows for report in reports) == [15, 20]
    assert read_table(table) == sorted(world.exists.values())


NAMES = ["../x", "..", ".", "", "a/b", "a\\b", "jüni", "june\n", "-x", "_x", "a b", "x" * 101, "%2e", 7, None]


@pytest.mark.parametrize("job", NAMES, ids=repr)
async def test_a_name_that_could_be_a_path_is_no_name_of_a_job(client: Client, tmp_path: Path, job: Any) -> None:
    with pytest.raises(ConfigError, match="no name of a job"):
        await export(client, str(tmp_path / "table"), job=job)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", ["a..b", "x" * 100, "7", "plan", "a.json"])
async def test_any_other_name_is_one(world: World, client: Client, table: str, job: str) -> None:
    await export(client, table, job=job)
    assert (await export(client, table, job=job)).rows == 0
    assert read_table(table) == sorted(world.exists.values())


async def test_a_name_that_differs_in_case_only_is_rejected_if_the_file_system_takes_it_for_the_same(
    world: World, client: Client, table: str
) -> None:
    await export(client, table, job="june")
    folder = Path(table) / "_isnotai"
    (folder / "June").symlink_to(folder / "june")
    with pytest.raises(StoreError, match="was planned with the job 'june'"):
        await export(client, table, job="June")
    assert read_table(table) == sorted(world.exists.values())


def test_without_deltalake_the_message_says_what_to_install() -> None:
    program = """
import asyncio, sys
sys.modules["deltalake"] = None
from isnotai_async import Client
from isnotai_async.integrations.delta import export_to_delta
asyncio.run(export_to_delta(Client("k"), ["s1"], "table", job="june"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("a Delta table needs deltalake: pip install 'isnotai-async[delta]'\n")


@pytest.mark.parametrize(
    ("place", "words", "variable"),
    [
        ("s3://b/t", "Operation not supported\n\x1b[31m↳\x1b[0m no credentials found in chain", "AWS_ACCESS_KEY_ID"),
        ("s3a://b/t", "failed to load IMDS session token", "AWS_ACCESS_KEY_ID"),
        ("gs://b/t", "Error performing token request", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://b/t", "Account must be specified", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("abfss://c@a.dfs.core.windows.net/t", "Error performing token request", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_without_credentials_the_message_says_which_variables_to_set(place: str, words: str, variable: str) -> None:
    message = str(explain_store(OSError(words), place, was_open=False))
    assert variable in message
    assert "↳" not in message


@pytest.mark.parametrize(
    ("words", "was_open", "is_temporary"),
    [("503", True, True), ("503", False, False), ("No space left on device (os error 28)", True, False)],
)
def test_an_error_of_a_store_that_worked_may_pass_but_a_full_disk_does_not(
    words: str, was_open: bool, is_temporary: bool
) -> None:
    assert explain_store(OSError(words), "t", was_open=was_open).is_temporary is is_temporary
