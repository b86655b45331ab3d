"""Does ``kill -9`` cost a row? The real command, killed at random moments again and again, beside one left alone.

Each export is killed until it gets through, and its file compared with that of an export that nothing happened to,
byte by byte. After each kill no file may have the target's name but a whole one. Not a part of ``python -m
benchmarks``, because it takes long:

    python -m benchmarks.bench_crashes [KILLS [FORMAT …]]    # at random moments, by default 40 for each format
    python -m benchmarks.bench_crashes calls                 # at each system call of commit and publish, by strace
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from benchmarks.harness import Table
from isnotai_async.export.places import store_of

FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "parquet", "sqlite")
_EVENTS: Final = 60_000  # some seconds, so with some commits of the usual kind, one each second, and segments


def start(out: Path, *, events: int = _EVENTS, page_size: int = 100) -> subprocess.Popen[bytes]:
    """Start an export out of a sandbox, which has the same data each time."""
    argv = [
        "export",
        "--sandbox",
        "--session",
        f"big-{events}",
        "--page-size",
        str(page_size),
        "--out",
        str(out),
        "--quiet",
    ]
    return subprocess.Popen([sys.executable, "-m", "isnotai_async", *argv])


def kill_until_done(out: Path, whole: Path, seconds: float, random: Random) -> Iterator[bool]:
    """Export; yield for each run whether it was killed. Sooner or later one gets through."""
    while True:
        process = start(out)
        try:
            process.wait(random.uniform(0.1, 1.2) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            if out.exists() and out.read_bytes() != whole.read_bytes():
                raise SystemExit(f"{out.name} claims to be whole, and is not") from None
            yield True
        else:
            if process.returncode:
                raise SystemExit(f"{out.name}: the export failed with {process.returncode}")
            yield False
            return


def measure(ending: str, kills: int, folder: Path) -> tuple[str, ...]:
    """Kill exports of a format so often; return a line of the table."""
    whole, random = folder / f"whole.{ending}", Random(ending)
    begun = monotonic()
    start(whole).wait()
    seconds, killed, exports, bad = monotonic() - begun, 0, 0, 0
    while killed < kills:
        out = folder / f"out{exports}.{ending}"
        killed += sum(kill_until_done(out, whole, seconds, random))
        known = {whole.name, out.name, store_of(whole).name, store_of(out).name}
        left = {path.name for path in folder.iterdir()} - known
        bad += out.read_bytes() != whole.read_bytes() or bool(left)
        exports += 1
        out.unlink()
        store_of(out).unlink()
        print(f"{ending}: {killed} kills, {exports} exports, {bad} bad", file=sys.stderr, flush=True)
    whole.unlink()
    return ending, f"{exports}", f"{killed}", f"{bad}"


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


def break_calls(folder: Path) -> Iterator[tuple[str, ...]]:
    """Break system calls, one in each export; yield a line of the table for each kind."""
    whole, log = folder / "whole.jsonl", folder / "log"
    trace(whole, "openat", None, log)
    for call in CALLS:
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
    if sys.argv[1:2] == ["calls"]:
        with TemporaryDirectory() as name:
            lines = tuple(break_calls(Path(name)))
        columns = ("system call", "fault", "calls of an export", "exports", "ended by it", "bad")
        print(Table("Exports broken at a system call, and run again", columns, lines))
        return
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    rows = []
    for ending in sys.argv[2:] or FORMATS:
        with TemporaryDirectory() as folder:
            rows.append(measure(ending, kills, Path(folder)))
    print(Table(f"Exports of {_EVENTS:,} events, killed", ("format", "exports", "kills", "bad files"), tuple(rows)))


if __name__ == "__main__":
    main()
