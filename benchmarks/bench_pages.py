"""CPU per page of a walk, beside the plain aiohttp loops one would write without this package.

All walk the same pages of 100 events from the same server, one request at a time, and look at every row; the server
is another process, so `process_time` counts the client alone. Rounds are interleaved, and ratios are taken round by
round, because machines drift.

    python -m benchmarks.bench_pages
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp

import isnotai_async as isnotai
from benchmarks.page_server import EVENTS, page_server

PAGES = 400
ROUNDS = 11
KEY = "aik_v1_" + "b" * 40
HEADERS = {"Authorization": f"Bearer {KEY}"}

Walk = Callable[[], Awaitable[int]]


async def read_bytes(session: aiohttp.ClientSession, url: str) -> int:
    """Follow the pages and decode nothing: the floor. The cursor is looked for in the tail of the body."""
    size, cursor = 0, ""
    while True:
        async with session.get(f"{url}?cursor={cursor}" if cursor else url, headers=HEADERS) as reply:
            body = await reply.read()
        size += len(body)
        tail = body[-120:]
        if b'"hasMore": false' in tail:
            return size
        cursor = tail.partition(b'"nextCursor": "')[2].partition(b'"')[0].decode()


async def read_dicts(session: aiohttp.ClientSession, url: str) -> int:
    """Follow the pages as the vendor's examples would: plain dicts, nothing checked."""
    total, params = 0, dict[str, str]()
    while True:
        async with session.get(url, params=params, headers=HEADERS) as reply:
            page = await reply.json()
        for row in page["data"]:
            total += row["payloadSize"]
        if not page["pagination"]["hasMore"]:
            return total
        params = {"cursor": page["pagination"]["nextCursor"]}


async def read_pages(client: isnotai.Client) -> int:
    """Follow the pages with this package, page by page."""
    total = 0
    async for page in client.list_events("s1").pages():
        for event in page.data:
            total += event.payload_size
    return total


async def read_events(client: isnotai.Client) -> int:
    """Follow the pages with this package, event by event."""
    total = 0
    async for event in client.list_events("s1"):
        total += event.payload_size
    return total


def walks(session: aiohttp.ClientSession, client: isnotai.Client, base_url: str) -> dict[str, Walk]:
    """Return the contestants; the first two are what the others are compared with."""
    url = f"{base_url}/v1/sessions/s1/events"
    return {
        "aiohttp, bytes only": lambda: read_bytes(session, url),
        "aiohttp + resp.json(), dicts": lambda: read_dicts(session, url),
        "isnotai_async, .pages()": lambda: read_pages(client),
        "isnotai_async, every event": lambda: read_events(client),
    }


async def measure(base_url: str) -> dict[str, list[float]]:
    """Return microseconds of CPU per page, round by round."""
    figures: dict[str, list[float]] = {}
    ours = isnotai.Client(KEY, base_url=base_url, limiter=isnotai.Unlimited())
    async with aiohttp.ClientSession() as session, ours as client:
        for number in range(ROUNDS + 1):
            for name, walk in walks(session, client, base_url).items():
                begun = time.process_time()
                await walk()
                if number:  # the first round warms up
                    figures.setdefault(name, []).append((time.process_time() - begun) / PAGES * 1e6)
    return figures


def main() -> None:
    """Measure and print the table."""
    with page_server(PAGES) as base_url:
        figures = asyncio.run(measure(base_url))
    floor, dicts, *_ = figures.values()
    print(f"CPU per page of {EVENTS} events: {PAGES} pages a round, median of {ROUNDS} rounds")
    print(f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {platform.machine()}\n")
    print("| walk | µs a page | min to max | x bytes only | x resp.json() |")
    print("|---|---:|---:|---:|---:|")
    for name, values in figures.items():
        to_floor = statistics.median(a / b for a, b in zip(values, floor, strict=True))
        to_dicts = statistics.median(a / b for a, b in zip(values, dicts, strict=True))
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"| {name} | {statistics.median(values):.0f} | {spread} | {to_floor:.2f} | {to_dicts:.2f} |")


if __name__ == "__main__":
    main()
