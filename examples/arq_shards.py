# /// script
# requires-python = ">=3.11"
# dependencies = ["arq>=0.28,<0.29", "isnotai-async[arrow]"]
# ///
"""arq: a job exports one shard. arq needs an older redis-py than `RedisLimiter`, so the quota is shared by fractions.

If a job runs twice, its second run finds the finished file, or is tried again while the first one has it.

    uv run examples/arq_shards.py queue FOLDER 20     # gives the jobs to the queue
    uv run examples/arq_shards.py work 4              # one of 4 workers, where FOLDER is shared
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from arq import Retry, create_pool, func, run_worker  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]

import isnotai_async as isnotai

REDIS = RedisSettings.from_dsn(os.environ.get("ISNOTAI_REDIS_URL", "redis://127.0.0.1:6379/0"))


async def export_shard(context: dict[str, Any], number: int, shards: int, folder: str) -> int:
    """Export the shard of this number, from 1; return its rows."""
    target = Path(folder) / f"events-{number}-of-{shards}.parquet"
    async with isnotai.Client(quota=1 / context["workers"]) as client:
        try:
            report = await isnotai.export_events(client, client.list_sessions(), target, shard=(number, shards))
        except isnotai.ExportLockedError:
            raise Retry(defer=30) from None
    if not report.is_complete:
        raise Retry(defer=30)
    return report.rows


async def queue(folder: str, shards: int) -> None:
    """Queue all shards. A job's id is its shard's, so that none is queued twice."""
    redis = await create_pool(REDIS)
    for number in range(1, shards + 1):
        await redis.enqueue_job("export_shard", number, shards, folder, _job_id=f"{folder}:{number}-{shards}")
    await redis.aclose()


def work(workers: int) -> None:
    """Run one of so many workers."""
    job = func(export_shard, timeout=86_400, max_tries=1_000)
    run_worker({"functions": [job], "redis_settings": REDIS, "max_jobs": 1, "ctx": {"workers": workers}})


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["queue", folder, shards]:
            asyncio.run(queue(os.path.abspath(folder), int(shards)))  # noqa: PTH100 - not resolved, only absolute
        case ["work", workers]:
            work(int(workers))
        case _:
            sys.exit(__doc__)
