"""Two syncs into one store, in a process of its own: the cost of a row, and of a night on which nothing happens."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import isnotai_async as isnotai


async def sync(case: dict[str, Any]) -> dict[str, Any]:
    """Sync into a temporary folder.

    Args:
        case: ``base_url`` and ``key``.
    """
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "events.db"
        async with isnotai.Client(case["key"], base_url=case["base_url"], limiter=isnotai.Unlimited()) as client:
            begun, cpu = time.perf_counter(), time.process_time()
            report = await isnotai.update_store(client, to, concurrency=16)
            took, cpu = time.perf_counter() - begun, time.process_time() - cpu
            quiet = await isnotai.update_store(client, to, concurrency=16)
            listing = [page async for page in client.list_sessions(page_size=100).pages()]
        size = to.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    night = {"requests": quiet.requests, "audited": quiet.audited, "listing": len(listing)}
    return {"took": took, "cpu": cpu, "size": size, "peak": peak, "rows": report.rows, "night": night}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(sync(json.loads(sys.stdin.read())))))
