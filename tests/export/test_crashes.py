"""The process dies at any operation of commit and publish, or half-way through a write, and once more in recovery."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from isnotai_async.errors import ExportError, SinkError
from isnotai_async.export.places import store_of
from isnotai_async.export.system import System
from tests.event_source import ids
from tests.export.desk import all_rows, make_desk
from tests.export.faulty_system import Crash, FaultySystem, names_in, read_all, sqlite_error
from tests.export.test_export import read_ids

SIZES = {"s1": 5, "s2": 4}
KINDS = ["jsonl", "sqlite", "folder"]  # text, a database, and a folder; the others are written as text is


def options_of(kind: str) -> dict[str, Any]:
    return {"format": "parquet", "segments": True} if kind == "folder" else {}


async def export(system: System, target: Path, **options: object) -> bool:
    """Export; return whether it came to its end."""
    try:
        await make_desk(SIZES).export(target, system, **options)  # type: ignore[arg-type]
    except Crash:
        return False
    return True


async def whole(folder: Path, kind: str, **options: object) -> tuple[object, int]:
    """Return the target of an export that nothing happened to, and how many operations it took."""
    folder.mkdir()
    target, system = folder / f"out.{kind}", FaultySystem()
    if "if_exists" in options:
        await export(System(), target, **options_of(kind), sessions=["s1"])
        store_of(target).unlink()
    assert await export(system, target, **options_of(kind), **options)
    return read_all(target), len(system.operations)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_crash_at_each_operation_and_one_in_recovery_change_no_byte(
    tmp_path: Path, kind: str, late: bool
) -> None:
    expected, operations = await whole(tmp_path / "whole", kind)
    random, options = Random(kind), options_of(kind)

    assert operations >= 16
    for at in range(operations):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        target = folder / f"out.{kind}"
        await export(FaultySystem(at, late=late), target, **options)
        if target.exists():
            assert read_all(target) == expected, f"died at {at}"
        await export(FaultySystem(random.randrange(operations), late=late), target, **options)
        assert await export(System(), target, **options), f"died at {at}"
        assert read_all(target) == expected, f"died at {at}"
        assert names_in(folder) == [store_of(target).name, target.name], f"died at {at}"


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["jsonl", "folder"])
@pytest.mark.heavy
async def test_what_is_replaced_is_there_or_its_successor_whatever_happens(
    tmp_path: Path, kind: str, late: bool
) -> None:
    options = {**options_of(kind), "if_exists": "replace"}
    expected, operations = await whole(tmp_path / "whole", kind, if_exists="replace")

    for at in range(operations):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        target = folder / f"out.{kind}"
        await export(System(), target, **options_of(kind), sessions=["s1"])
        store_of(target).unlink()
        old = read_all(target)
        await export(FaultySystem(at, late=late), target, **options)
        if target.exists():
            assert read_all(target) in (old, expected), f"died at {at}"
        else:
            assert kind == "folder", "a folder is replaced in two steps, and the next run finishes them"
        assert await export(System(), target, **options), f"died at {at}"
        assert read_all(target) == expected, f"died at {at}"
        assert names_in(folder) == [store_of(target).name, target.name], f"died at {at}"


ERRORS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS]


@pytest.mark.parametrize("number", ERRORS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("kind", ["jsonl", "folder"])
async def test_an_error_at_each_operation_is_told_and_the_same_call_finishes(
    tmp_path: Path, kind: str, number: int
) -> None:
    expected, operations = await whole(tmp_path / "whole", kind)
    options = options_of(kind)

    for at in range(0, operations, 2):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        target = folder / f"out.{kind}"
        code = sqlite3.SQLITE_FULL if number == errno.ENOSPC else sqlite3.SQLITE_IOERR_WRITE
        error = OSError(number, "as it was injected")
        system = _Failing(at, error, sqlite_error(code, "database or disk is full"))
        try:
            await make_desk(SIZES).export(target, system, **options)
        except ExportError as told:
            assert isinstance(told, SinkError)
            assert ("the disk is full" in str(told)) == (
                number in {errno.ENOSPC, errno.EDQUOT} and not system.by_code
            )
            assert "bytes are missing" not in str(told), "this disk has room for all of it"
        await make_desk(SIZES).export(target, **options)
        assert read_all(target) == expected, f"failed at {at}"
        assert names_in(folder) == [store_of(target).name, target.name], f"failed at {at}"


class _Failing(FaultySystem):
    """Raises SQLite's kind of error where SQLite works."""

    by_code = False

    def __init__(self, at: int, error: OSError, of_sqlite: sqlite3.Error) -> None:
        super().__init__(at, error)
        self._of_sqlite = of_sqlite

    def commit(self, connection: sqlite3.Connection) -> None:
        try:
            super().commit(connection)
        except OSError:
            self.by_code = getattr(self._of_sqlite, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL
            raise self._of_sqlite from None


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EINVAL, errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP]
)
@pytest.mark.parametrize("has_rename", [True, False], ids=["exclusive rename", "look and rename"])
async def test_file_systems_without_hard_links_take_an_export(tmp_path: Path, number: int, has_rename: bool) -> None:
    class Poor(System):
        def link(self, source: Path, target: Path) -> None:  # noqa: ARG002 - as of the real one
            raise OSError(number, "no links")

        def rename_exclusive(self, source: Path, target: Path) -> None:
            if not has_rename:
                raise OSError(errno.ENOSYS, "no such call")
            super().rename_exclusive(source, target)

    desk, target = make_desk(), tmp_path / "out.jsonl"
    await desk.export(target, Poor())
    assert read_ids(target) == ids(all_rows(desk))

    other = tmp_path / "other.jsonl"
    with pytest.raises(SinkError, match="has come to exist"):
        await desk.export(other, Poor(), on_progress=lambda _: other.touch())
    assert other.read_bytes() == b""


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
async def test_file_systems_that_do_not_sync_folders_take_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import os

    real = os.fsync

    def fsync(descriptor: int) -> None:
        import stat

        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, "not here")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await desk.export(target)
    assert read_ids(target) == ids(all_rows(desk))
