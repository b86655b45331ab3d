"""One export, in a process of its own; tells how long it took and the most memory it held."""

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


async def export(case: dict[str, Any]) -> dict[str, Any]:
    """Export into a temporary folder.

    Args:
        case: ``base_url``, ``key``, ``sessions`` and ``format``; and ``first``, sessions to export before the clock
            starts, so that nothing is imported any more.
    """
    client = isnotai.Client(case["key"], base_url=case["base_url"], limiter=isnotai.Unlimited())
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / f"events.{case['format']}"
        async with client:
            if case["first"]:
                await isnotai.export_events(client, case["first"], to.with_name(f"first.{case['format']}"))
            begun, cpu = time.perf_counter(), time.process_time()
            await isnotai.export_events(client, case["sessions"], to, concurrency=16)
            took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        size = to.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"took": took, "cpu": cpu, "size": size, "peak": peak, "whole": time.process_time()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(export(json.loads(sys.stdin.read())))))
