"""Does ``kill -9`` cost a row? The real command, killed at random moments again and again, beside one left alone.

Each export is killed until it gets through, and its file compared with that of an export that nothing happened to,
byte by byte. After each kill no file may have the target's name but a whole one. Not a part of ``python -m
benchmarks``, because it takes long:

    python -m benchmarks.bench_crashes store [KILLS [SEED]]          # at any moment of an export, by default 200
    python -m benchmarks.bench_crashes publish [KILLS [FORMAT …]]    # while the target is written and named, 20 each
    python -m benchmarks.bench_crashes calls [CALL …]                # at system calls of both, by strace
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final

from benchmarks.harness import Table
from isnotai_async.export.places import store_of, unnamed_of
from isnotai_async.export.system import System

FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "parquet", "segments", "sqlite")
OPTIONS: Final = {"segments": ("--format", "parquet", "--segments")}
_EVENTS: Final = 60_000
_SHORT: Final = 20_000  # a second or two, for the many exports that are killed at any moment
OFTEN: Final = """
import sys
from isnotai_async._cli import main
from isnotai_async.export import runner
runner.COMMIT_SECONDS = 0.05
sys.exit(main(sys.argv[1:]))
"""
"""The real command, but for commits each 50 ms, so that a short export has many."""


def start(out: Path, *, events: int = _EVENTS, page_size: int = 100) -> subprocess.Popen[bytes]:
    """Start an export out of a sandbox, which has the same data each time."""
    argv = ["--session", f"big-{events}", "--page-size", str(page_size), "--out", str(out), "--quiet"]
    options = OPTIONS.get(out.suffix[1:], ())
    return subprocess.Popen([sys.executable, "-c", OFTEN, "export", "--sandbox", *argv, *options])


def read_all(target: Path) -> object:
    """Return the bytes of a file, or of all files in a folder."""
    if target.is_dir():
        return {path.name: path.read_bytes() for path in target.iterdir()}
    return target.read_bytes()


def is_lie(out: Path, whole: object) -> bool:
    """Return whether a target claims to be whole and is not."""
    return out.exists() and read_all(out) != whole


def kill_in_store(kills: int, seed: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """Kill exports at any moment; yield the line of the table."""
    target, random = folder / "whole.jsonl", Random(seed)
    begun = monotonic()
    start(target, events=_SHORT).wait()
    seconds, whole, killed, exports, bad = monotonic() - begun, read_all(target), 0, 0, 0
    while killed < kills:
        out = folder / f"out{exports}.jsonl"
        exports += 1
        while kill_after(start(out, events=_SHORT), random.uniform(0.3, 1.1) * seconds):
            killed += 1
            bad += is_lie(out, whole)
        bad += start(out, events=_SHORT).wait() != 0 or read_all(out) != whole  # its receipt is found
        out.unlink()
        store_of(out).unlink()
        print(f"{exports} exports, {killed} kills, {bad} bad", file=sys.stderr, flush=True)
    bad += len(list(folder.iterdir())) != 2  # the whole one and its receipt
    yield "any moment", f"{exports}", f"{killed}", f"{bad}"


def kill_after(process: subprocess.Popen[bytes], seconds: float | None) -> bool:
    """Wait for the end of a process, and kill it after some seconds; return whether it was killed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return process.returncode < 0


def kill_in_publishing(kills: int, ending: str, folder: Path) -> tuple[str, ...]:
    """Kill exports while the target of a format is written and named; return a line of the table."""
    (folder / "whole").mkdir()
    target, random = folder / "whole" / f"out.{ending}", Random(ending)
    seconds = publish(start(target), target)
    full = folder / "full"  # a store with all rows, as it is when publishing starts
    full.mkdir()
    publish(start(full / target.name), full / target.name, patience=0.0)
    System().remove(unnamed_of(full / target.name))  # its appearing tells when publishing starts
    whole, killed, named, bad = read_all(target), 0, 0, 0
    while killed < kills:
        out = folder / f"out{killed}" / target.name
        shutil.copytree(full, out.parent)
        killed += (
            publish(start(out), out, patience=seconds * random.random() ** 3) < 0
        )  # early: the end is the process's own
        named += out.exists()
        bad += is_lie(out, whole)
        bad += start(out).wait() != 0 or read_all(out) != whole
        bad += {path.name for path in out.parent.iterdir()} != {out.name, store_of(out).name}
        shutil.rmtree(out.parent)
    return ending, f"{killed}", f"{killed}", f"{named}", f"{bad}"


