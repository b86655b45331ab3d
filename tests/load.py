"""Workers that are always behind with their work, and what the server saw of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import isnotai_async as isnotai
from isnotai_async.sandbox import RegionStats

Worker = Callable[[isnotai.Client], Coroutine[Any, Any, None]]


async def call(client: isnotai.Client) -> None:
    """Ask single questions for ever."""
    while True:
        await client.get_session("big-1")


async def find_walk(client: isnotai.Client) -> Worker:
    """Find the place from which a walk is bulk work only: its first page counts as a single call."""
    walked = client.list_events("big-100000", page_size=1)
    async for _ in walked:
        break
    position = walked.position

    async def walk(client: isnotai.Client) -> None:
        async for _ in client.list_events("big-100000", page_size=1, resume=position).pages():
            pass

    return walk


async def saturate(client: isnotai.Client, worker: Worker, *, workers: int, seconds: float) -> None:
    """Let so many work at once, for so many seconds."""
    tasks = [asyncio.create_task(worker(client)) for _ in range(workers)]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def max_in_window(stats: RegionStats, window: float) -> int:
    """The most arrivals in any window, its beginning excluded and its end included."""
    arrivals, first, most = stats.arrivals, 0, 0
    for last, arrival in enumerate(arrivals):
        while arrivals[first] <= arrival - window:
            first += 1
        most = max(most, last - first + 1)
    return most
