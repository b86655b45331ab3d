"""taskiq, as it comes: a task exports one shard; all workers keep to one quota through the Redis of the queue.

A queue delivers a task at least once. If a shard is delivered twice, its second run waits for the first one and then
finds the finished file: nothing is written twice. If Redis loses its tasks, give the job to the queue again.

    pip install "isnotai-async[redis]" taskiq taskiq-redis
    export ISNOTAI_API_KEY=… ISNOTAI_REDIS_URL=redis://127.0.0.1:6379/0
    taskiq worker examples.taskiq_shards:broker      # on as many machines as share the folder
    python -m examples.taskiq_shards FOLDER 20       # gives the tasks to the queue, and waits for them
"""

import asyncio
import os
import sys
from pathlib import Path

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

import isnotai_async as isnotai

URL = os.environ.get("ISNOTAI_REDIS_URL", "redis://127.0.0.1:6379/0")
SECONDS = 1.0  # between two looks at a shard that another worker has
IDLE_SECONDS = int(os.environ.get("IDLE_SECONDS", "60"))  # until a task is delivered again, its worker dead or not

broker = RedisStreamBroker(
    URL,
    idle_timeout=IDLE_SECONDS * 1000,
    unacknowledged_lock_timeout=60,  # without it, a worker killed at the wrong moment stops that for all
).with_result_backend(RedisAsyncResultBackend(URL))


@broker.task("isnotai:export_shard")  # named, because the worker imports this file under another name
async def export_shard(number: int, shards: int, folder: str) -> int:
    """Export the shard of this number, from 1; return its rows."""
    target = Path(folder) / f"events-{number}-of-{shards}.parquet"
    async with isnotai.RedisLimiter.from_url(URL) as limiter, isnotai.Client(limiter=limiter) as client:
        while True:
            try:
                report = await isnotai.export_events(client, client.list_sessions(), target, shard=(number, shards))
            except isnotai.ExportLockedError:
                await asyncio.sleep(SECONDS)
                continue
            if report.is_complete:
                return report.rows


async def main(folder: Path, shards: int) -> None:
    """Queue all shards, and wait until each is finished."""
    await broker.startup()
    tasks = [await export_shard.kiq(number, shards, str(folder)) for number in range(1, shards + 1)]
    results = [await task.wait_result(timeout=86_400) for task in tasks]
    await broker.shutdown()
    print(f"{sum(result.return_value for result in results):,} events in {shards} files")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).absolute(), int(sys.argv[2])))