def publish(process: subprocess.Popen[bytes], out: Path, patience: float | None = None) -> float:
    """Wait until an export publishes, and for its end; return the seconds between, or -1 if it was killed then.

    Args:
        process: The export.
        out: Its target.
        patience: Seconds of publishing after which it is killed; None for not at all.
    """
    while process.poll() is None and not unnamed_of(out).exists():
        sleep(0.0005)
    begun = monotonic()
    return -1.0 if kill_after(process, patience) else monotonic() - begun


CALLS: Final = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "link", "rename", "write", "openat")
FAULTS: Final = ("signal=SIGKILL", "error=EIO", "error=ENOSPC", "error=EDQUOT", "error=EROFS")
_FEW: Final = 1_000  # events of an export that is broken at one of its system calls
_STEP: Final = 5  # of so many calls of a kind one is broken


def trace(out: Path, call: str, fault: str | None, log: Path) -> int:
    """Export under strace, which breaks one system call on the export's files; return the exit code."""
    store = store_of(out)
    places = [store, Path(f"{store}-journal"), Path(f"{store}-new"), Path(f"{store}-small"), out]
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", *(f"-P{place}" for place in places)]
    command += ["-e", f"inject={call}:{fault}"] if fault else []
    argv = ["export", "--sandbox", "--session", f"big-{_FEW}", "--page-size", "50", "--out", str(out), "--quiet"]
    done = subprocess.run([*command, sys.executable, "-m", "isnotai_async", *argv], capture_output=True, check=False)
    return done.returncode


def break_calls(kinds: Sequence[str], folder: Path) -> Iterator[tuple[str, ...]]:
    """Break system calls, one in each export; yield a line of the table for each kind."""
    whole, log = folder / "whole.jsonl", folder / "log"
    trace(whole, "openat", None, log)
    for call in kinds:
        counted = folder / f"{call}.jsonl"
        trace(counted, call, None, log)
        calls = len(log.read_text().splitlines())
        for fault in FAULTS:
            bad = broken = 0
            for when in range(1, calls + 1, _STEP):
                out = folder / f"{call}-{fault}-{when}.jsonl"
                code = trace(out, call, f"{fault}:when={when}", log)
                broken += code != 0
                bad += out.exists() and out.read_bytes() != whole.read_bytes()
                again = start(out, events=_FEW, page_size=50)
                bad += again.wait() != 0 or out.read_bytes() != whole.read_bytes()
            print(f"{call} {fault}: {bad} bad", file=sys.stderr, flush=True)
            yield call, fault, f"{calls}", f"{len(range(1, calls + 1, _STEP))}", f"{broken}", f"{bad}"


def main() -> None:
    """Measure; one table."""
    what, numbers = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]
    with TemporaryDirectory() as name:
        folder = Path(name)
        if what == "calls":
            columns: tuple[str, ...] = ("system call", "fault", "calls of an export", "exports", "ended by it", "bad")
            table = Table(
                "Exports broken at a system call, and run again",
                columns,
                tuple(break_calls(numbers or CALLS, folder)),
            )
        elif what == "publish":
            columns = ("format", "exports", "kills", "had the file by then", "bad")
            lines = list[tuple[str, ...]]()
            for ending in numbers[1:] or FORMATS:
                (folder / ending).mkdir()
                lines.append(kill_in_publishing(int(numbers[0]) if numbers else 20, ending, folder / ending))
                print(*lines[-1], file=sys.stderr, flush=True)
            table = Table(f"Exports of {_EVENTS:,} events, killed while publishing", columns, tuple(lines))
        elif what == "store":
            kills, seed = [*numbers, *("200", "0")[len(numbers) :]]
            lines_ = tuple(kill_in_store(int(kills), seed, folder))
            table = Table(f"Exports of {_SHORT:,} events, killed", ("when", "exports", "kills", "bad"), lines_)
        else:
            raise SystemExit(__doc__)
    print(table)


if __name__ == "__main__":
    main()
