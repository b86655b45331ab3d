"""Is each row there once? A million of them, while one answer in five fails, and after a ``kill -9`` in the middle.

A sandbox serves a file of 5,000 sessions with 200 events each, so what has to come out is known to the byte. The real
command exports them, is killed half-way, and is run again until it says that it is done: sessions that all attempts
have failed for are tried again by the next run. Each format is exported at concurrency 16, and once more at 1 without
a kill: the bytes have to be the same. Only its waits are shorter, no limiter and 5 ms before a retry, or it would
take half an hour.

The rows are counted and compared by DuckDB, which has nothing of this package in it; those of SQLite by `sqlite3`.
Not a part of ``python -m benchmarks``, it takes a minute or two for each format:

    python -m benchmarks.bench_exactly_once [SESSIONS [FORMAT …]]    # a folder of Parquet files is "segments"
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final

import isnotai_async as isnotai
from benchmarks.harness import Table, background
from isnotai_async.export.places import store_of
from isnotai_async.sandbox import Fault

EVENTS: Final = 200
ROW_BYTES: Final = 45  # in the store, about
SHARE: Final = 0.2  # of the answers that fail
FAULTS: Final = (Fault.status(500), Fault.status(503), Fault.reset(), Fault.cut_body())
FORMATS: Final = {
    "jsonl": (),
    "jsonl.gz": (),
    "csv": (),
    "sqlite": (),
    "parquet": (),
    "segments": ("--format", "parquet", "--segments"),
}
HURRIED: Final = """
import sys
from contextlib import asynccontextmanager
from functools import partial
from isnotai_async import Client, Retry, Unlimited
from isnotai_async._cli import main, options

@asynccontextmanager
async def open_limiter(_):
    yield Unlimited()

options.open_shared_limiter = open_limiter
options.Client = partial(Client, retry=Retry(base=0.005))
sys.exit(main(sys.argv[1:]))
"""
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
    """Start the command; the environment says where to ask."""
    ids = out.parent.parent / "ids.txt"
    argv = ["--sessions-file", str(ids), "--out", str(out), "--quiet", "--json", *options]
    command = [sys.executable, "-c", HURRIED, "export", *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_half_way(out: Path, rows: int) -> None:
    """Start it, and kill it when its store has about half of the rows."""
    process, store = start(out, *FORMATS[out.parent.name]), store_of(out)
    while process.poll() is None and not (store.exists() and store.stat().st_size > rows // 2 * ROW_BYTES):
        sleep(0.01)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise SystemExit(f"{out.parent.name}: it ended with {process.returncode} before it was killed")


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


def compare(out: Path, rows: Path) -> tuple[int, int, int]:
    """Count rows, distinct sessions and events in them, and rows that are not as served, or are missing."""
    duckdb: Any = importlib.import_module("duckdb")
    with duckdb.connect() as database:
        found = _readable(out, database)
        counted = f"SELECT count(*), count(DISTINCT (session_id, event_id)) FROM {found}"
        time = "epoch_ms(timestamp)" if "parquet" in found else "timestamp"
        ours, theirs = (
            f"SELECT {_COMPARED.format(timestamp=given)} {place}"
            for given, place in ((time, found), ("timestamp", f"'{rows}'"))
        )
        strange = f"SELECT count(*) FROM (({ours} EXCEPT {theirs}) UNION ALL ({theirs} EXCEPT {ours}))"
        (lines, pairs), (others,) = database.sql(counted).fetchall()[0], database.sql(strange).fetchall()[0]
    return lines, pairs, others


def _readable(out: Path, database: Any) -> str:  # noqa: ANN401 - DuckDB's connection
    """Return what DuckDB reads; of SQLite, for which it needs an extension, a table with its rows."""
    if out.suffix != ".sqlite":
        return f"'{out}/*.parquet'" if out.is_dir() else f"'{out}'"
    with closing(sqlite3.connect(out)) as source:
        path = out.with_suffix(".copy.csv")
        with path.open("w", newline="") as file:
            rows = source.execute("SELECT * FROM events")
            writer = csv.writer(file)
            writer.writerow([column[0] for column in rows.description])
            writer.writerows(rows)
    database.sql(f"CREATE TABLE copy AS SELECT * FROM '{path}'")
    return "copy"


def is_same_at_one(out: Path) -> bool:
    """Export once more, one request at a time and without a kill; compare the bytes."""
    other = out.with_name(f"one-{out.name}")
    while not other.exists():
        start(other, "--concurrency", "1", *FORMATS[out.parent.name]).communicate()
    parts = [(out, other)] if out.is_file() else [(part, other / part.name) for part in out.iterdir()]
    return all(ours.read_bytes() == theirs.read_bytes() for ours, theirs in parts)


def measure(name: str, served: Path, sessions: int) -> tuple[str, ...]:
    """Export in a format; return a line of the table."""
    out = served.parent / name / f"out.{name}"
    out.parent.mkdir()
    with background("bench_exactly_once", "serve", str(served)) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        os.environ["ISNOTAI_BASE_URL"], os.environ["ISNOTAI_API_KEY"] = json.loads(server.stdout.readline())
        begun = monotonic()
        reports = export(out, sessions * EVENTS)
        seconds = monotonic() - begun
        same = is_same_at_one(out)
        requests = int(server.communicate("\n")[0]) // 2
    pages = sessions * EVENTS // 100
    figures = (reports[0]["resumed_rows"], len(reports) + 1, *compare(out, served), round(seconds))
    bytes_ = "the same" if same else "DIFFERENT"
    return name, f"{requests:,}", f"{1 - pages / requests:.0%}", *(f"{figure:,}" for figure in figures), bytes_


def main() -> None:
    """Measure all formats; one table."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    with TemporaryDirectory() as folder:
        rows = Path(folder) / "served.jsonl"
        write_rows(rows, sessions)
        (rows.parent / "ids.txt").write_text("".join(f"session-{number:05}\n" for number in range(sessions)))
        lines = tuple(measure(name, rows, sessions) for name in sys.argv[2:] or FORMATS)
    columns = (
        "format",
        "requests",
        "in vain",
        "safe at the kill",
        "runs",
        "rows",
        "distinct",
        "wrong",
        "seconds",
        "bytes at 1",
    )
    print(Table(f"{sessions:,} sessions of {EVENTS} events, killed half-way", columns, lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        main()
