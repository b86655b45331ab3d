"""One large session across 50 ms, walked by one reader, and in parts by several.

The sandbox serves it, because the plan of the parts needs its details. Latency is drawn from 45 to 55 ms. Each case
is a fresh process; that the rows are the same, and their order where that is promised, is checked by hash.
"""

from __future__ import annotations

import json
from typing import Any, Final

from benchmarks.harness import CLIENT_CORE, Report, Table, Target, run_module
from benchmarks.page_server import EVENTS
from benchmarks.sandbox_server import sandbox_server

_WHOLE: Final = "one walk"
CASES: Final[dict[str, dict[str, Any]]] = {
    _WHOLE: {},
    "split=4": {"split": 4},
    "split=16": {"split": 16},
    "split=16, ordered": {"split": 16, "ordered": True},
}


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    pages = 80 if quick else 160
    report, rows = Report(), list[tuple[str, ...]]()
    with sandbox_server(latency=(0.045, 0.055)) as (base_url, key):
        for name, options in CASES.items():
            given = {"base_url": base_url, "key": key, "sessions": [f"big-{pages * EVENTS}"], "hash": True}
            report.figures[name] = figures = run_module(
                "read_stream", given=json.dumps(given | {"options": options}), core=CLIENT_CORE
            )
            whole = report.figures[_WHOLE]
            figures["speedup"] = whole["took"] / figures["took"]
            same = ["same" if whole[what] == figures[what] else "other" for what in ("rows", "order")]
            rows.append((name, f"{figures['took']:.2f}", f"{figures['speedup']:.1f}", *same))
    report.tables = [
        Table(f"A session of {pages} pages", ("read", "seconds", "x one walk", "rows", "order"), tuple(rows))
    ]
    speedup = report.figures["split=16"]["speedup"]
    exact = sum(cells[3] == "same" for cells in rows)
    report.targets = [
        Target("split=16, against one walk", 10, speedup, at_least=True, unit=" x"),
        Target("ways to read it that give the same rows, of 4", len(CASES), exact, at_least=True),
    ]
    return report
