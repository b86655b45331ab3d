"""Does a power cut cost a committed row, or leave a file that claims to be whole and is not?

The real command is recorded by strace (`power_cut`), once for each format, with a commit each 50 ms. Then its folder
is built as it would be after a power cut behind a random call, without what was not synced, again and again: the
target must be the whole one or not there, and the store must have the rows of the last commit that was reported. On
some of these folders the command is run again, which must make the same bytes. Linux only:

    python -m benchmarks.bench_power_cuts [CUTS [FORMAT …]]    # by default 500 for each format, 25 of them run again
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.bench_crashes import FORMATS, OFTEN, OPTIONS, read_all
from benchmarks.harness import Table
from benchmarks.power_cut import Call, Disk, record
from isnotai_async._cli import main as isnotai
from isnotai_async.export.places import store_of

_EVENTS: Final = 8_000
_AGAIN: Final = 20  # of so many cuts, one is followed by another run


def argv(out: Path) -> list[str]:
    """Return the arguments of an export out of a sandbox, which has the same data each time."""
    options = OPTIONS.get(out.suffix[1:], ())
    where = ["--session", f"big-{_EVENTS}", "--page-size", "50", "--out", str(out)]
    return ["export", "--sandbox", *where, "--quiet", *options]


def rows_of(store: Path) -> int:
    """Count the rows of a store, in a copy of it that is rolled back by its journal; -1 for a broken one."""
    if not store.exists() or not store.stat().st_size:
        return 0
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for ending in ("", "-journal"):
            if Path(f"{store}{ending}").exists():
                shutil.copy(f"{store}{ending}", f"{copy}{ending}")
        try:
            with closing(sqlite3.connect(copy)) as database:
                if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    return 0
                facts = dict(database.execute("SELECT name, value FROM facts"))
        except sqlite3.DatabaseError:
            return -1
    if "receipt" in facts:
        return int(json.loads(facts["receipt"])["report"]["rows"])
    return int(json.loads(facts["totals"])["rows"])


def find_commits(calls: list[Call], out: Path, work: Path) -> list[tuple[int, int]]:
    """Return behind which calls a commit was reported, and the rows that it had made safe.

    SQLite reports it when the size of its journal, which is 0 then, is durable.
    """
    disk, store, found = Disk(out.parent), store_of(out).name, list[tuple[int, int]]()
    for number, call in enumerate(calls, 1):
        before = disk.content(f"{store}-journal")
        disk.replay(*call)
        if call[0] in {"fsync", "fdatasync"} and before == b"" == disk.content(f"{store}-journal"):
            (work / store).write_bytes(disk.content(store) or b"")
            found.append((number, rows_of(work / store)))
    return found


def cut(calls: list[Call], out: Path, cuts: int, random: Random) -> Iterator[int]:
    """Build the folder of a target as after a power cut, so often; yield how many calls had returned by then."""
    disk, replayed = Disk(out.parent), 0
    shutil.rmtree(out.parent)
    for end in sorted(random.randint(1, len(calls)) for _ in range(cuts)):
        for call in calls[replayed:end]:
            disk.replay(*call)
        replayed = end
        disk.root.write(out.parent, random)
        yield end
        shutil.rmtree(out.parent)


def measure(ending: str, cuts: int, folder: Path) -> tuple[str, ...]:
    """Cut the power so often during an export of a format; return a line of the table."""
    for name in ("logs", "run", "work"):
        (folder / name).mkdir()
    out, random = folder / "run" / f"out.{ending}", Random(ending)
    everything = record([sys.executable, "-c", OFTEN, *argv(out)], folder / "logs")
    whole, disk = read_all(out), Disk(out.parent)
    calls = [call for call in everything if disk.replay(*call)]
    commits = find_commits(calls, out, folder / "work")
    named = bad = again = 0
    for number, end in enumerate(cut(calls, out, cuts, random)):
        safe = max((rows for at, rows in commits if at <= end), default=0)
        named += out.exists()
        bad += (out.exists() and read_all(out) != whole) or rows_of(store_of(out)) < safe
        if number % _AGAIN == 0:
            again += 1
            bad += isnotai(argv(out)) != 0 or read_all(out) != whole
    return ending, *(f"{count:,}" for count in (len(calls), len(commits), cuts, named, again, bad))


def main() -> None:
    """Measure; one table."""
    cuts = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    lines = list[tuple[str, ...]]()
    for ending in sys.argv[2:] or FORMATS:
        with TemporaryDirectory() as folder:
            lines.append(measure(ending, cuts, Path(folder)))
            print(*lines[-1], flush=True)
    columns = ("format", "calls on its files", "commits", "cuts", "had the file by then", "run again", "bad")
    print(Table(f"Power cuts during an export of {_EVENTS:,} events", columns, tuple(lines)))


if __name__ == "__main__":
    main()
