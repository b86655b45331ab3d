"""Is each row there once? A million of them, while one answer in five fails, and after a ``kill -9`` in the middle.

A sandbox serves a file of 5,000 sessions with 200 events each, so what has to come out is known to the byte. The real
command exports them with the pacing of its tier, is killed half-way, and is run again until it says that it is done:
sessions that all attempts have failed for are tried again by the next run (``--on-error collect``).

The rows of JSON Lines are compared with those that are served, line by line. Those of Parquet, of one file and of a
folder of segments, are counted and compared by DuckDB, which has nothing of this package in it. Not a part of
``python -m benchmarks``, because it takes seven minutes: ``python -m benchmarks.bench_exactly_once [SESSIONS]``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final

import isnotai_async as isnotai
from benchmarks.harness import Table, background
from isnotai_async.sandbox import Fault

EVENTS: Final = 200
SHARE: Final = 0.2  # of the answers that fail
FAULTS: Final = (Fault.status(500), Fault.status(503), Fault.reset(), Fault.cut_body())
FORMATS: Final = {"jsonl": (), "parquet": (), "parquet in segments": ("--segments",)}
_NAMES: Final = ("keypress", "mouse_move", "scroll")
_COMPARED: Final = (
    "region, session_id, event_id, message_id, event_type_name, {timestamp} AS timestamp, payload_size FROM"
)


def write_rows(path: Path, sessions: int) -> None:
    """Write the rows to be exported, as an export would."""
    with path.open("w") as file:
        for session in range(sessions):
            for event in range(EVENTS):
                row = {
                    "region": "us",
                    "session_id": f"session-{session:05}",
                    "event_id": f"event-{session:05}-{event:03}",
                    "message_id": event % 3,
                    "event_type_name": _NAMES[event % 3],
                    "timestamp": 1_781_092_800_000 + session * 1_000 + event,
                    "payload_size": event % 90,
                }
                file.write(f"{json.dumps(row, separators=(',', ':'))}\n")


async def serve(rows: Path) -> None:
    """Serve them; each answer may fail."""
    async with isnotai.Sandbox(data=rows, rate_limit=None, compress=False) as sandbox:
        for number, fault in enumerate(FAULTS):
            # One is tried after the other, so each has its share of what those before it have left.
            share = SHARE / len(FAULTS)
            sandbox.inject(fault, operation="list_events", probability=share / (1 - share * number))
        print(json.dumps([sandbox.base_url, sandbox.api_key]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        print(sandbox.stats.requests)


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    """Start the real command; the environment says where to ask."""
    ids = out.parent.parent / "ids.txt"
    argv = ["--sessions-file", str(ids), "--on-error", "collect", "--out", str(out), "--quiet", "--json", *options]
    command = [sys.executable, "-m", "isnotai_async", "export", *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_half_way(out: Path, rows: int) -> None:
    """Start it, and kill it when its journal says that half of the rows are safe."""
    process, safe = start(out, *FORMATS[out.parent.name]), 0
    while process.poll() is None and safe < rows // 2:
        sleep(0.01)
        safe = count_safe_rows(out.with_name(f"{out.name}.journal"))
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise SystemExit(f"{out.parent.name}: it ended with {process.returncode} before it was killed")


def count_safe_rows(journal: Path) -> int:
    """Read the last whole line of a journal for the rows so far."""
    lines = journal.read_bytes().split(b"\n")[1:-1] if journal.exists() else []
    return int(json.loads(lines[-1][9:])["rows"]) if lines else 0


def export(out: Path, rows: int) -> list[dict[str, Any]]:
    """Export, with a kill half-way; return the reports of all runs but the one that was killed."""
    kill_half_way(out, rows)
    reports = list[dict[str, Any]]()
    while not out.exists():
        process = start(out, *FORMATS[out.parent.name])
        said, _ = process.communicate()
        if process.returncode not in {0, 4}:  # 4: sessions have failed that are worth another run
            raise SystemExit(f"{out.parent.name}: it ended with {process.returncode}")
        reports.append(json.loads(said))
    return reports


def compare_lines(out: Path, rows: Path) -> tuple[int, int, int]:
    """Count lines, distinct sessions and events in them, and lines that are not as served, or are missing."""
    lines, wanted = out.read_bytes().splitlines(), rows.read_bytes().splitlines()
    pairs = {(row["session_id"], row["event_id"]) for row in map(json.loads, lines)}
    return len(lines), len(pairs), len(set(lines) ^ set(wanted))


def compare_columns(out: Path, rows: Path) -> tuple[int, int, int]:
    """Do the same with DuckDB."""
    found, wanted = f"'{out}/*.parquet'" if out.is_dir() else f"'{out}'", f"'{rows}'"
    counted = f"SELECT count(*), count(DISTINCT (session_id, event_id)) FROM {found}"
    ours = f"SELECT {_COMPARED.format(timestamp='epoch_ms(timestamp)')} {found}"
    theirs = f"SELECT {_COMPARED.format(timestamp='timestamp')} {wanted}"
    strange = f"SELECT count(*) FROM (({ours} EXCEPT {theirs}) UNION ALL ({theirs} EXCEPT {ours}))"
    duckdb: Any = importlib.import_module("duckdb")
    with duckdb.connect() as database:
        (lines, pairs), (others,) = database.sql(counted).fetchall()[0], database.sql(strange).fetchall()[0]
    return lines, pairs, others


def measure(name: str, served: Path, sessions: int) -> tuple[str, ...]:
    """Export in a format; return a line of the table."""
    out = served.parent / name / f"out.{name.partition(' ')[0]}"
    out.parent.mkdir()
    with background("bench_exactly_once", "serve", str(served)) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        os.environ["ISNOTAI_BASE_URL"], os.environ["ISNOTAI_API_KEY"] = json.loads(server.stdout.readline())
        begun = monotonic()
        reports = export(out, sessions * EVENTS)
        seconds = monotonic() - begun
        requests = int(server.communicate("\n")[0])
    pages = sessions * EVENTS // 100
    compare = compare_lines if name == "jsonl" else compare_columns
    figures = (reports[0]["resumed_rows"], len(reports) + 1, *compare(out, served), round(seconds))
    return name, f"{requests:,}", f"{1 - pages / requests:.0%}", *(f"{figure:,}" for figure in figures)


def main() -> None:
    """Measure all formats; one table."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with TemporaryDirectory() as folder:
        rows = Path(folder) / "served.jsonl"
        write_rows(rows, sessions)
        (rows.parent / "ids.txt").write_text("".join(f"session-{number:05}\n" for number in range(sessions)))
        lines = tuple(measure(name, rows, sessions) for name in FORMATS)
    columns = ("format", "requests", "in vain", "safe at the kill", "runs", "rows", "distinct", "wrong", "seconds")
    print(Table(f"{sessions:,} sessions of {EVENTS} events, killed half-way", columns, lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        main()
