# /// script
# requires-python = ">=3.11"
# dependencies = ["isnotai-async[redis]"]
# ///
"""One part, as a program of its own: for queues that cannot share an environment with this package.

Any worker of any queue that can start a program can export parts: it gives a partition to stdin and looks at the exit
code. 0: the part is finished (now or before). 75: not yet; the same task should come again in a while, because
another worker is at the part or the API cannot be asked now. Anything else is an error, on stderr.

    ISNOTAI_API_KEY=… ISNOTAI_REDIS_URL=redis://… uv run examples/export_part.py FOLDER <partition.json

With ISNOTAI_REDIS_URL the quota is shared with all others that have it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import isnotai_async as isnotai
from isnotai_async.workers import Outcome, Partition, export_partition

LATER = 75  # EX_TEMPFAIL of sysexits.h


@asynccontextmanager
async def open_client() -> AsyncIterator[isnotai.Client]:
    """Open a client with the environment's key, and its share of the quota."""
    if url := os.environ.get("ISNOTAI_REDIS_URL"):
        async with isnotai.RedisLimiter.from_url(url) as limiter, isnotai.Client(limiter=limiter) as client:
            yield client
    else:
        async with isnotai.Client() as client:
            yield client


async def main(folder: str) -> int:
    """Export the partition that stdin has."""
    partition = Partition.from_json(sys.stdin.read())
    try:
        async with open_client() as client:
            result = await export_partition(client, partition, folder)
    except (isnotai.TransportError, isnotai.RateLimitedError, isnotai.ServerError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program
        return LATER
    return 0 if result.outcome in {Outcome.DONE, Outcome.FOUND} else LATER


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(sys.argv[1])))
    except isnotai.IsNotAIError as error:
        sys.exit(f"{type(error).__name__}: {error}")
