"""Does ``kill -9`` cost a row? The real command, killed at random moments again and again, beside one left alone.

Each export is killed until it gets through, and its file compared with that of an export that nothing happened to,
byte by byte: there is one reader, so the order is fixed. Not a part of ``python -m benchmarks``, because it takes an
hour: ``python -m benchmarks.bench_crashes [KILLS [FORMAT …]]``, by default 200 for each format.
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

FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "parquet")
_EVENTS: Final = 60_000  # some seconds, so with some commits of the usual kind, one each second, and segments


def start(out: Path) -> subprocess.Popen[bytes]:
    """Start an export out of a sandbox, which has the same data each time."""
    argv = ["export", "--sandbox", "--session", f"big-{_EVENTS}", "--concurrency", "1", "--out", str(out), "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "isnotai_async", *argv])


def kill_until_done(out: Path, seconds: float, random: Random) -> Iterator[bool]:
    """Export; yield for each run whether it was killed. Sooner or later one gets through."""
    while not out.exists():
        process = start(out)
        try:
            process.wait(random.uniform(0.1, 1.2) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            yield True
        else:
            if process.returncode:
                raise SystemExit(f"{out.name}: the export failed with {process.returncode}")
            yield False


def measure(ending: str, kills: int, folder: Path) -> tuple[str, ...]:
    """Kill exports of a format so often; return a line of the table."""
    whole, random = folder / f"whole.{ending}", Random(ending)
    begun = monotonic()
    start(whole).wait()
    seconds, killed, exports, bad = monotonic() - begun, 0, 0, 0
    while killed < kills:
        out = folder / f"out{exports}.{ending}"
        killed += sum(kill_until_done(out, seconds, random))
        left = {path.name for path in folder.iterdir()} - {whole.name, out.name}
        bad += out.read_bytes() != whole.read_bytes() or bool(left)
        exports += 1
        out.unlink()
        print(f"{ending}: {killed} kills, {exports} exports, {bad} bad", file=sys.stderr, flush=True)
    whole.unlink()
    return ending, f"{exports}", f"{killed}", f"{bad}"


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rows = []
    for ending in sys.argv[2:] or FORMATS:
        with TemporaryDirectory() as folder:
            rows.append(measure(ending, kills, Path(folder)))
    print(Table(f"Exports of {_EVENTS:,} events, killed", ("format", "exports", "kills", "bad files"), tuple(rows)))


if __name__ == "__main__":
    main()
