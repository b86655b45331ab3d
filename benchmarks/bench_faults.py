"""5,000 pages walked while three in ten answers fail: is anything lost or repeated, and what does it cost?

The faults are a mix of resets, cut and unreadable bodies, 5xx, an HTML page, and 429s with and without
``Retry-After``. A walk whose call failed for good is iterated again and goes on. Windows are scaled from a minute to
0.6 s.
"""

from __future__ import annotations

import asyncio
import time

import isnotai_async as isnotai
from benchmarks.harness import Report, Table, Target
from isnotai_async.sandbox import Fault

WALKS = 10
FAULTS = (
    Fault.reset(),
    Fault.cut_body(),
    Fault.cut_body(chunked=True),
    Fault.status(500),
    Fault.status(503, retry_after=0),
    Fault.html(502),
    Fault.garbage(),
    Fault.captive_portal(),
    Fault.rate_limited(),
    Fault.rate_limited(0),
)


async def walk(client: isnotai.Client, session: str) -> tuple[list[str], int]:
    """Walk the session to its end; returns the event ids and how often the walk had to be gone on with."""
    found, resumed = list[str](), 0
    events = client.list_events(session, page_size=2)
    while True:
        try:
            async for event in events:
                found.append(event.event_id)
        except (isnotai.APIError, isnotai.TransportError, isnotai.DecodeError):
            resumed += 1
            continue
        return found, resumed


async def measure(pages: int) -> Report:
    """Walk and count."""
    session = f"big-{2 * pages}"
    async with isnotai.Sandbox(seed=5, window=0.6) as sandbox:
        limiter = isnotai.LocalLimiter(tier="enterprise", window=0.6)
        retry = isnotai.Retry(base=0.001, cap=0.01)
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter, retry=retry) as client:
            whole = [event.event_id async for event in client.list_events(session)]
            for fault in FAULTS:
                sandbox.inject(fault, probability=0.035)
            before, begun = sandbox.stats.requests, time.perf_counter()
            walks = await asyncio.gather(*(walk(client, session) for _ in range(WALKS)))
            requests, seconds = sandbox.stats.requests - before, time.perf_counter() - begun
    exact = sum(found == whole for found, _ in walks)
    resumed, failed = sum(times for _, times in walks), requests - WALKS * pages
    columns = ("pages", "requests", "failed", "walks exact", "gone on with", "seconds")
    cells = (f"{WALKS * pages:,}", f"{requests:,}", f"{failed / requests:.0%}", f"{exact} of {WALKS}")
    table = Table("Three in ten answers fail", columns, ((*cells, f"{resumed}", f"{seconds:.0f}"),))
    target = Target("walks through faults that are exact, of 10", WALKS, exact, at_least=True)
    return Report(
        [table], [target], {"pages": WALKS * pages, "requests": requests, "exact": exact, "resumed": resumed}
    )


def run(*, quick: bool) -> Report:
    """Measure; one row."""
    return asyncio.run(measure(100 if quick else 500))
