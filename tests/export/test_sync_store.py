"""The database of a sync: who may open it, what is refused, and what other programs see of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isnotai_async import (
    AuthenticationError,
    Client,
    ConfigError,
    Credential,
    ExportLockedError,
    ExportProgress,
    PermissionDeniedError,
    Retry,
    ServerError,
    SessionManager,
    SinkError,
    StoreError,
    Unlimited,
)
from isnotai_async.export import store_file
from isnotai_async.export.event_store import EventStore
from isnotai_async.export.store_file import StoreFile
from isnotai_async.export.store_lock import lock_store
from isnotai_async.export.store_schema import APPLICATION_ID, MIGRATIONS
from isnotai_async.export.sync import update_store
from tests.export.sync_world import DAY, HOUR, KEY, Played, World, read_rows


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Played]:
    world = World()
    for number in range(4):
        world.add_session(f"s{number}", world.now - 3 * DAY)
        world.grow(f"s{number}", *(world.now - 3 * DAY + n for n in range(5)), moves=False)
    async with world.serve() as client:
        yield Played(world, client, tmp_path / "events.db")


async def test_it_is_a_database_with_two_tables_for_everyone(play: Played) -> None:
    await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert [name for name in names if not name.startswith("_isnotai_")] == ["events", "sessions"]
        query = "SELECT s.id, s.status, s.created_at, count(*) FROM sessions s JOIN events e ON e.session_id = s.id"
        row = db.execute(f"{query} GROUP BY 1 ORDER BY 1").fetchone()
        assert row == ("s0", "active", "2026-05-25T20:26:40.000000Z", 5)
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_second_sync_is_kept_out_and_a_third_one_afterwards_is_not(play: Played) -> None:
    refused = list[str]()

    def try_to_lock(kind: str) -> None:
        if not refused:
            with pytest.raises(ExportLockedError):
                lock_store(play.path)
            refused.append(kind)

    play.world.during = try_to_lock
    await update_store(play.client, play.path)
    assert len(refused) == 1
    with closing(lock_store(play.path)), pytest.raises(ExportLockedError, match="another sync is updating"):
        await update_store(play.client, play.path)
    await update_store(play.client, play.path)
    assert play.is_whole()


async def test_readers_see_whole_commits_while_a_sync_runs(play: Played) -> None:
    seen: list[tuple[int, int]] = []

    def look(kind: str) -> None:
        if kind == "events" and play.path.exists():
            with closing(sqlite3.connect(play.path, timeout=0)) as db:
                counts = "(SELECT count(*) FROM events), (SELECT ifnull(sum(_isnotai_rows), 0) FROM sessions)"
                seen.append(db.execute(f"SELECT {counts}").fetchone())

    play.world.during = look
    await update_store(play.client, play.path)
    assert len(seen) == play.world.requests["events"]
    assert all(rows == counted for rows, counted in seen)


async def test_a_commit_waits_for_a_reader_and_gives_up_in_the_end(play: Played) -> None:
    await update_store(play.client, play.path)
    play.world.grow("s0", play.world.now - 2 * DAY)
    play.world.pass_time(2 * DAY)
    with closing(sqlite3.connect(play.path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchone()
        with pytest.raises(SinkError, match=r"for 0.05 s.* run the same again") as caught:
            await play.sync(patience=0.05)
    assert caught.value.is_temporary
    await update_store(play.client, play.path)
    assert play.is_whole()


async def test_a_reader_that_ends_in_time_costs_nothing(play: Played) -> None:
    await update_store(play.client, play.path)
    play.world.grow("s0", play.world.now - 2 * DAY)
    play.world.pass_time(2 * DAY)
    reader = sqlite3.connect(play.path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchone()
    sync = asyncio.create_task(update_store(play.client, play.path))
    await asyncio.wait([sync], timeout=0.2)
    assert not sync.done(), "it waits in its thread, and the loop goes on"
    reader.close()
    assert (await sync).is_complete
    assert play.is_whole()


async def test_a_store_that_is_removed_during_a_sync_ends_it(play: Played) -> None:
    def remove(kind: str) -> None:
        if kind == "events":
            play.path.unlink(missing_ok=True)

    play.world.during = remove
    with pytest.raises(SinkError, match="removed or replaced"):
        await update_store(play.client, play.path)
    play.world.during = lambda kind: None
    await update_store(play.client, play.path)
    assert play.is_whole()


def test_a_store_that_is_replaced_during_a_commit_ends_the_sync(tmp_path: Path) -> None:
    file, other = StoreFile(tmp_path / "events.db"), tmp_path / "other"
    file.open({})
    shutil.copy(file.path, other)
    with pytest.raises(SinkError, match="removed or replaced"), file.transaction():
        other.replace(file.path)
    file.close()


async def test_a_file_that_is_no_database_is_left_alone(play: Played) -> None:
    play.path.write_bytes(b"my notes, a page of them\n" * 100)
    with pytest.raises(StoreError, match="no database"):
        await update_store(play.client, play.path)
    assert play.path.read_bytes().startswith(b"my notes")


async def test_another_database_is_left_alone(play: Played) -> None:
    with closing(sqlite3.connect(play.path)) as db:
        db.execute("CREATE TABLE mine (x)")
    before = play.path.read_bytes()
    with pytest.raises(StoreError, match="no event store"):
        await update_store(play.client, play.path)
    assert play.path.read_bytes() == before


async def test_an_empty_file_becomes_a_store(play: Played) -> None:
    play.path.touch()
    await update_store(play.client, play.path)
    assert play.is_whole()


async def test_a_store_of_a_newer_release_is_left_alone(play: Played) -> None:
    await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        await update_store(play.client, play.path)


async def test_a_store_that_was_set_to_wal_comes_back(play: Played) -> None:
    await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)  # as of each new connection


async def test_wal_that_is_in_use_is_an_error_with_the_way_out(play: Played) -> None:
    await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("SELECT * FROM events").fetchone()
        with pytest.raises((StoreError, SinkError), match="run the same again"):
            await play.sync(patience=0.05)


async def test_a_page_may_have_more_rows_than_a_statement_takes(play: Played) -> None:
    play.world.page_size = 9_000
    play.world.add_session("big", play.world.now - 3 * DAY)
    play.world.grow("big", *(play.world.now - 3 * DAY + n for n in range(9_000)), moves=False)
    client = play.client
    play.world.clamps = False
    await update_store(client, play.path)
    assert play.is_whole()
    report = await update_store(client, play.path)
    assert (report.audited, report.added, report.differing) == (5, 0, 0)


async def test_other_filters_belong_to_another_store(play: Played) -> None:
    await update_store(play.client, play.path)
    with pytest.raises(StoreError, match="filters"):
        await update_store(play.client, play.path, type=1)


async def test_filters_choose_sessions_and_events(play: Played) -> None:
    play.world.sessions["s1"].status = "closed"
    await update_store(play.client, play.path, status="closed", type="1")
    assert {row[1:4:2] for row in read_rows(play.path)} == {("s1", 1)}


async def test_the_key_of_another_account_is_refused_before_anything_is_written(play: Played, tmp_path: Path) -> None:
    await update_store(play.client, play.path)
    before = read_rows(play.path)
    other = World()
    other.add_session("x", other.now - 3 * DAY)
    other.grow("x", other.now - 3 * DAY)
    other.refuse = lambda kind, request: 403 if kind == "session" else None
    async with other.serve() as client:
        with pytest.raises(StoreError, match="another account"):
            await update_store(client, play.path)
    assert read_rows(play.path) == before
    with closing(sqlite3.connect(play.path)) as db:
        assert db.execute("SELECT count(*) FROM sessions WHERE id = 'x'").fetchone() == (0,)


async def test_a_listing_that_breaks_off_commits_nothing(play: Played) -> None:
    play.world.refuse = lambda kind, request: 403 if kind == "list" and "cursor" in request.query else None
    with pytest.raises(PermissionDeniedError):
        await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM _isnotai_regions").fetchone() == (0,)


async def test_without_a_date_the_health_of_the_api_tells_the_time(play: Played) -> None:
    play.world.tells_time = False
    play.world.add_session("active", play.world.now)
    report = await update_store(play.client, play.path)
    assert (report.waiting, report.read) == (1, 4)
    assert play.is_whole()


async def test_a_cursor_that_expires_while_new_rows_of_a_long_session_are_read_is_no_end_of_it(play: Played) -> None:
    world, asked = play.world, list[str]()
    world.add_session("long")
    world.grow("long", *(world.now + n for n in range(65)))
    world.pass_time(30 * HOUR)
    world.grow("long", world.now)
    await play.sync(include_open=True)
    world.pass_time(20 * HOUR)
    world.grow("long", *(world.now - n for n in range(7)))

    def expire(kind: str) -> None:
        asked.append(kind)
        if asked.count("events") == 2:
            world.expire_cursors()

    world.during = expire
    report = await play.sync(include_open=True, audited=0)
    assert (report.is_complete, report.failures) == (True, ())
    assert play.is_whole()


async def test_an_expired_cursor_of_the_listing_costs_a_second_listing(play: Played) -> None:
    def expire(kind: str) -> None:
        if play.world.requests["list"] == 2:
            play.world.during = lambda kind: None
            play.world.expire_cursors()

    play.world.during = expire
    assert (await update_store(play.client, play.path)).listed == 4
    assert play.is_whole()


async def test_a_session_that_cannot_be_read_now_leaves_the_run_unfinished(play: Played) -> None:
    play.world.refuse = lambda kind, request: 500 if "s1" in request.path else None
    seen: list[int] = []
    client = play.client.with_options(retry=Retry(attempts=1))
    report = await update_store(client, play.path, on_progress=lambda progress: seen.append(progress.sessions_failed))
    assert (seen[0], seen[-1]) == (0, 1)
    assert [failure.error for failure in report.failures] == [ServerError.__name__]
    assert not report.is_complete
    play.world.refuse = lambda kind, request: None
    assert (await update_store(play.client, play.path)).is_complete
    assert play.is_whole()


async def test_changed_content_of_a_known_event_is_counted_and_the_first_stays(play: Played) -> None:
    await update_store(play.client, play.path)
    play.world.sessions["s1"].rows[0]["payloadSize"] = 99
    report = await update_store(play.client, play.path)
    assert (report.differing, report.added) == (1, 0)
    assert play.is_whole()


@pytest.mark.parametrize(
    "options",
    [
        {"settle": timedelta(days=8)},
        {"watch": timedelta(days=31)},
        {"settle": 0},
        {"settle": -1},
        {"watch": "7d"},
        {"max_open": True},
        {"concurrency": 0},
        {"start_date": datetime(2026, 1, 1)},
        {"bot_only": "yes"},
        {"type": 256},
    ],
    ids=str,
)
async def test_what_cannot_work_is_refused_before_anything_is_touched(
    tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(ConfigError):
        await update_store(Client(KEY, limiter=Unlimited()), tmp_path / "events.db", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


async def test_durations_are_timedeltas_or_seconds(play: Played) -> None:
    play.world.pass_time(-2 * DAY)
    report = await update_store(play.client, play.path, settle=25 * 3600, watch=timedelta(days=2), max_open=2 * 86400)
    assert report.waiting == 4
    report = await update_store(play.client, play.path, settle=timedelta(hours=23), watch=DAY / 1000)
    assert report.waiting == 0
    assert play.is_whole()


async def test_a_full_disk_keeps_what_was_committed_and_says_so(
    play: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = StoreFile.open

    def open_small(file: StoreFile, filters: dict[str, object]) -> None:
        open_file(file, filters)
        file.db.execute("PRAGMA max_page_count = 12")

    monkeypatch.setattr(StoreFile, "open", open_small)
    play.world.page_size = 1_000
    play.world.grow("s1", *(play.world.now - 3 * DAY + n for n in range(1_000)), moves=False)
    with pytest.raises(SinkError, match=r"disk is full; what was committed is safe; make room"):
        await update_store(play.client, play.path)
    monkeypatch.undo()
    assert (await update_store(play.client, play.path)).is_complete
    assert play.is_whole()


@asynccontextmanager
async def manage(worlds: dict[str, World]) -> AsyncIterator[SessionManager]:
    credentials = {}
    async with AsyncExitStack() as stack:
        for name, world in worlds.items():
            world.add_session("s1", world.now - 3 * DAY)
            world.grow("s1", world.now - 3 * DAY, moves=False)
            runner = await world.start()
            stack.push_async_callback(runner.cleanup)
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            credentials[name] = Credential(KEY, region=name, base_url=url, limiter=Unlimited())
        yield await stack.enter_async_context(SessionManager(credentials, retry=Retry(attempts=1)))


async def test_a_region_that_is_down_does_not_hold_up_the_other(tmp_path: Path) -> None:
    worlds, path = {name: World(region=name) for name in ("us", "eu")}, tmp_path / "events.db"
    worlds["us"].refuse = lambda kind, request: 500
    async with manage(worlds) as manager:
        with pytest.raises(ServerError):
            await update_store(manager, path)
        assert read_rows(path) == sorted(worlds["eu"].exists.values())
        worlds["us"].refuse = lambda kind, request: 401 if kind == "events" else None
        worlds["eu"].grow("s1", worlds["eu"].now - 2 * DAY)
        worlds["eu"].pass_time(2 * DAY)
        with pytest.raises(AuthenticationError):
            await update_store(manager, path)
        assert read_rows(path) == sorted(worlds["eu"].exists.values())
        worlds["us"].refuse = lambda kind, request: None
        assert (await update_store(manager, path)).rows == 3


async def test_regions_that_are_synced_one_after_the_other_share_a_database(tmp_path: Path) -> None:
    worlds, path = {name: World(region=name) for name in ("us", "eu")}, tmp_path / "events.db"
    for _ in range(2):
        for world in worlds.values():
            name = f"s{len(world.sessions)}"
            world.add_session(name, world.now - 3 * DAY)
            world.grow(name, world.now - 3 * DAY, moves=False)
            async with world.serve() as client:
                await update_store(client, path)
    assert read_rows(path) == sorted((worlds["us"].exists | worlds["eu"].exists).values())


async def test_a_store_that_cannot_be_read_ends_the_run_of_all_regions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(EventStore, "next_readings", fail)
    async with manage({name: World(region=name) for name in ("us", "eu")}) as manager:
        with pytest.raises(SinkError, match="disk I/O error"):
            await update_store(manager, tmp_path / "events.db")


async def test_a_missing_folder_is_said(tmp_path: Path, play: Played) -> None:
    with pytest.raises(SinkError, match="folder"):
        await update_store(play.client, tmp_path / "none" / "events.db")


@pytest.mark.parametrize("path", ["s3://bucket/events.db", "-", ""])
async def test_what_is_no_local_file_is_refused(path: str, play: Played) -> None:
    with pytest.raises(ConfigError):
        await update_store(play.client, path)


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, play: Played) -> None:
    with pytest.raises(SinkError):
        await update_store(play.client, Path(os.devnull) / "events.db")


async def test_times_of_the_first_run_are_bounded_by_start_date(play: Played) -> None:
    play.world.add_session("late", play.world.now - 2 * DAY)
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=play.world.now - 2 * DAY - HOUR)
    report = await update_store(play.client, play.path, start_date=start)
    assert (report.sessions, report.listed) == (1, 1)


async def test_progress_is_told_and_a_broken_display_breaks_nothing(play: Played) -> None:
    seen: list[tuple[int, int | None, int, int]] = []

    def show(progress: ExportProgress) -> None:
        seen.append((progress.sessions_taken, progress.sessions, progress.sessions_done, progress.rows))
        raise RuntimeError

    await update_store(play.client, play.path, on_progress=show)
    assert seen[:2] == [(2, None, 0, 0), (4, None, 0, 0)], "while they are listed"
    assert seen[-1] == (4, 4, 4, 20)


def test_a_migration_brings_an_older_store_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_and_close() -> None:
        file = StoreFile(tmp_path / "events.db")
        file.open({})
        file.close()

    open_and_close()
    more = (*MIGRATIONS, "ALTER TABLE sessions ADD COLUMN later TEXT;")
    monkeypatch.setattr(store_file, "MIGRATIONS", more)
    open_and_close()
    open_and_close()
    with closing(sqlite3.connect(tmp_path / "events.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(more),)
        assert "later" in [row[1] for row in db.execute("PRAGMA table_info(sessions)")]
