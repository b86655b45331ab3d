"""How much of the quota is used, and what it costs in 429s: whole windows, the server's own log as witness.

    python -m benchmarks.bench_quota            # windows of a minute: ten minutes
    python -m benchmarks.bench_quota 6          # scaled to six seconds: one minute; tells less of the higher tiers

64 workers that are always behind with their work, random latency up to a three-hundredth of the window (200 ms of a
minute). Each line is a process of its own with a sandbox, and all run at once; "two programs" are two clients that
know nothing of each other, and so have a limiter each.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Final, Literal

from attrs import frozen

import isnotai_async as isnotai

_WORKERS: Final = 64

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


@frozen
class Outcome:
    """What the server saw of one case."""

    requests: int
    rejected: int
    most: int


CASES: Final = [
    *(
        case
        for tier in isnotai.Tier
        for case in (Case(tier, "calls"), Case(tier, "walks"), Case(tier, "walks", "approximate"))
    ),
    *(Case(tier, "walks", programs=2, windows=10) for tier in (isnotai.Tier.FREE, isnotai.Tier.PRO)),
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


async def _measure(case: Case, window: float) -> Outcome:
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


def run(case: Case, window: float) -> Outcome:
    """Measure one case; in a process of its own."""
    return asyncio.run(_measure(case, window))


def main() -> None:
    window = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with ProcessPoolExecutor(len(CASES)) as pool:
        outcomes = list(pool.map(partial(run, window=window), CASES))
    print(f"windows of {window:g} s")
    head = ("tier", "work", "server counts by", "programs", "windows", "requests", "429", "most/window", "quota used")
    print("{:<11}{:<7}{:<18}{:>8}{:>9}{:>10}{:>7}{:>13}{:>12}".format(*head))
    for case, seen in zip(CASES, outcomes, strict=True):
        used = (seen.requests - seen.rejected) / (case.windows * case.tier.requests_per_minute)
        print(
            f"{case.tier:<11}{case.work:<7}{case.counter:<18}{case.programs:>8}{case.windows:>9}"
            f"{seen.requests:>10}{seen.rejected:>7}{seen.most:>13}{used:>12.1%}"
        )


if __name__ == "__main__":
    main()
