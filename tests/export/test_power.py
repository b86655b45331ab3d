"""Row 61: the power goes, and with it what was not durable: all, some, or some of it in another order.

The model is that of SQLite's test6.c, without the file system's mercy: names in a folder and sectors of a file
survive one by one. It drives the store itself, with a commit at every other page, so that thousands of trials are
quick.
"""

from __future__ import annotations

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
from isnotai_async.export.formats import choose_format
from isnotai_async.export.store import Store
from tests.event_source import events
from tests.export.disks import Crash, MemoryDisk

TARGET = Target("us", "s1")
ROWS = events(TARGET.session_id, range(90))
PAGES: list[Page[Event]] = [
    Page(tuple(ROWS[at : at + 10]), None, False, 10, None, *TARGET) for at in range(0, len(ROWS), 10)
]
START = Position.start(EventQuery(session_id=TARGET.session_id), TARGET.name)
TRIALS = 1_000


def export(disk: MemoryDisk, target: Path) -> None:
    """Export as an exporter would, whose cursors are the numbers of pages."""
    store = Store(disk, target, choose_format(target, None).open_sink(disk, target))
    checkpoint = store.open({"test": 61}, resume=True, force=False)
    if not checkpoint.is_done:
        unfinished = checkpoint.unfinished.get(TARGET)
        begin = int(unfinished.walks[0].cursor or 0) if unfinished else checkpoint.rows // 10
        for number, page in enumerate(PAGES[begin:], begin + 1):
            store.write([page])
            if number % 2 == 0 or page is PAGES[-1]:
                is_last = page is PAGES[-1]
                walk = evolve(START, cursor=str(number))
                store.commit(
                    (),
                    {
                        "rows": number * 10,
                        "taken": b"" if checkpoint.taken else digest_target(TARGET),
                        "moved": [] if is_last else [Unfinished("us", (walk,))],
                        "gone": [TARGET] if is_last else [],
                    },
                )
    store.seal()
    store.publish(force=False)


def whole(target: Path) -> tuple[bytes, int]:
    disk = MemoryDisk()
    export(disk, target)
    return disk.content(target), len(disk.operations)


def lose_power(disk: MemoryDisk, target: Path, random: Random, operations: int) -> bytes | None:
    """Export through a power cut or two; return the file, or None where the export was refused."""
    cuts = random.randint(1, 2)
    while True:
        disk.restart(random.randrange(operations) if cuts else None, half=random.random() < 0.5)
        cuts = max(0, cuts - 1)
        try:
            export(disk, target)
        except Crash:
            disk.lose_power(random)
        except CheckpointError:
            return None
        except SinkError:  # it exists: all was done but to make the end of the journal durable
            break
        else:
            break
    disk.lose_power(random)  # what is finished is durable, too
    return disk.content(target) if list(disk.names_) == [target] else None


def count_bad(kind: type[MemoryDisk], ending: str, trials: int) -> int:
    target = Path(f"/nowhere/out.{ending}")
    expected, operations = whole(target)
    random = Random(ending)
    return sum(lose_power(kind(), target, random, operations) != expected for _ in range(trials))


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv"])
def test_row_61_no_power_cut_loses_or_repeats_a_row(ending: str) -> None:
    assert count_bad(MemoryDisk, ending, TRIALS) == 0


class ForgetfulDisk(MemoryDisk):
    """A disk that says that content is durable, and it is not."""

    def sync(self, descriptor: int) -> None:  # noqa: ARG002
        self._act("sync")


class ForgetfulFolder(MemoryDisk):
    """A disk that says that names are durable, and they are not."""

    def sync_folder(self, folder: Path) -> None:  # noqa: ARG002
        self._act("sync_folder")


@pytest.mark.parametrize("kind", [ForgetfulDisk, ForgetfulFolder])
def test_the_model_notices_when_nothing_is_made_durable(kind: type[MemoryDisk]) -> None:
    assert count_bad(kind, "jsonl", 100) > 10
