"""What a sync costs: a row of its first run against an export's, and a later night on which nothing happens.

Sync and exports take turns, each in a fresh process, against prebuilt pages. A quiet night has 1,000 sessions that
were read before: it costs the requests of its listing, and 20 for the audit.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from benchmarks.bench_export import measure
from benchmarks.harness import CLIENT_CORE, KEY, Report, Table, Target, ratio, run_module
from benchmarks.page_server import EVENTS, page_server

_PAGES: Final = 50
_EXPORTS: Final = ("jsonl", "sqlite")
_SESSIONS: Final = 1_000


def run(*, quick: bool) -> Report:
    """Measure; two tables."""
    count, rounds = (6, 1) if quick else (20, 2)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in ("sync", *_EXPORTS)}
    with page_server() as server:
        for _ in range(rounds):
            turns["sync"].append(_sync(f"{server.base_url}/{count}.{_PAGES}x{EVENTS}"))
            for name in _EXPORTS:
                turns[name].append(measure("write_export", server.base_url, name, count, pages=_PAGES))
        night = _sync(f"{server.base_url}/{_SESSIONS}.1x{EVENTS}")["night"]
    rows, own = count * _PAGES * EVENTS, night["requests"] - night["audited"]
    costs = Table(
        f"{rows:,} rows with concurrency=16, {os.cpu_count()} processors",
        ("way", "rows/s", "CPU µs a row", "against the export to jsonl", "bytes a row", "peak MiB"),
        tuple(_line(name, found, turns["jsonl"], rows) for name, found in turns.items()),
    )
    quiet = Table(
        f"A quiet night of {_SESSIONS:,} sessions",
        ("listing alone", "sync", "of them the audit", "against the listing"),
        ((f"{night['listing']}", f"{night['requests']}", f"{night['audited']}", f"{own / night['listing']:.2f} x"),),
    )
    name = "requests of a quiet night's sync against its listing's, the audit's 20 apart"
    target = Target(name, 1.05, own / night["listing"], unit=" x")
    return Report(tables=[costs, quiet], targets=[target], figures=turns | {"night": night})


def _sync(base_url: str) -> dict[str, Any]:
    given = json.dumps({"base_url": base_url, "key": KEY})
    figures: dict[str, Any] = run_module("write_sync", given=given, core=CLIENT_CORE)
    return figures


def _line(name: str, found: list[dict[str, Any]], export: list[dict[str, Any]], rows: int) -> tuple[str, ...]:
    best = min(found, key=lambda figures: float(figures["took"]))
    times = ratio([figures["cpu"] for figures in found], [figures["cpu"] for figures in export])
    cpu = min(figures["cpu"] for figures in found) / rows * 1e6
    peak = max(figures["peak"] for figures in found)
    return (
        name,
        f"{rows / best['took']:,.0f}",
        f"{cpu:.1f}",
        f"{times:.2f} x",
        f"{best['size'] / rows:.0f}",
        f"{peak:.0f}",
    )
