"""Row 60: the process dies at any operation on the disk, or half-way through it, and once more while it recovers."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from isnotai_async._models.positions import Target
from isnotai_async.export.checkpoint import Checkpoint, digest_target
from isnotai_async.export.journal import Journal
from isnotai_async.export.publishing import beside
from tests.export.desk import SIZES, make_desk
from tests.export.disks import Crash, MemoryDisk

FORMATS = ["jsonl", "jsonl.gz", "csv"]


async def export(disk: MemoryDisk, target: Path, *, concurrency: int = 1) -> bool:
    """Export; tell whether it came to its end."""
    try:
        await make_desk().export(target, disk, concurrency=concurrency)
    except Crash:
        return False
    return True


async def recover(disk: MemoryDisk, target: Path, random: Random, operations: int, *, concurrency: int = 1) -> bytes:
    """Go on until the file is there, and die once more before that."""
    disk.restart(random.randrange(operations), half=random.random() < 0.5)
    while target not in disk.names_ or len(disk.names_) > 1:
        await export(disk, target, concurrency=concurrency)
        disk.restart()
    return disk.content(target)


async def whole(target: Path) -> tuple[bytes, int]:
    """Return the file of an export that nothing happened to, and how many operations it took."""
    disk = MemoryDisk()
    await export(disk, target)
    return disk.content(target), len(disk.operations)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
async def test_row_60_a_crash_at_each_operation_and_one_in_recovery_change_no_byte(
    tmp_path: Path, ending: str, half: bool
) -> None:
    target = tmp_path / f"out.{ending}"
    expected, operations = await whole(target)
    random = Random(ending)

    assert operations > 40
    for crash_at in range(operations):
        disk = MemoryDisk(crash_at, half=half)
        assert not await export(disk, target), "it was to die"
        assert await recover(disk, target, random, operations) == expected, f"died at {crash_at}"


async def test_row_60_with_many_readers_each_row_is_there_once_after_crashes(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    expected, operations = await whole(target)
    random = Random(60)

    for crash_at in range(0, operations, 3):
        disk = MemoryDisk(crash_at)
        await export(disk, target, concurrency=4)
        content = await recover(disk, target, random, operations, concurrency=4)
        assert sorted(content.splitlines()) == sorted(expected.splitlines())


async def test_sessions_that_are_through_are_never_asked_for_again(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    _, operations = await whole(target)
    spared = 0

    for crash_at in range(operations - 2):  # the last two remove the journal
        disk, desk = MemoryDisk(crash_at), make_desk()
        assert not await export(disk, target)
        disk.restart()
        records = Journal(disk, beside(target, ".journal")).read()
        checkpoint = None if records is None else Checkpoint.read(records)
        await desk.export(target, disk)
        asked = {session_id for session_id, _ in desk.source.requests}
        through = set() if checkpoint is None else {name for name in SIZES if is_through(checkpoint, name)}
        assert not asked & through, f"died at {crash_at}"
        spared += len(through)
    assert spared > operations


def is_through(checkpoint: Checkpoint, session_id: str) -> bool:
    target = Target("us", session_id)
    return digest_target(target) in bytes(checkpoint.taken) and target not in checkpoint.unfinished
