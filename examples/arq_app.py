# /// script
# requires-python = ">=3.11"
# dependencies = ["arq>=0.28,<0.29"]
# ///
"""arq: its jobs start `export_part.py`, because arq needs another redis-py than this package's extra.

    uv run examples/plan_parts.py FOLDER | uv run examples/arq_app.py queue FOLDER
    uv run examples/arq_app.py work                                  # as many as you like, where FOLDER is shared
    uv run examples/plan_parts.py FOLDER                             # the manifest, when nothing is missing

EXPORT_PART is how a part is exported; default ``uv run examples/export_part.py``.
"""

import asyncio
import os
import shlex
import sys
from typing import Any

from arq import Retry, create_pool, func, run_worker  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]

REDIS = RedisSettings.from_dsn(os.environ.get("ISNOTAI_REDIS_URL", "redis://127.0.0.1:6379/0"))
EXPORT_PART = shlex.split(os.environ.get("EXPORT_PART", "uv run examples/export_part.py"))
LATER = 75


async def export_part(_: dict[str, Any], partition: str, folder: str) -> None:
    """Export a part in a process of its own; what is not finished comes again."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*EXPORT_PART, folder, stdin=pipe, stderr=pipe)
    try:
        said = (await process.communicate(partition.encode()))[1]
    finally:
        if process.returncode is None:
            process.terminate()  # the worker ends: the part is gone on with by the next one
    if process.returncode == LATER:
        raise Retry(defer=30)
    if process.returncode:
        raise RuntimeError(said.decode())


class Work:
    """Settings of the worker."""

    functions = [func(export_part, timeout=3_600, max_tries=1_000)]  # noqa: RUF012 - as arq wants it
    redis_settings = REDIS
    max_jobs = 2


async def queue(folder: str) -> None:
    """Queue the partitions that stdin has. A job's id is its part's, so that none is queued twice."""
    redis = await create_pool(REDIS)
    for line in sys.stdin:
        await redis.enqueue_job("export_part", line, os.path.abspath(folder), _job_id=line[:80])  # noqa: ASYNC240, PTH100
    await redis.aclose()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["queue", folder]:
            asyncio.run(queue(folder))
        case _:
            asyncio.set_event_loop(asyncio.new_event_loop())  # arq looks for one
            run_worker(Work)
