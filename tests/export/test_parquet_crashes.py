"""Rows 60 and 61 for Parquet: kills, crashes at every operation on the disk, and power cuts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position, Target, Unfinished
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event
from isnotai_async.errors import CheckpointError, SinkError
from isnotai_async.export.checkpoint import digest_target
from isnotai_async.export.parquet import ParquetSink
from isnotai_async.export.store import Store
from tests.event_source import events
from tests.export.disks import Crash
from tests.export.folder_disk import ROOT, Folder, FolderDisk

SESSION = Target("us", "s1")
ROWS = events(SESSION.session_id, range(70))
PAGES: list[Page[Event]] = [
    Page(tuple(ROWS[at : at + 10]), None, False, 10, None, *SESSION) for at in range(0, len(ROWS), 10)
]
START = Position.start(EventQuery(session_id=SESSION.session_id), SESSION.name)
# Segments end at page ends, and commits come between: three segments, the last one short.
SEGMENT_ROWS = 25
PAGES_PER_COMMIT = 2
TARGET = ROOT / "out.parquet"

Contents = dict[str, bytes]
BOTH = pytest.mark.parametrize("segments", [False, True], ids=["file", "folder"])


def export(disk: FolderDisk, *, segments: bool) -> None:
    """Export as an exporter would, whose cursors are the numbers of pages."""
    store = Store(disk, TARGET, ParquetSink(disk, TARGET, segments=segments, segment_rows=SEGMENT_ROWS))
    checkpoint = store.open({"test": 60}, resume=True, force=False)
    if not checkpoint.is_done:
        begin = checkpoint.rows // 10
        for number, page in enumerate(PAGES[begin:], begin + 1):
            store.write([page])
            if number % PAGES_PER_COMMIT == 0 or page is PAGES[-1]:
                is_last = page is PAGES[-1]
                walk = evolve(START, cursor=str(number))
                store.commit(
                    (),
                    {
                        "rows": number * 10,
                        "taken": b"" if checkpoint.taken else digest_target(SESSION),
                        "moved": [] if is_last else [Unfinished("us", (walk,))],
                        "gone": [SESSION] if is_last else [],
                    },
                )
    store.seal()
    store.publish(force=False)


def contents(disk: FolderDisk) -> Contents:
    """All files that are there."""
    files = {path: inode for path, inode in disk.names_.items() if not isinstance(inode, Folder)}
    return {str(path.relative_to(ROOT)): bytes(inode.content) for path, inode in files.items()}


def whole(*, segments: bool) -> tuple[Contents, int]:
    """What is there after an export that nothing happened to, and how many operations it took."""
    disk = FolderDisk()
    export(disk, segments=segments)
    return contents(disk), len(disk.operations)


@BOTH
def test_row_60_a_crash_at_each_operation_and_one_in_recovery_change_no_byte(segments: bool) -> None:
    expected, operations = whole(segments=segments)
    random = Random(60)

    assert operations > 60
    for crash_at in range(operations):
        disk = FolderDisk(crash_at, half=crash_at % 2 == 0)
        with pytest.raises(Crash):
            export(disk, segments=segments)
        disk.restart(random.randrange(operations), half=random.random() < 0.5)
        while contents(disk) != expected:
            try:
                export(disk, segments=segments)
            except Crash:
                disk.restart()
            else:
                assert contents(disk) == expected, f"died at {crash_at}"


def lose_power(disk: FolderDisk, random: Random, operations: int, *, segments: bool) -> Contents | None:
    """Export through a power cut or two; return what is there, or None where the export was refused."""
    cuts = random.randint(1, 2)
    while True:
        disk.restart(random.randrange(operations) if cuts else None, half=random.random() < 0.5)
        cuts = max(0, cuts - 1)
        try:
            export(disk, segments=segments)
        except Crash:
            disk.lose_power(random)
        except CheckpointError:
            return None
        except SinkError:  # it exists: all was done but to make the end of the journal durable
            break
        else:
            break
    disk.lose_power(random)  # what is finished is durable, too
    return contents(disk)


def count_bad(make_disk: Callable[[], FolderDisk], trials: int, *, segments: bool) -> int:
    expected, operations = whole(segments=segments)
    random = Random(61)
    return sum(lose_power(make_disk(), random, operations, segments=segments) != expected for _ in range(trials))


@BOTH
def test_row_61_no_power_cut_loses_or_repeats_a_row(segments: bool) -> None:
    assert count_bad(FolderDisk, 250, segments=segments) == 0


class ForgetfulDisk(FolderDisk):
    """A disk that says that content is durable, and it is not."""

    def sync(self, descriptor: int) -> None:  # noqa: ARG002
        self._act("sync")


class ForgetfulFolder(FolderDisk):
    """A disk that says that the names in the folder of segments are durable, and they are not."""

    def sync_folder(self, folder: Path) -> None:
        if folder == ROOT:
            super().sync_folder(folder)
        else:
            self._act("sync_folder")


@pytest.mark.parametrize("kind", [ForgetfulDisk, ForgetfulFolder])
def test_the_model_notices_when_something_is_not_made_durable(kind: type[FolderDisk]) -> None:
    assert count_bad(kind, 40, segments=False) > 5


def test_a_published_folder_is_durable_before_the_journal_goes() -> None:
    disk = FolderDisk()
    export(disk, segments=True)

    published = len(disk.operations) - disk.operations[::-1].index("replace")
    assert disk.operations[published:] == ["sync_folder", "unlink", "sync_folder"]


def start(target: Path) -> subprocess.Popen[bytes]:
    # One session of more rows than a segment has.
    options = ["--sandbox", "--session", "big-60000", "--concurrency", "1", "--quiet", "--out", str(target)]
    return subprocess.Popen([sys.executable, "-m", "isnotai_async", "export", *options])


def is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size >= size
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("file", "size"),
    [("part-000000.parquet", 1), ("spool-000001.jsonl", 500_000)],
    ids=["at the first segment", "in the second spool"],
)
def test_row_60_a_kill_of_the_real_command_changes_no_byte(tmp_path: Path, file: str, size: int, once: Path) -> None:
    target = tmp_path / "out.parquet"
    process = start(target)
    deadline = time.monotonic() + 50
    while not is_there(tmp_path / "out.parquet.segments" / file, size) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, "it was killed before its end"
    process.kill()
    process.wait()

    assert start(target).wait() == 0
    assert target.read_bytes() == once.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("once") / "out.parquet"
    assert start(target).wait() == 0
    return target
