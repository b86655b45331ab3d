"""Lag of the event loop while it exports, with two controls.

A heartbeat each millisecond tells how late it comes. The controls tell whose lag it is: an idle loop, in a process of
its own at the same time, has the machine's; streaming the same pages without writing them has that of the client. The
server is 20 ms away: at full speed on loopback four processes and threads fight for two processors, and the lag is
theirs. What a server does at its start is done before: pyarrow is imported (which holds the loop for up to 40 ms,
in whatever thread it is done) and what was imported is frozen (`gc.freeze`).
The beats of all rounds count together: one round has two thousand, and so two that would decide.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import isnotai_async as isnotai
from benchmarks.harness import KEY, Report, Table, Target, background, percentile, pin_to_all
from benchmarks.page_server import EVENTS, page_server, session_id

_BEAT: Final = 0.001  # seconds
_ROUND_TRIP: Final = (0.018, 0.022)  # seconds, least and most
_FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "parquet", "sqlite")
_SESSIONS: Final = [session_id(number, pages=50) for number in range(30)]


async def beat(lags: list[float]) -> None:
    """Note how late each beat comes, in seconds."""
    while True:
        due = time.perf_counter() + _BEAT
        await asyncio.sleep(_BEAT)
        lags.append(time.perf_counter() - due)


async def watch(work: Callable[[], Awaitable[object]]) -> list[float]:
    """Return the lags while something is done."""
    lags = list[float]()
    heart = asyncio.create_task(beat(lags))
    try:
        await work()
    finally:
        heart.cancel()
    return lags


async def idle() -> None:
    """Do nothing until told to stop."""
    loop = asyncio.get_running_loop()
    lags = await watch(lambda: loop.run_in_executor(None, sys.stdin.readline))
    print(json.dumps(lags))


async def export(base_url: str, file_format: str | None) -> list[float]:
    """Export, or only stream, and return the lags."""
    async with isnotai.Client(KEY, base_url=base_url, limiter=isnotai.Unlimited()) as client:
        with tempfile.TemporaryDirectory() as folder:
            if file_format is not None:
                to = Path(folder) / f"events.{file_format}"
                return await watch(lambda: isnotai.export_events(client, _SESSIONS, to, concurrency=16))

            async def stream() -> None:
                async with client.stream_events(_SESSIONS, concurrency=16) as pages:
                    async for _ in pages:
                        pass

            return await watch(stream)


def measure(base_url: str, file_format: str | None, rounds: int) -> list[float]:
    """Return the lags at 50, 99 and 99.9 %, and those of an idle loop at the same time, in milliseconds."""
    lags, others = list[float](), list[float]()
    for _ in range(rounds):
        with background("bench_export_lag", "idle") as control:
            lags += asyncio.run(export(base_url, file_format))
            others += json.loads(control.communicate("\n")[0])
    return [percentile(found, share) * 1e3 for found in (lags, others) for share in (0.5, 0.99, 0.999)]


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    pin_to_all()
    for name in ("json", "parquet", "compute"):
        importlib.import_module(f"pyarrow.{name}")
    gc.collect()
    gc.freeze()
    report, rows = Report(), list[tuple[str, ...]]()
    with page_server(_ROUND_TRIP) as server:
        for file_format in (None, *(_FORMATS[:1] if quick else _FORMATS)):
            name = "streaming, nothing written" if file_format is None else f"exporting to {file_format}"
            report.figures[name] = figures = measure(server.base_url, file_format, 1 if quick else 2)
            rows.append((name, *(f"{figure:.1f}" for figure in figures)))
    count = f"{len(_SESSIONS) * 50 * EVENTS:,}"
    columns = ("", "p50", "p99", "p99.9", "idle loop: p50", "p99", "p99.9")
    title = f"Milliseconds by which a beat is late, {count} rows with concurrency=16"
    report.tables = [Table(title, columns, tuple(rows))]
    worst = max(figures[2] for name, figures in report.figures.items() if name.startswith("exporting"))
    report.targets = [Target("the loop's lag while exporting to any format, p99.9", 3, worst, unit=" ms")]
    return report


if __name__ == "__main__":
    asyncio.run(idle())
