"""Exports the first part of a job, for tests of several processes: ``… exporter FOLDER BASE_URL KEY``."""

from __future__ import annotations

import asyncio
import sys

from isnotai_async._client import Client
from isnotai_async.workers import Plan, export_partition


async def main(folder: str, base_url: str, key: str) -> None:
    """Export it, and say how that ended."""
    plan = Plan.open(folder)
    assert plan is not None
    async with Client(key, base_url=base_url) as client:
        result = await export_partition(client, next(plan.read()), folder, concurrency=1)
    sys.stdout.write(result.outcome)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
