"""How much of the quota is used, and what it costs in 429s: whole windows, the server's own log as witness.

Windows are scaled down, to keep within minutes: for whole ones set ``BENCHMARK_WINDOW=60`` (ten minutes in all). The
higher a tier, the more of its requests a second a small window takes, so it is smallest for the lowest tier.

64 workers that are always behind with their work, random latency up to a three-hundredth of the window (200 ms of a
minute). Each line is a process of its own with a sandbox, and all run at once; "two programs" are two clients that
know nothing of each other, and so have a limiter each.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, Literal

from attrs import evolve, frozen

import isnotai_async as isnotai
from benchmarks.harness import Report, Table, Target, pin_to_all

_WORKERS: Final = 64
# As all lines run at once, together they must not need more than the processors have: those of 6 s for each tier did.
_WINDOWS: Final = {isnotai.Tier.FREE: 6, isnotai.Tier.PRO: 12, isnotai.Tier.ENTERPRISE: 24}
_COUNTS: Final = {isnotai.Tier.FREE: 8, isnotai.Tier.PRO: 4, isnotai.Tier.ENTERPRISE: 2}

Work = Callable[[isnotai.Client], Coroutine[Any, Any, None]]


@frozen
class Case:
    """One line.

    Attributes:
        tier: Tier of the key, known to the client.
        work: Single calls, or walks (bulk work).
        counter: How the server counts.
        programs: How many share the key.
        windows: For how many windows.
    """

    tier: isnotai.Tier
    work: Literal["calls", "walks"]
    counter: Literal["log", "approximate"] = "log"
    programs: int = 1
    windows: int = 5

    @property
    def window(self) -> float:
        """Seconds of a window."""
        return float(os.environ.get("BENCHMARK_WINDOW", _WINDOWS[self.tier]))


@frozen
class Outcome:
    """What the server saw of one case."""

    requests: int
    rejected: int
    most: int


CASES: Final = [
    *(
        evolve(case, windows=_COUNTS[tier])
        for tier in isnotai.Tier
        for case in (Case(tier, "calls"), Case(tier, "walks"), Case(tier, "walks", "approximate"))
    ),
    *(Case(tier, "walks", programs=2, windows=_COUNTS[tier]) for tier in (isnotai.Tier.FREE, isnotai.Tier.PRO)),
]


async def _call(client: isnotai.Client) -> None:
    while True:
        await client.get_session("big-1")


async def _find_walk(client: isnotai.Client) -> Work:
    # From its second page on, because the first page of a walk counts as a single call.
    walked = client.list_events("big-1000000", page_size=1)
    async for _ in walked:
        break
    position = walked.position

    async def walk(client: isnotai.Client) -> None:
        async for _ in client.list_events("big-1000000", page_size=1, resume=position).pages():
            pass

    return walk


async def _saturate(sandbox: isnotai.Sandbox, case: Case) -> None:
    limiter = isnotai.LocalLimiter(tier=case.tier, window=sandbox.window)
    client = isnotai.Client(
        sandbox.api_key, base_url=sandbox.base_url, limiter=limiter, deadline=None, max_concurrency=_WORKERS
    )
    async with client:
        work = _call if case.work == "calls" else await _find_walk(client)
        tasks = [asyncio.create_task(work(client)) for _ in range(_WORKERS)]
        done, _ = await asyncio.wait(tasks, timeout=case.windows * sandbox.window)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:  # none ends by itself, unless it fails
            task.result()


async def _measure(case: Case) -> Outcome:
    window = case.window
    sandbox = isnotai.Sandbox(
        tier=case.tier.value, window=window, counter=case.counter, latency=(0.0, window / 300), seed=case.tier.value
    )
    async with sandbox:
        await asyncio.gather(*(_saturate(sandbox, case) for _ in range(case.programs)))
        stats = sandbox.stats
        return Outcome(len(stats.arrivals), stats.rejected, _most_in_a_window(list(stats.arrivals), window))


def _most_in_a_window(arrivals: list[float], window: float) -> int:
    first, most = 0, 0
    for last, arrival in enumerate(arrivals):
        while arrivals[first] <= arrival - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def measure(case: Case) -> Outcome:
    """Measure one case; in a process of its own."""
    pin_to_all()
    return asyncio.run(_measure(case))


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    cases = [evolve(case, windows=2) for case in CASES if case.tier is isnotai.Tier.FREE] if quick else CASES
    with ProcessPoolExecutor(len(cases)) as pool:
        outcomes = list(pool.map(measure, cases))
    report, rows = Report(), list[tuple[str, ...]]()
    for case, seen in zip(cases, outcomes, strict=True):
        used = (seen.requests - seen.rejected) / (case.windows * case.tier.requests_per_minute)
        about = f"{case.tier}, {case.work}, {case.counter}" + (", two programs" if case.programs > 1 else "")
        counts = (f"{seen.requests:,}", f"{seen.rejected}", f"{seen.most:,}")
        rows.append((about, f"{case.windows} x {case.window:g} s", *counts, f"{used:.1%}"))
        report.figures[about] = {"used": used, "rejected": seen.rejected, "most": seen.most}
        if case.programs == 1 and not quick:  # a burst at the end of two windows counts for too much
            report.targets.append(Target(f"quota used: {about}", 98, used * 100, at_least=True, unit=" %"))
    refused = sum(seen.rejected for case, seen in zip(cases, outcomes, strict=True) if case.programs == 1)
    report.targets.append(Target("429s if one program uses the key", 0, refused))
    columns = ("tier, work, how the server counts", "windows", "requests", "429s", "most in a window", "quota used")
    report.tables.append(Table("Each tier saturated by 64 workers", columns, tuple(rows)))
    return report
