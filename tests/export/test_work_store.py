"""The work store: its pragmas, its lock, and that what is committed is in it once or the store is refused."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import ExportError, ExportLockedError, IsNotAIError, SinkError, StoreError
from isnotai_async.export import ExportProgress
from isnotai_async.export.batches import join_pages, pack_page, unpack_pages
from isnotai_async.export.places import store_of
from isnotai_async.export.system import System
from isnotai_async.export.tracked_session import TrackedSession
from isnotai_async.export.work_rows import MOST_PAGES, Change, PageRow, SessionRow, Totals
from isnotai_async.export.work_store import WorkStore
from tests.event_source import events, ids
from tests.examples import scaled
from tests.export.desk import all_rows, make_desk
from tests.export.faulty_system import FaultySystem, names_in, sqlite_error
from tests.export.test_export import begin, read_ids


def open_store(folder: Path, system: System | None = None) -> WorkStore:
    store = WorkStore(folder / "out.jsonl", system or System())
    store.open()
    return store


def change(page: int = 0, *, rows: int = 3) -> Change:
    """What a commit of one page of session 0 changes."""
    data = pack_page(events("s", range(30))[page * rows : (page + 1) * rows])
    session = SessionRow(0, "", "us", "s", "done", page + 1, (page + 1) * rows, 0, 0, "", "")
    return Change([session], [PageRow(page, rows, [data])], [], Totals(1, (page + 1) * rows, 0))


def test_the_pragmas_are_those_that_were_measured(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    names = ("journal_mode", "synchronous", "page_size", "locking_mode")
    assert store._connection is not None
    found = [store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert found == ["truncate", 2, 16384, "exclusive"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}, "the journal, too"
    store.close()
    assert names_in(tmp_path) == [".out.jsonl.isnotai"], "SQLite removes its journal"


def test_a_pragma_that_sqlite_ignores_is_noticed(tmp_path: Path) -> None:
    class Ignoring(System):
        def connect(self, path: Path) -> sqlite3.Connection:
            connection = super().connect(path)
            connection.execute("PRAGMA page_size=4096")
            connection.execute("PRAGMA application_id=7")  # from now on the page size is fixed
            return connection

    with pytest.raises(StoreError, match="page_size=4096, not 16384"):
        open_store(tmp_path, Ignoring())


def test_pages_and_sessions_come_back_as_they_were_committed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.reset({"a": 1})
    for page in range(3):
        store.commit(change(page))
    store.close()

    store = open_store(tmp_path)
    assert store.read_identity() == {"a": 1}
    [session] = store.read_sessions()
    assert (session.pages, session.rows) == (3, 9)
    assert [name for batch in store.read_batches([""]) for name in batch.column("event_id")] == ids(
        events("s", range(9))
    )
    store.close()


def test_several_pages_are_one_blob_that_is_not_encoded_again() -> None:
    rows = events("s", range(10))
    pages = [pack_page(rows[:4]), pack_page(rows[4:5]), pack_page(rows[5:])]
    count, columns = unpack_pages(join_pages(pages))
    assert (count, columns[0], columns[3]) == (3, ids(rows), [row.timestamp for row in rows])


PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
try:
    connection.execute("CREATE TABLE intruder (x)")
except sqlite3.OperationalError as error:
    sys.exit(str(error))
"""


