"""Peak memory of walks and streams of growing size: it has to stay flat.

Pages are prebuilt; each row is a fresh process, whose peak resident size the operating system gives (`ru_maxrss`).
The first row is the price of importing, opening and one page.
"""

from __future__ import annotations

import json
from typing import Any, Final

from benchmarks.harness import CLIENT_CORE, KEY, Report, Table, Target, run_module
from benchmarks.page_server import EVENTS, page_server, session_id

_PAGES: Final = 100
SESSIONS: Final = (0, 1, 10, 100)  # of 10,000 events each


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    report, rows = Report(), list[tuple[str, ...]]()
    with page_server() as server:
        for count in SESSIONS[:3] if quick else SESSIONS:
            names = [session_id(number, pages=_PAGES) for number in range(count)]
            given: dict[str, Any] = {"base_url": server.base_url, "key": KEY}
            given |= {"sessions": names or [session_id(0, pages=1)], "options": {"concurrency": 16}, "hash": False}
            figures = run_module("read_stream", given=json.dumps(given), core=CLIENT_CORE)
            events = count * _PAGES * EVENTS
            report.figures[f"{events}"] = figures
            rows.append((f"{events or EVENTS:,}", f"{figures['peak']:.1f}", f"{figures['took']:.1f}"))
    peaks = [figures["peak"] for figures in report.figures.values()]
    report.tables = [Table("Streaming with concurrency=16", ("events", "peak MiB", "seconds"), tuple(rows))]
    report.targets = [
        Target("peak memory, the largest stream against 100,000 events", 1.1, peaks[-1] / peaks[2], unit=" x")
    ]
    return report
