"""The real command, killed at any moment: the same command continues, and in the end the store has what exists."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
from contextlib import closing, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import pytest

from isnotai_async._cli import main
from isnotai_async.export import sync
from isnotai_async.export.store_file import StoreFile
from tests.command import Command
from tests.export.sync_world import DAY, HOUR, KEY, World, go_on, read_rows

pytestmark = pytest.mark.timeout(180)  # several processes each


async def start(world: World, path: Path, *argv: str) -> tuple[Command, object]:
    runner = await world.start()
    port = runner.addresses[0][1]
    environment = {**os.environ, "ISNOTAI_API_KEY": KEY, "ISNOTAI_BASE_URL": f"http://127.0.0.1:{port}"}
    command = ["sync", "--out", str(path), *argv]
    return Command(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment), runner


async def finish(process: Command) -> bytes:
    """Wait for the end of a process; return what it printed on stderr."""
    words: bytes = (await asyncio.to_thread(process.communicate))[1]
    return words


async def run(world: World, path: Path, *argv: str) -> tuple[int, str, str]:
    """Run a command that is not killed, in this process; return its exit code and what it printed."""
    runner = await world.start()
    settings = {"ISNOTAI_API_KEY": KEY, "ISNOTAI_BASE_URL": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    with (
        patch.dict(os.environ, settings),
        redirect_stdout(TextIOWrapper(BytesIO())) as out,
        redirect_stderr(StringIO()) as words,
    ):
        code = await asyncio.to_thread(main, ["sync", "--out", str(path), *argv])
    await runner.cleanup()
    out.seek(0)
    return code, out.read(), words.getvalue()


def make_world(sessions: int = 12, rows: int = 40) -> World:
    world = World(page_size=10)
    for number in range(sessions):
        world.add_session(f"s{number}", world.now - 3 * DAY)
        world.grow(f"s{number}", *(world.now - 3 * DAY + n for n in range(rows)), moves=False)
    return world


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(1, 6))])
async def test_killed_at_any_request_it_continues_and_loses_nothing(tmp_path: Path, seed: int) -> None:
    world, path, dice = make_world(), tmp_path / "events.db", random.Random(seed)
    for _ in range(3):
        left = dice.randint(1, 45)
        process: list[Command] = []

        def kill(kind: str, process: list[Command] = process) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                process[0].kill()

        world.during = kill
        started, runner = await start(world, path, "--quiet")
        process.append(started)
        await finish(started)
        await runner.cleanup()  # type: ignore[attr-defined]
        if path.exists():
            with closing(sqlite3.connect(path)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    world.during = lambda kind: None
    code, _, words = await run(world, path)
    assert code == 0, words
    assert read_rows(path) == sorted(world.exists.values())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_it_with_what_was_read_and_the_same_command_continues(
    tmp_path: Path, number: int, code: int
) -> None:
    world, path = make_world(), tmp_path / "events.db"
    started: list[Command] = []

    def stop(kind: str) -> None:
        if world.requests["events"] == 20:
            started[0].send_signal(number)

    world.during = stop
    process, runner = await start(world, path)
    started.append(process)
    words = await finish(process)
    await runner.cleanup()  # type: ignore[attr-defined]
    assert process.returncode == code
    assert "run the same command again" in words.decode()
    before = world.requests["events"]
    world.during = lambda kind: None
    code, _, _ = await run(world, path)
    assert code == 0
    assert read_rows(path) == sorted(world.exists.values())
    assert world.requests["events"] < before + 48, "what was through is not read again"


async def test_a_long_session_is_continued_where_it_was(tmp_path: Path) -> None:
    world, path = make_world(sessions=1, rows=400), tmp_path / "events.db"
    started: list[Command] = []

    def stop(kind: str) -> None:
        if world.requests["events"] == 30:
            started[0].terminate()

    world.during = stop
    process, runner = await start(world, path)
    started.append(process)
    await finish(process)
    await runner.cleanup()  # type: ignore[attr-defined]
    world.requests.clear()
    world.during = lambda kind: None
    assert (await run(world, path))[0] == 0
    assert world.requests["events"] <= 12
    assert read_rows(path) == sorted(world.exists.values())


async def test_a_saved_cursor_that_is_refused_costs_a_reading_from_the_start(tmp_path: Path) -> None:
    world, path = make_world(sessions=1, rows=400), tmp_path / "events.db"
    started: list[Command] = []

    def stop(kind: str) -> None:
        if world.requests["events"] == 30:
            started[0].terminate()

    world.during = stop
    process, runner = await start(world, path)
    started.append(process)
    await finish(process)
    await runner.cleanup()  # type: ignore[attr-defined]
    for status in (404, 410, 422):
        world.requests.clear()
        world.expire_cursors()
        world.during = lambda kind: None
        world.refuse = lambda kind, request, status=status: (  # type: ignore[misc]
            status if kind == "events" and world.requests["events"] == 1 and "cursor" in request.query else None
        )
        code, _, words = await run(world, path, "--quiet")
        assert (code, words) == (0, "")
    assert read_rows(path) == sorted(world.exists.values())


async def test_the_exit_codes(tmp_path: Path) -> None:
    world, path = make_world(sessions=3), tmp_path / "events.db"
    world.refuse = lambda kind, request: 401
    assert (await run(world, path))[0] == 3
    world.refuse = lambda kind, request: 403 if kind == "list" else None
    assert (await run(world, path))[0] == 1
    world.refuse = lambda kind, request: 404 if "s1/" in request.path else None
    code, out, words = await run(world, path, "--json")
    assert code == 5
    assert '"failures":[{"name":"us","session_id":"s1"' in out
    assert "NotFoundError" in words
    assert (await run(world, path))[0] == 0, "it was reported once"
    world.refuse = lambda kind, request: None
    code, _, words = await run(world, path)
    assert (code, "an audit found 40 events" in words) == (5, True)
    world.sessions["s1"].rows.append({**world.sessions["s1"].rows[0], "eventId": "late"})
    code, _, words = await run(world, path)
    assert (code, "an audit found 1 events" in words) == (5, True)
    world.tier = "free"
    world.pass_time(9 * DAY + HOUR)
    code, _, words = await run(world, path)
    assert (code, "longer ago than the API looks back" in words) == (5, True)
    assert (await run(world, path, "--settle", "8d"))[0] == 2
    assert (await run(world, path, "--settle", "soon"))[0] == 2
    assert (await run(world, path, "--since", "soon"))[0] == 2
    code, _, words = await run(world, tmp_path / "new.db", "--since", "2026-05-01")
    assert (code, words.splitlines()[0]) == (0, "sessions created from 2026-05-01 00:00:00 (UTC)")
    assert (await run(world, tmp_path / "none" / "events.db"))[0] == 1


async def test_a_second_command_is_kept_out(tmp_path: Path) -> None:
    world, path = make_world(sessions=1), tmp_path / "events.db"
    second: list[bytes] = []

    async def start_second() -> None:
        world.hold = go_on
        process, runner = await start(make_world(), path)
        second.append(await finish(process))
        await runner.cleanup()  # type: ignore[attr-defined]
        assert process.returncode == 1

    world.hold = start_second
    code, _, words = await run(world, path)
    assert b"another sync is updating" in second[0]
    assert code == 0, words


async def test_a_reader_that_does_not_end_leaves_it_unfinished_and_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sync, "StoreFile", lambda path, patience: StoreFile(path, patience / 600))
    monkeypatch.setenv("ISNOTAI_API_KEY", KEY)
    world, path = make_world(sessions=3), tmp_path / "events.db"
    runner = await world.start()
    monkeypatch.setenv("ISNOTAI_BASE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
    readers: list[sqlite3.Connection] = []

    def read(kind: str) -> None:
        if kind == "events" and not readers:
            readers.append(sqlite3.connect(path, check_same_thread=False))
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT * FROM sessions").fetchone()

    world.during = read
    assert await asyncio.to_thread(main, ["sync", "--out", str(path)]) == 4
    assert "another program kept" in capfd.readouterr().err
    readers[0].close()
    assert await asyncio.to_thread(main, ["sync", "--out", str(path)]) == 0
    await runner.cleanup()
    assert read_rows(path) == sorted(world.exists.values())
