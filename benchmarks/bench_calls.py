"""What this package adds to a single call, against aiohttp alone: the wait of one caller, on an idle loop.

The answer is a page of one event, so that decoding counts for little. Blocks of calls take turns; what is added is
the difference of the medians, block by block.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

import isnotai_async as isnotai
from benchmarks.harness import KEY, Report, Table, Target, percentile
from benchmarks.page_server import page_server, session_id
from benchmarks.peers import HEADERS

BLOCK: Final = 250
BYTES, DICTS, PLAIN, OURS = "aiohttp, read()", "aiohttp, json()", "isnotai_async, Unlimited", "isnotai_async"

Call = Callable[[], Awaitable[object]]


async def measure(base_url: str, blocks: int) -> dict[str, list[list[float]]]:
    """Return the microseconds of each call, block by block."""
    session_name = session_id(1, pages=1, events=1)
    url = f"{base_url}/v1/sessions/{session_name}/events"
    found: dict[str, list[list[float]]] = {BYTES: [], DICTS: [], PLAIN: [], OURS: []}
    plain = isnotai.Client(KEY, base_url=base_url, limiter=isnotai.Unlimited())
    paced = isnotai.Client(KEY, base_url=base_url, limiter=isnotai.LocalLimiter(tier="enterprise", window=0.5))
    async with aiohttp.ClientSession() as session, plain as unlimited, paced as client:

        async def read_bytes() -> None:
            async with session.get(url, headers=HEADERS) as reply:
                await reply.read()

        async def read_dicts() -> None:
            async with session.get(url, headers=HEADERS) as reply:
                await reply.json()

        calls: dict[str, Call] = {
            BYTES: read_bytes,
            DICTS: read_dicts,
            PLAIN: lambda: unlimited.list_events(session_name),
            OURS: lambda: client.list_events(session_name),
        }
        for number in range(blocks + 1):
            for name, call in calls.items():
                times = await _time(call)
                if number:
                    found[name].append(times)
    return found


async def _time(call: Call) -> list[float]:
    times = list[float]()
    for _ in range(BLOCK):
        begun = time.perf_counter()
        await call()
        times.append((time.perf_counter() - begun) * 1e6)
    return times


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    with page_server() as server:
        server.watch()
        found = asyncio.run(measure(server.base_url, 4 if quick else 10))
        idle = server.idle
    medians = {name: [statistics.median(block) for block in blocks] for name, blocks in found.items()}
    rows, added = list[tuple[str, ...]](), dict[str, float]()
    for name, blocks in found.items():
        times = [each for block in blocks for each in block]
        added[name] = statistics.median(a - b for a, b in zip(medians[name], medians[BYTES], strict=True))
        cells = (statistics.median(times), percentile(times, 0.99), added[name])
        rows.append((name, *(f"{cell:.0f}" for cell in cells)))
    title = (
        f"One call after the other, {len(rows) and len(found[OURS]) * BLOCK:,} each; the server was idle {idle:.0%}"
    )
    table = Table(title, ("call", "p50 µs", "p99 µs", "added to read(), p50"), tuple(rows))
    target = Target("added to a single call, p50, against aiohttp alone", 30, added[OURS], unit=" µs")
    return Report([table], [target], {"medians": medians, "added": added})
