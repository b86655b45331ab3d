"""taskiq: an export of all sessions by many workers, which keep to the key's quota together through the same Redis.

    export ISNOTAI_API_KEY=… ISNOTAI_REDIS_URL=redis://127.0.0.1:6379/0
    taskiq worker examples.taskiq_app:broker     # on as many machines as share the folder
    python -m examples.taskiq_app FOLDER         # plans, queues, waits, writes the manifest; again: what is missing

``isnotai worker`` and ``isnotai export --workers`` do the same without a line of code.
"""

import asyncio
import os
import sys
from pathlib import Path

import isnotai_async as isnotai
from isnotai_async.workers import JobProgress, describe_job, make_plan, merge_partitions, run_job
from isnotai_async.workers.taskiq import make_broker, open_queue

URL = os.environ.get("ISNOTAI_REDIS_URL", "redis://127.0.0.1:6379/0")

broker = make_broker(URL)


def tell(news: JobProgress) -> None:
    """Say how far it is."""
    sys.stderr.write(f"{news.parts_done} of {news.parts} parts, {news.rows:,} events\n")


async def export_all(folder: Path) -> None:
    """Export every session of the key into a folder of Parquet files."""
    async with isnotai.RedisLimiter.from_url(URL) as limiter, isnotai.Client(limiter=limiter) as client:
        job = await describe_job(client, client.list_sessions(), format="parquet", size=50)
        plan = await make_plan(client, client.list_sessions(), folder, job)
    async with open_queue(URL, folder) as queue:
        await run_job(plan, queue, on_progress=tell)
    report = await merge_partitions(folder)
    sys.stdout.write(f"{report.rows:,} events of {report.sessions:,} sessions in {report.parts:,} parts\n")


if __name__ == "__main__":
    asyncio.run(export_all(Path(sys.argv[1]).absolute()))
