"""A job into a Delta table: each session once, whatever runs, fails or is cleaned up in between."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from aiohttp import web
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError
from redis.asyncio import Redis

from isnotai_async import (
    AuthenticationError,
    Client,
    ConfigError,
    Credential,
    IsNotAIError,
    ServerError,
    SessionManager,
    SinkError,
    StoreError,
    Unlimited,
)
from isnotai_async.integrations import _delta_plan, _delta_run, _delta_runs, _delta_tables
from isnotai_async.integrations._delta_leases import Leases
from isnotai_async.integrations._delta_runs import RunNotes
from isnotai_async.integrations._delta_tables import JobTables
from isnotai_async.integrations._event_request import batch_schema
from isnotai_async.integrations.delta import TableReport, export_to_delta
from tests.export.sync_world import DAY, KEY, World
from tests.integrations.delta_processes import Round, export, make_world, open_s3, read_table
from tests.redis_server import running_redis

pytestmark = pytest.mark.usefixtures("small_pieces")


async def test_the_table_has_each_row_once_and_the_same_call_adds_nothing(
    world: World, client: Client, table: str
) -> None:
    report = await export(client, table)
    assert (report.sessions, report.rows, report.pieces, report.failures) == (7, 35, 4, ())
    assert report.requests == sum(world.requests.values())
    world.requests.clear()
    again = await export(client, table)
    assert (again.rows, again.pieces, again.sessions) == (0, 0, 7)
    assert world.requests == {"session": 1}, "it looks whether the key may read the job's sessions"
    assert read_table(table) == sorted(world.exists.values())
    await export(client, table, job="july")
    assert len(read_table(table)) == 70, "another job is other work"


@pytest.mark.timeout(180)
async def test_many_processes_do_all_of_it_and_one_is_killed(tmp_path: Path) -> None:
    world, table = make_world(sessions=12), str(tmp_path / "table")
    await Round(world, table, {}, kills=1).play(2)
    assert read_table(table) == sorted(world.exists.values())


@pytest.mark.timeout(180)
@pytest.mark.heavy
async def test_many_processes_do_all_of_it_on_an_object_store() -> None:
    world = make_world(sessions=12)
    async with open_s3() as options:
        await Round(world, "s3://bucket/table", options, kills=1).play(2)
        assert read_table("s3://bucket/table", options) == sorted(world.exists.values())


async def count_doubled_rows(table: str) -> int:
    world = make_world(sessions=12)
    arrived, both = 0, asyncio.Event()

    async def meet() -> None:  # so that both are in the first piece before one commits it
        nonlocal arrived
        arrived += 1
        if arrived == 6:
            both.set()
        await asyncio.wait_for(both.wait(), 60)

    world.hold = meet
    await Round(world, table, {}, kills=0, slots=1, transactions=False).play(2)
    return len(read_table(table)) - len(world.exists)


@pytest.mark.timeout(180)
@pytest.mark.heavy
async def test_without_application_transactions_rows_are_doubled(tmp_path: Path) -> None:
    """The control. If one process is so slow that it sees the commit of the other, it is run once more."""
    doubled = 0
    for attempt in range(3):
        doubled = doubled or await count_doubled_rows(str(tmp_path / f"{attempt}"))
    assert doubled > 0


async def test_a_table_object_from_before_the_commit_is_refused_and_a_later_one_is_not(table: str) -> None:
    """What `write_piece` rests on, and why it does not open the table again after it has read the version."""
    DeltaTable.create(table, batch_schema())
    first, second = DeltaTable(table), DeltaTable(table)
    properties = CommitProperties(app_transactions=[Transaction("job/slot-0", 1)])
    nothing = batch_schema().empty_table()
    write_deltalake(first, nothing, mode="append", commit_properties=properties)
    with pytest.raises(CommitFailedError):
        write_deltalake(second, nothing, mode="append", commit_properties=properties)
    write_deltalake(DeltaTable(table), nothing, mode="append", commit_properties=properties)


async def test_a_piece_that_another_run_has_added_is_read_in_vain(
    world: World, client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = JobTables.write_piece

    def write_after_another(tables: JobTables, *piece: Any) -> bool:
        monkeypatch.setattr(JobTables, "write_piece", write)
        assert write(tables, *piece)
        return write(tables, *piece)

    monkeypatch.setattr(JobTables, "write_piece", write_after_another)
    report = await export(client, table)
    assert (report.pieces, report.in_vain) == (3, 2)
    assert read_table(table) == sorted(world.exists.values())


async def test_compaction_checkpoint_and_vacuum_in_the_middle_change_nothing(
    world: World, client: Client, table: str
) -> None:
    def clean_up(kind: str) -> None:
        if kind == "events" and world.requests["events"] % 4 == 0:
            found = DeltaTable(table)
            found.optimize.compact()
            found.create_checkpoint()
            found.vacuum(0, enforce_retention_duration=False, dry_run=False)

    world.during = clean_up
    await export(client, table)
    world.during = lambda kind: None
    assert (await export(client, table)).pieces == 0
    assert read_table(table) == sorted(world.exists.values())


@pytest.mark.parametrize("fails", [0, 3, *(pytest.param(fails, marks=pytest.mark.heavy) for fails in (1, 2))])
async def test_a_session_that_fails_for_a_while_is_read_by_a_later_run(
    world: World, client: Client, table: str, fails: int
) -> None:
    world.refuse = lambda kind, request: 500 if "s03/" in request.path else None
    for tries in range(1, fails + 1):
        with pytest.raises(ServerError):
            await export(client, table)
        assert world.read.count("s03") == tries, "a run does not try it twice"
    world.refuse = lambda kind, request: None
    report = await export(client, table)
    assert (report.rows, report.failures) == (5 if fails else 35, ())
    assert read_table(table) == sorted(world.exists.values())


async def test_a_session_that_fails_for_an_hour_is_a_failure_after_three_more_rounds(
    world: World, client: Client, table: str
) -> None:
    """A run each ten minutes, as a scheduler would start them: the first four meet the trouble."""
    world.refuse = lambda kind, request: 500 if "s03/" in request.path else None
    for _ in range(3):
        with pytest.raises(ServerError):
            await export(client, table)
    for _ in range(4):
        (failure,) = (await export(client, table)).failures
        assert (failure.session_id, failure.error) == ("s03", "ServerError")
    assert world.read.count("s03") == 4
    assert read_table(table) == sorted(row for row in world.exists.values() if row[1] != "s03")


async def test_an_outage_in_each_of_many_rounds_is_no_failure(world: World, client: Client, table: str) -> None:
    """The session fails while the API answers for others, and then in an outage of all, many times."""
    world.refuse = lambda kind, request: 500 if "s03/" in request.path else None
    with pytest.raises(ServerError):
        await export(client, table)
    world.refuse = lambda kind, request: 500 if kind == "events" else None
    for _ in range(5):
        with pytest.raises(ServerError):
            await export(client, table)
    world.refuse = lambda kind, request: None
    assert (await export(client, table)).failures == ()
    assert read_table(table) == sorted(world.exists.values())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(1, 6))])
async def test_each_session_is_whole_or_named_if_runs_meet_errors_at_random(
    world: World, client: Client, table: str, seed: int
) -> None:
    """Three runs at once; one session never ends, and each page fails now and then."""
    dice = random.Random(seed)

    def refuse(kind: str, request: web.Request) -> int | None:
        return 500 if kind == "events" and ("s03/" in request.path or dice.random() < 0.3) else None

    async def run() -> TableReport:
        while True:
            try:
                return await export(client, table)
            except ServerError:
                continue

    world.refuse = refuse
    reports = await asyncio.gather(*(run() for _ in range(3)))
    (failed,) = {frozenset(failure.session_id for failure in report.failures) for report in reports}
    assert "s03" in failed
    assert read_table(table) == sorted(row for row in world.exists.values() if row[1] not in failed)


async def test_an_outage_in_the_middle_of_a_piece_loses_no_session(
    world: World, client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_delta_plan, "PIECE_SESSIONS", 7)
    world.refuse = lambda kind, request: 503 if kind == "events" and world.requests["events"] > 3 else None
    for _ in range(6):
        with pytest.raises(ServerError):
            await export(client, table, concurrency=1)
    world.refuse = lambda kind, request: None
    assert (await export(client, table)).failures == ()
    assert read_table(table) == sorted(world.exists.values())


async def test_an_outage_of_a_job_of_one_session_uses_up_nothing(world: World, client: Client, table: str) -> None:
    world.refuse = lambda kind, request: 503 if kind == "events" else None
    for _ in range(5):
        with pytest.raises(ServerError):
            await export_to_delta(client, ["s01"], table, job="june")
    assert DeltaTable(table).version() == 1, "its creation, and that the job is planned"
    world.refuse = lambda kind, request: None
    assert (await export_to_delta(client, ["s01"], table, job="june")).rows == 5


async def test_sessions_of_a_region_whose_key_is_refused_are_read_by_a_later_run(table: str) -> None:
    async with two_regions() as (worlds, manager):
        worlds["eu"].refuse = lambda kind, request: 401 if kind == "events" else None
        with pytest.raises(AuthenticationError):
            await export_to_delta(manager, {"us": ["s1"], "eu": ["s1"]}, table, job="june", concurrency=1)
        worlds["eu"].refuse = lambda kind, request: None
        report = await export_to_delta(manager, {"us": ["s1"], "eu": ["s1"]}, table, job="june")
        assert (report.sessions, report.failures) == (2, ())
        assert read_table(table) == sorted((worlds["us"].exists | worlds["eu"].exists).values())


@pytest.mark.parametrize("status", [400, 403, 404, 410, 422, 500])
async def test_one_bad_session_stops_no_run(world: World, client: Client, table: str, status: int) -> None:
    world.refuse = lambda kind, request: status if "s00" in request.path and kind == "session" else None
    for rows in (35, 0):
        assert (await export(client, table)).rows == rows


async def test_a_given_list_has_to_be_that_of_the_plan(client: Client, table: str) -> None:
    await export_to_delta(client, iter(["s01"]), table, job="june")
    with pytest.raises(StoreError, match="sessions of another source: 1, and now 2; 1 are in one"):
        await export_to_delta(client, ["s01", "s02"], table, job="june")
    assert (await export_to_delta(client, ["s01", "s01"], table, job="june")).sessions == 1


async def test_a_job_whose_plan_was_removed_is_not_planned_a_second_time(
    world: World, client: Client, table: str
) -> None:
    await export(client, table)
    shutil.rmtree(f"{table}/_isnotai")
    with pytest.raises(StoreError, match="the plan of the job 'june' was removed"):
        await export(client, table)
    assert read_table(table) == sorted(world.exists.values())


async def test_a_plan_that_is_removed_in_the_middle_is_no_whole_job(world: World, client: Client, table: str) -> None:
    def remove(kind: str) -> None:
        if world.requests["events"] == 4:
            shutil.rmtree(f"{table}/_isnotai/june")

    world.during = remove
    world.refuse = lambda kind, request: 500 if "s06/" in request.path else None
    for _ in range(2):
        with pytest.raises(StoreError, match="the plan of the job 'june' was removed"):
            await export(client, table)
    rows = read_table(table)
    assert len(rows) == len(set(rows))


async def test_a_place_that_cannot_be_used_is_an_error_in_words(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file"), "s3://", "foo://bucket/table"):
        with pytest.raises(SinkError, match=r"cannot use the Delta table .*Check the folder or URL") as caught:
            await export(client, place)
        assert "\x1b" not in str(caught.value)
        assert len(str(caught.value)) < 500


async def test_sessions_that_the_api_refuses_are_failures_at_once(world: World, client: Client, table: str) -> None:
    world.sessions["s03"].is_gone = True
    report = await export_to_delta(client, ["s03", "s04", "no/../session", "s03"], table, job="june")
    assert sorted(failure.error for failure in report.failures) == ["NotFoundError", "NotFoundError"]
    assert (report.sessions, report.rows, world.read.count("s03")) == (3, 5, 1)


async def test_an_outage_adds_nothing_and_the_same_call_resumes(world: World, client: Client, table: str) -> None:
    world.refuse = lambda kind, request: 500 if kind == "events" and world.requests["events"] > 4 else None
    with pytest.raises(IsNotAIError, match="500"):
        await export(client, table)
    assert len(read_table(table)) == 20
    world.refuse = lambda kind, request: 401 if kind == "events" else None
    with pytest.raises(AuthenticationError):
        await export(client, table)
    world.refuse = lambda kind, request: None
    report = await export(client, table)
    assert (report.rows, report.failures) == (15, ())
    assert read_table(table) == sorted(world.exists.values())


@pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")
async def test_records_that_cannot_be_read_or_held_are_counted_and_kept(
    world: World, client: Client, table: str
) -> None:
    rows = world.sessions["s01"].rows
    rows[1] = {**rows[1], "payloadSize": "large"}
    rows[2] = {**rows[2], "timestamp": 2**60}
    report = await export(client, table)
    assert (report.rejected, report.rows) == (2, 33)
    attempts = DeltaTable(f"{table}/_isnotai/june/attempts").to_pyarrow_table().to_pylist()
    assert {(each["kind"], each["session_id"]) for each in attempts} == {("rejected", "s01")}
    assert any("large" in each["message"] for each in attempts)


async def test_attempts_of_a_run_that_lost_do_not_count(
    world: World, client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = JobTables.write_piece

    def lose(tables: JobTables, *piece: Any) -> bool:
        monkeypatch.setattr(JobTables, "write_piece", write)
        return False

    monkeypatch.setattr(JobTables, "write_piece", lose)
    world.refuse = lambda kind, request: 404 if world.requests["events"] <= 2 and kind == "events" else None
    report = await export(client, table)
    assert (report.failures, report.rows) == ((), 35)


@asynccontextmanager
async def two_regions() -> AsyncIterator[tuple[dict[str, World], SessionManager]]:
    worlds = {name: World(region=name) for name in ("us", "eu")}
    credentials, runners = {}, []
    for name, world in worlds.items():
        world.add_session("s1", world.now - 3 * DAY)
        world.grow("s1", world.now - 3 * DAY, moves=False)
        runners.append(await world.start())
        url = f"http://127.0.0.1:{runners[-1].addresses[0][1]}"
        credentials[name] = Credential(KEY, region=name, base_url=url, limiter=Unlimited())
    async with SessionManager(credentials) as manager:
        yield worlds, manager
    for runner in runners:
        await runner.cleanup()


async def test_two_regions_go_into_one_table(table: str) -> None:
    async with two_regions() as (worlds, manager):
        report = await export_to_delta(manager, [("us", "s1"), ("eu", "s1")], table, job="june")
    assert (report.sessions, report.rows) == (2, 2)
    assert read_table(table) == sorted((worlds["us"].exists | worlds["eu"].exists).values())


@pytest.mark.parametrize("options", [{"type": 1}, {"start_time": 1_780_000_000_000}], ids=str)
async def test_a_job_with_other_filters_is_rejected(client: Client, table: str, options: dict[str, Any]) -> None:
    await export(client, table)
    with pytest.raises(StoreError, match="was planned with the filters"):
        await export(client, table, **options)


async def test_a_job_with_other_sessions_constants_or_account_is_rejected(
    world: World, client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await export(client, table)
    with pytest.raises(StoreError, match="was planned with the sessions"):
        await export_to_delta(client, ["s01"], table, job="june")
    world.refuse = lambda kind, request: 403 if kind == "session" else None
    with pytest.raises(StoreError, match="another account"):
        await export(client, table)
    monkeypatch.setattr(_delta_plan, "SLOTS", 3)
    with pytest.raises(StoreError, match="was planned with the slots"):
        await export(client, table)


async def test_tables_that_cannot_work_are_rejected(client: Client, tmp_path: Path, table: str) -> None:
    write_deltalake(str(tmp_path / "other"), pa.table({"x": [1]}))
    with pytest.raises(StoreError, match="columns"):
        await export(client, str(tmp_path / "other"))
    forgets = {"delta.setTransactionRetentionDuration": "interval 1 days"}
    DeltaTable.create(table, batch_schema(), configuration=forgets)
    with pytest.raises(StoreError, match="forgets which pieces are in"):
        await export(client, table)
    with pytest.raises(ConfigError, match="lets two writers"):
        await export(client, table, storage_options={"AWS_S3_ALLOW_UNSAFE_RENAME": "true"})
    with pytest.raises(ConfigError, match="no name of a job"):
        await export(client, table, job="../june")


async def test_a_store_that_lets_a_second_plan_be_written_is_rejected(
    client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(place: str, data: Any, *, mode: str, **options: Any) -> None:
        write_deltalake(place, data, mode="overwrite", **options)

    await export(client, table)
    monkeypatch.setattr(_delta_tables, "write_deltalake", overwrite)
    with pytest.raises(StoreError, match="lets two writers make the same plan"):
        await export(client, table)


async def test_the_first_plan_wins(world: World, client: Client, table: str) -> None:
    await asyncio.gather(*(export(client, table) for _ in range(2)))
    assert read_table(table) == sorted(world.exists.values())
    assert DeltaTable(f"{table}/_isnotai/june/plan").version() == 0


async def test_a_second_run_ends_if_the_client_would_use_all_of_the_quota(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await world.start()
    tables, url = JobTables(table, "june", {}), f"http://127.0.0.1:{runner.addresses[0][1]}"
    tables.open()
    another = RunNotes(tables, "another", host="another-host")
    another.note()
    async with Client(KEY, base_url=url, tier="enterprise") as client:
        with pytest.raises(ConfigError, match="1 other runs of the job 'june' were active"):
            await export(client, table)
        another.note(ended=True)
        RunNotes(tables, "killed").note()
        monkeypatch.setattr(_delta_runs, "is_dead", lambda process: True)
        assert (await export(client, table)).rows == 35, "a dead run of this machine does not count"
    await runner.cleanup()


async def test_runs_with_leases_do_not_read_the_same_piece(
    world: World, client: Client, table: str, tmp_path: Path
) -> None:
    with running_redis(tmp_path) as server:
        reports = await asyncio.gather(*(export(client, table, redis=server.url) for _ in range(2)))
    assert [report.in_vain for report in reports] == [0, 0]
    assert world.requests["events"] == 7
    assert read_table(table) == sorted(world.exists.values())


async def test_a_piece_that_was_added_just_before_its_lease_is_not_read_again(
    world: World, client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, others, nowhere = Leases.hold, list[str](), "redis://127.0.0.1:1"

    @asynccontextmanager
    async def hold_late(leases: Leases, transaction: str, version: int) -> AsyncGenerator[bool, None]:
        if not others:
            others.append(transaction)
            await export(client, table, redis=nowhere)
        async with hold(leases, transaction, version) as is_mine:
            yield is_mine

    monkeypatch.setattr(Leases, "hold", hold_late)
    report = await export(client, table, redis=nowhere)

    assert (report.in_vain, world.requests["events"]) == (0, 7)
    assert read_table(table) == sorted(world.exists.values())


async def test_the_lease_of_a_dead_run_ends(
    world: World, client: Client, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_delta_run, "uuid4", lambda: SimpleNamespace(hex="plan"))
    with running_redis(Path(table).parent) as server:
        async with Redis.from_url(server.url) as dead:
            for slot in range(2):
                await dead.set(f"isnotai:delta:{table}:june:june/plan/slot-{slot}:0", "dead", ex=1)
        await export(client, table, redis=server.url)
    assert read_table(table) == sorted(world.exists.values())


async def test_without_its_redis_a_run_reads_on(world: World, client: Client, table: str) -> None:
    await export(client, table, redis="redis://127.0.0.1:1")
    assert read_table(table) == sorted(world.exists.values())
