"""Rows a second into a durable file, and peak memory, by format; each a fresh process, against prebuilt pages.

Every page is on the disk before the checkpoint says so, so the disk counts for much: the CPU a page is beside it.
"""

from __future__ import annotations

import json
import os
from typing import Final

from benchmarks.harness import CLIENT_CORE, KEY, Report, Table, Target, run_module
from benchmarks.page_server import EVENTS, page_server, session_id

_FORMATS: Final = ("jsonl", "csv", "parquet")
_PAGES: Final = 50


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    few, many = (2, 6) if quick else (4, 40)
    report, rows = Report(), list[tuple[str, ...]]()
    with page_server() as server:
        for file_format in _FORMATS:
            peaks = list[float]()
            for count in (few, many):
                sessions = [session_id(number, pages=_PAGES) for number in range(count)]
                given = {"base_url": server.base_url, "key": KEY, "sessions": sessions, "format": file_format}
                figures = run_module("write_export", given=json.dumps(given), core=CLIENT_CORE)
                peaks.append(figures["peak"])
            pages = many * _PAGES
            speed, cpu = pages * EVENTS / figures["took"], figures["cpu"] / pages * 1e6
            growth = peaks[1] / peaks[0]
            cells = (f"{speed:,.0f}", f"{cpu:.0f}", f"{figures['size'] / 2**20:.1f}")
            rows.append((file_format, f"{pages * EVENTS:,}", *cells, f"{peaks[0]:.0f}, {peaks[1]:.0f}"))
            report.figures[file_format] = figures | {"rows": pages * EVENTS, "growth": growth}
            name = f"peak memory of an export to {file_format}, {many // few} times as many rows"
            report.targets.append(Target(name, 1.15, growth, unit=" x"))
    columns = ("format", "rows", "rows/s", "CPU µs a page", "MiB", f"peak MiB (1/{many // few} of it, all)")
    report.tables = [Table(f"Exporting with concurrency=16, {os.cpu_count()} processors", columns, tuple(rows))]
    return report
