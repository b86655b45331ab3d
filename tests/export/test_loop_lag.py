"""An export leaves the event loop to others while its thread computes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable

from isnotai_async.export.thread import pause_between


def compute(items: Iterable[int]) -> None:
    for _ in items:
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass


async def median_lag(items: Iterable[int]) -> float:
    lags = list[float]()
    work = asyncio.get_running_loop().run_in_executor(None, compute, items)
    while not work.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.0005)
        lags.append(time.perf_counter() - begun)
    return statistics.median(lags)


async def test_a_thread_that_computes_gives_the_loop_its_turn() -> None:
    assert await median_lag(pause_between(range(300))) < 0.7 * await median_lag(range(300))
