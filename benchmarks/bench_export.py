"""Rows a second into a durable file, and peak memory, by format; each a fresh process, against prebuilt pages.

Every page is on the disk before the checkpoint says so, so the disk counts for much: the CPU a row is next to it. The
simplest script that a person would write (`simple_export`) does the same work at the same concurrency, with no
checkpoint, nothing synced and no way to go on; the two take turns, and the ratios are taken turn by turn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.harness import CLIENT_CORE, KEY, Report, Table, Target, ratio, run_module
from benchmarks.page_server import EVENTS, page_server, session_id

_FORMATS: Final = ("jsonl", "csv", "parquet")
_PAGES: Final = 50
_WAYS: Final = {"export_events": "write_export", "simplest script": "simple_export"}


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    few, many, rounds = (2, 6, 1) if quick else (40, 60, 2)  # 10 fill a segment of Parquet, 40 all its buffers
    report, rows = Report(), list[tuple[str, ...]]()
    with page_server() as server:
        for file_format in _FORMATS:
            small = measure("write_export", server.base_url, file_format, few)["peak"]
            turns: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
            for _ in range(rounds):
                for way, module in _WAYS.items():
                    turns[way].append(measure(module, server.base_url, file_format, many))
            for way, found in turns.items():
                rows.append(_line(f"{file_format}, {way}", found, turns["simplest script"]))
            growth = max(figures["peak"] for figures in turns["export_events"]) / small
            report.figures[file_format] = turns | {"rows": many * _PAGES * EVENTS, "growth": growth}
            name = f"peak memory of an export to {file_format}, {many / few:g} times as many rows"
            report.targets.append(Target(name, 1.15, growth, unit=" x"))
    columns = ("format, way", "rows/s", "CPU µs a row", "against the script", "MiB", "peak MiB")
    title = f"{many * _PAGES * EVENTS:,} rows with concurrency=16, {os.cpu_count()} processors"
    report.tables = [Table(title, columns, tuple(rows))]
    return report


def measure(module: str, base_url: str, file_format: str, count: int, *, pages: int = _PAGES) -> dict[str, Any]:
    """Export so many sessions in a process of its own."""
    sessions = [session_id(number, pages=pages) for number in range(count)]
    given = {"base_url": base_url, "key": KEY, "sessions": sessions, "format": file_format}
    figures: dict[str, Any] = run_module(module, given=json.dumps(given), core=CLIENT_CORE)
    return figures | {"rows": count * pages * EVENTS}


def _line(name: str, found: Sequence[dict[str, Any]], script: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    best = min(found, key=lambda figures: float(figures["took"]))
    times = ratio([figures["cpu"] for figures in found], [figures["cpu"] for figures in script])
    cpu = min(figures["cpu"] for figures in found) / best["rows"] * 1e6
    sizes = (f"{best['size'] / 2**20:.1f}", f"{max(figures['peak'] for figures in found):.0f}")
    return (name, f"{best['rows'] / best['took']:,.0f}", f"{cpu:.1f}", f"{times:.2f} x", *sizes)