def is_locked(path: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "locked" in done.stderr, done.stderr
    return done.returncode != 0


def test_another_process_and_another_export_of_this_one_are_kept_out_until_it_is_closed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.reset({})
    path = tmp_path / ".out.jsonl.isnotai"
    assert is_locked(path)
    with pytest.raises(ExportLockedError, match=r"another export is writing .*out\.jsonl"):
        open_store(tmp_path)
    assert is_locked(path), "the second one's closing has not released the lock of the first"
    store.commit(change())
    store.close()
    assert not is_locked(path)


async def test_nothing_else_opens_the_store_while_an_export_runs(tmp_path: Path) -> None:
    """Closing any other descriptor of the file drops SQLite's lock: a second process wrote, and its row was gone."""
    target, locked = tmp_path / "out.jsonl", list[bool]()

    def look(_: ExportProgress) -> None:
        locked.append(is_locked(store_of(target)))

    await make_desk({"s1": 9}).export(target, on_progress=look)
    assert len(locked) > 2
    assert all(locked)


@pytest.mark.parametrize("how", ["removed", "replaced", "linked", "folder removed"])
async def test_a_store_that_is_removed_or_replaced_ends_the_run_and_no_row_is_called_safe(
    tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    desk, target = make_desk({"s1": 30}), folder / "out.jsonl"

    def harm(progress: ExportProgress) -> None:
        store = store_of(target)
        if progress.rows < 9 or not store.exists():
            return
        match how:
            case "removed":
                store.unlink()
            case "replaced":
                other = folder / "other"
                shutil.copy(store, other)
                other.replace(store)
            case "linked":
                (folder / "backup").hardlink_to(store)
            case _:
                shutil.rmtree(folder)

    with pytest.raises(StoreError, match="no row is safe"):
        await desk.export(target, on_progress=harm)
    assert not target.exists()


async def test_a_store_that_is_removed_before_publishing_is_noticed(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"

    class Removing(System):
        def sync(self, descriptor: int) -> None:
            super().sync(descriptor)
            store_of(target).unlink(missing_ok=True)

    with pytest.raises(StoreError, match="no row is safe"):
        await make_desk().export(target, Removing())
    assert not target.exists()


def test_a_commit_that_raised_although_it_is_in_and_is_repeated_is_in_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.reset({})
    store.close()
    store = open_store(tmp_path, FaultySystem(1, sqlite_error(sqlite3.SQLITE_IOERR, "disk I/O error"), late=True))
    with pytest.raises(sqlite3.OperationalError):
        store.commit(change())
    with pytest.raises(StoreError, match="is closed after an error"):
        store.commit(change())

    store = open_store(tmp_path)
    store.commit(change())
    assert [batch.rows for batch in store.read_batches([""])] == [3]
    store.close()


@pytest.mark.parametrize("late", [False, True], ids=["not in", "in"])
@pytest.mark.parametrize("at", range(4, 12))
async def test_a_commit_that_fails_ends_the_run_and_the_next_one_has_each_row_once(
    tmp_path: Path, at: int, late: bool
) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    system = FaultySystem(at, sqlite_error(sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"), late=late, only="commit")
    with pytest.raises(SinkError, match="disk I/O error"):
        await desk.export(target, system)
    assert system.operations.count("commit") == at + 1, "no second try, which would report success"

    await desk.export(target)
    assert read_ids(target) == ids(all_rows(desk))


def test_many_pages_of_one_session_become_rows_that_memory_can_hold() -> None:
    session = TrackedSession(3, "us", SessionRef("us", "big"), pages=2)
    session.held = [(1_000, pack_page(events("big", range(1_000)))) for _ in range(5)]
    rows = session.take_pages()
    assert [(row.key, len(row.pages), row.rows) for row in rows] == [
        (3 << 24 | 2, 2, 2_000),
        (3 << 24 | 4, 2, 2_000),
        (3 << 24 | 6, 1, 1_000),
    ]
    assert (session.pages, session.take_pages()) == (7, [])


def test_a_session_with_more_pages_than_can_be_numbered_is_an_error() -> None:
    session = TrackedSession(0, "", SessionRef("us", "s1"), pages=MOST_PAGES - 1)
    session.held = [(1, b"page"), (1, b"page")]
    with pytest.raises(ExportError, match=r"session 's1' has more than 16,777,216 pages.*start_time and end_time"):
        session.take_pages()


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The store of an export that was left in the middle."""
    import asyncio

    target = tmp_path_factory.mktemp("half") / "out.jsonl"
    asyncio.run(begin(make_desk(), target))
    return store_of(target).read_bytes()


@settings(max_examples=scaled(40), deadline=None)
@given(data=st.data())
async def test_a_damaged_store_is_refused_or_does_no_harm(half_done: bytes, data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        target, desk, content = Path(name) / "out.jsonl", make_desk(), bytearray(half_done)
        at = data.draw(st.integers(0, len(content) - 1), label="at")
        match data.draw(st.sampled_from(["flip", "cut", "insert", "append", "zero"]), label="how"):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=9), label="bytes")
            case "append":
                content += data.draw(st.binary(min_size=1, max_size=99), label="bytes")
            case "zero":
                content[at : at + 512] = bytes(len(content[at : at + 512]))
        store_of(target).write_bytes(content)
        try:
            await desk.export(target)
        except (StoreError, SinkError) as error:
            assert "--no-resume" in str(error) or "check the disk" in str(error)
            await desk.export(target, resume=False)
        assert read_ids(target) == ids(all_rows(desk))


async def test_each_flipped_bit_of_a_page_is_found_before_the_target_is_named(tmp_path: Path) -> None:
    random = Random(17)
    desk = make_desk({"s1": 40, "s2": 40}, limit=20)
    found = 0
    for number in range(20):
        target = tmp_path / f"out{number}.jsonl"
        await desk.export(target, sessions=["s1", "s2", "gone"], on_error="collect")  # its pages stay
        path = store_of(target)
        with closing(sqlite3.connect(path)) as connection:
            blob = bytes(connection.execute("SELECT data FROM pages ORDER BY key LIMIT 1").fetchone()[0])
        content = bytearray(path.read_bytes())
        at = bytes(content).find(blob) + random.randrange(len(blob))
        content[at] ^= 1 << random.randrange(8)
        path.write_bytes(content)
        target.unlink()  # so that it is written again
        with pytest.raises(StoreError, match="the table pages is not what was committed"):
            await desk.export(target, sessions=["s1", "s2", "gone"], on_error="collect")
        assert not target.exists()
        found += 1
    assert found == 20


@pytest.mark.parametrize("text", [b"not a database at all, but long enough" * 99, b"SQLite format 3\0" + bytes(4000)])
async def test_something_else_of_the_stores_name_is_refused(tmp_path: Path, text: bytes) -> None:
    target = tmp_path / "out.jsonl"
    store_of(target).write_bytes(text)
    with pytest.raises(StoreError, match="--no-resume"):
        await make_desk().export(target)
    assert store_of(target).read_bytes() == text
    await make_desk().export(target, resume=False)


async def test_somebodys_database_of_the_stores_name_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with closing(sqlite3.connect(store_of(target))) as connection:
        connection.execute("CREATE TABLE thesis (chapter TEXT)")
    with pytest.raises(StoreError, match="is no work store of this version"):
        await make_desk().export(target)


async def test_a_symbolic_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "out.jsonl"
    victim.write_text("precious")
    for name in (".out.jsonl.isnotai", ".out.jsonl.isnotai-journal"):
        (tmp_path / name).symlink_to(victim)
        with pytest.raises(StoreError, match="is no regular file"):
            await make_desk().export(target)
        (tmp_path / name).unlink()
    (tmp_path / ".out.jsonl.isnotai-new").symlink_to(victim)
    await make_desk().export(target)  # it removes the link, and writes a file of its own
    assert victim.read_text() == "precious"


async def test_the_store_shrinks_to_a_receipt(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    await make_desk({"s1": 3_000}, limit=100).export(target)
    assert store_of(target).stat().st_size < 100_000 < target.stat().st_size
    assert names_in(tmp_path) == [".out.jsonl.isnotai", "out.jsonl"]


async def test_the_disk_is_used_off_the_event_loop_by_one_thread(tmp_path: Path) -> None:
    threads = set[int]()

    class Watched(System):
        def commit(self, connection: sqlite3.Connection) -> None:
            threads.add(threading.get_ident())
            super().commit(connection)

        def write(self, descriptor: int, data: bytes) -> None:
            threads.add(threading.get_ident())
            super().write(descriptor, data)

    await make_desk().export(tmp_path / "out.jsonl", Watched())
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"there is no folder .*no; create it"):
        await make_desk().export(tmp_path / "no" / "out.jsonl")
    system = FaultySystem(0, sqlite_error(sqlite3.SQLITE_READONLY, "attempt to write a readonly database"))
    with pytest.raises(IsNotAIError, match=r"cannot write into .*readonly"):
        await make_desk().export(tmp_path / "out.jsonl", system)
    assert errno.EROFS  # SQLite reports it as the error above
