"""Many sessions across a slow network: how near the time comes to what the round trips alone would take.

The ideal is pages x round trip / readers, with the median round trip of single requests as measured just before.
The answers are held back by a random time around the round trip: with a constant one all answers would come in the
same instant, which no network does. Each row is a fresh process, the median of several by time. The lag is that of
all of them together: one has a thousand beats or two, and so one or two that would decide.

Beside the lag of the loop that streams stands that of an idle process on the server's processor at the same time, and
before it that of an idle process on the client's own: the machine's share.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from attrs import frozen

from benchmarks.harness import (
    CLIENT_CORE,
    KEY,
    SERVER_CORE,
    Report,
    Table,
    Target,
    background,
    percentile,
    run_module,
)
from benchmarks.page_server import page_server, session_id

_READERS: Final = 64
_PAGES: Final = 5


@frozen
class Case:
    """One row.

    Attributes:
        round_trip: Milliseconds, in the mean.
        jitter: Part of it that is random, to both sides.
        sessions: How many, of five pages each.
        rounds: How often.
    """

    round_trip: int
    jitter: float
    sessions: int
    rounds: int = 1

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.round_trip} ms ± {self.jitter:.0%}, {self.sessions:,} sessions of {_PAGES} pages"


CASES: Final = (Case(20, 0.1, 1_000), Case(50, 0.1, 1_000, 3), Case(200, 0.5, 200))
MAIN: Final = CASES[1]


def measure(case: Case) -> dict[str, Any]:
    """Stream, and tell how it went; the median of the rounds by time."""
    middle, half = case.round_trip / 1e3, case.round_trip / 1e3 * case.jitter
    with page_server((middle - half, middle + half)) as server:
        found = list[dict[str, Any]]()
        sessions = [session_id(number, pages=_PAGES) for number in range(case.sessions)]
        given = {"base_url": server.base_url, "key": KEY, "sessions": sessions, "hash": False, "lags": True}
        given["options"] = {"concurrency": _READERS}
        for _ in range(case.rounds):
            server.watch()
            with background("read_stream", "stand by", core=SERVER_CORE) as bystander:
                figures = run_module("read_stream", given=json.dumps(given), core=CLIENT_CORE)
                beside = json.loads(bystander.communicate("")[0])["lag"]
            found.append(figures | {"beside": beside, "idle": server.idle})
    lags = [lag for figures in found for lag in figures.pop("lags")]
    middle_one = sorted(found, key=lambda figures: float(figures["took"]))[case.rounds // 2]
    return middle_one | {"lag": percentile(lags, 0.999)}


def _measure_idle_lag(seconds: float) -> float:
    with background("read_stream", "stand by", core=CLIENT_CORE) as bystander:
        time.sleep(seconds)
        return float(json.loads(bystander.communicate("")[0])["lag"])


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    report, rows, alone = Report(), list[tuple[str, ...]](), _measure_idle_lag(2 if quick else 4)
    for case in (MAIN,) if quick else CASES:
        figures = measure(case)
        figures["ideal"] = case.sessions * _PAGES * figures["round_trip"] / _READERS
        share, trip = figures["ideal"] / figures["took"], figures["round_trip"] * 1e3
        busy = figures["cpu"] / figures["took"]
        lags = f"{figures['lag']:.1f} ({alone:.1f}, {figures['beside']:.1f})"
        rows.append((case.name, f"{trip:.1f}", f"{figures['took']:.2f}", f"{share:.1%}", f"{busy:.0%}", lags))
        report.figures[case.name] = figures | {"share": share, "alone": alone}
        if case is MAIN:
            report.targets = [
                Target("1,000 sessions, 64 at once, 50 ms: of the ideal", 95, share * 100, at_least=True, unit=" %"),
                Target("the loop's lag in that time, p99.9", 5, figures["lag"], unit=" ms"),
            ]
    columns = (
        "64 readers",
        "round trip ms",
        "seconds",
        "of the ideal",
        "CPU",
        "lag p99.9 ms (idle alone, idle next to it)",
    )
    report.tables = [Table("Across a slow network", columns, tuple(rows))]
    return report
