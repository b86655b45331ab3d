"""Rows a second into a durable file, and peak memory, by format; each a fresh process, against prebuilt pages.

Every page is on the disk before the checkpoint says so, so the disk counts for much: the CPU a row is next to it. The
simplest script that a person would write (`simple_export`) does the same work at the same concurrency, with no
checkpoint, nothing synced and no way to go on; the two take turns, and the ratios are taken turn by turn: once of an
export after another one in its process, and once of a whole process, the start of Python and all imports included.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.harness import CLIENT_CORE, KEY, Report, Table, Target, ratio, run_module
from benchmarks.page_server import EVENTS, page_server, session_id

_FORMATS: Final = {"jsonl": 0.6, "csv": 0.8, "parquet": 0.8}
"""Each with its target: CPU beside the script's, without start-up."""
_WHOLE: Final = 0.8  # with start-up, that of Python included, and 80,000 rows
_PAGES: Final = 50
_WAYS: Final = {"export_events": "write_export", "simplest script": "simple_export"}


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    sizes, rounds = ((2, 2, 6), 1) if quick else ((40, 16, 60), 2)
    report, rows = Report(), list[tuple[str, ...]]()
    with page_server() as server:
        for file_format in _FORMATS:
            rows += _compare(report, server.base_url, file_format, sizes=sizes, rounds=rounds)
    columns = ("format, way", "rows/s", "CPU µs a row", "against the script", "with start-up", "MiB", "peak MiB")
    title = f"{sizes[-1] * _PAGES * EVENTS:,} rows with concurrency=16, {os.cpu_count()} processors"
    report.tables = [Table(title, columns, tuple(rows))]
    return report


def _compare(
    report: Report, base_url: str, file_format: str, *, sizes: tuple[int, int, int], rounds: int
) -> list[tuple[str, ...]]:
    """Let both ways take turns; add figures and targets to the report, and return the lines of its table."""
    few, whole, many = sizes
    small, _ = (measure(module, base_url, file_format, few)["peak"] for module in _WAYS.values())  # warm from here
    turns: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    starts: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    for _ in range(rounds):
        for way, module in _WAYS.items():
            turns[way].append(measure(module, base_url, file_format, many, first=1))
            starts[way].append(measure(module, base_url, file_format, whole))
    ours, script = ([[each["cpu"] for each in turns[way]], [each["whole"] for each in starts[way]]] for way in _WAYS)
    ratios = {"export_events": tuple(map(ratio, ours, script)), "simplest script": (1.0, 1.0)}
    growth = max(figures["peak"] for figures in turns["export_events"]) / small
    report.figures[file_format] = turns | {
        "rows": many * _PAGES * EVENTS,
        "growth": growth,
        "against_script": ratios["export_events"],
    }
    name, count = f"export to {file_format}", f"{whole * _PAGES * EVENTS:,}"
    if file_format == "parquet":
        peak = max(figures["peak"] for figures in turns["export_events"])
        report.targets.append(Target(f"peak memory of an {name}", 120, peak, unit=" MiB"))
    for what, bound, figure in (
        (f"CPU of an {name}, against the simplest script", _FORMATS[file_format], ratios["export_events"][0]),
        (f"CPU of an {name} of {count} rows, start-up included, against it", _WHOLE, ratios["export_events"][1]),
        (f"peak memory of an {name}, {many / few:g} times as many rows", 1.15, growth),
    ):
        report.targets.append(Target(what, bound, figure, unit=" x"))
    return [_line(f"{file_format}, {way}", found, ratios[way]) for way, found in turns.items()]


def measure(
    module: str, base_url: str, file_format: str, count: int, *, pages: int = _PAGES, first: int = 0
) -> dict[str, Any]:
    """Export so many sessions in a process of its own; `first` are exported before the clock starts."""
    sessions = [session_id(number, pages=pages) for number in range(count)]
    given = {"base_url": base_url, "key": KEY, "sessions": sessions, "first": sessions[:first], "format": file_format}
    figures: dict[str, Any] = run_module(module, given=json.dumps(given), core=CLIENT_CORE)
    return figures | {"rows": count * pages * EVENTS}


def _line(name: str, found: Sequence[dict[str, Any]], ratios: tuple[float, ...]) -> tuple[str, ...]:
    best = min(found, key=lambda figures: float(figures["took"]))
    cpu = min(figures["cpu"] for figures in found) / best["rows"] * 1e6
    sizes = (f"{best['size'] / 2**20:.1f}", f"{max(figures['peak'] for figures in found):.0f}")
    return (name, f"{best['rows'] / best['took']:,.0f}", f"{cpu:.1f}", *(f"{each:.2f} x" for each in ratios), *sizes)
