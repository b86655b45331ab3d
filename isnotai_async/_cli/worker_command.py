"""The command `isnotai worker`: do the tasks of a distributed export."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from isnotai_async._cli.distributed_export import read_redis_url, told_log
from isnotai_async._cli.options import Connection, open_client
from isnotai_async._cli.output import say
from isnotai_async._client import Client
from isnotai_async._ratelimit.redis.limiter import RedisLimiter
from isnotai_async.errors import quoted


async def worker(
    url: Annotated[str | None, Parameter()] = None,
    /,
    *,
    queue: str = "isnotai",
    concurrency: int = 16,
    parts: int = 2,
    root: Path | None = None,
    connection: Connection = Connection(),
) -> None:
    """Export parts for ``isnotai export --workers``, until Ctrl-C or SIGTERM.

    All workers of a key keep to its quota together. What is under way at the end is committed, and another worker
    goes on with it within a minute.

    Parameters
    ----------
    url
        URL of Redis; default the environment's ISNOTAI_REDIS_URL, where a password is not seen by others.
    queue
        Name of the queue.
    concurrency
        Most requests in flight.
    parts
        Parts to work at at a time.
    root
        Where this machine has the folders of jobs, if not at the path that was given to the export.
    """
    from isnotai_async.workers.taskiq import make_broker, run_worker  # they need taskiq, an extra

    address = read_redis_url(url)

    @asynccontextmanager
    async def open_source() -> AsyncGenerator[Client, None]:
        async with RedisLimiter.from_url(address) as limiter, open_client(connection, limiter=limiter) as client:
            say(f"working for the queue {quoted(queue)}; Ctrl-C ends it")
            yield client

    share = max(1, concurrency // max(1, parts))
    broker = make_broker(address, queue=queue, open_source=open_source, root=root, concurrency=share)
    stop = anyio.Event()
    with told_log(logging.WARNING), _on_signals(stop.set):
        await run_worker(broker, stop, parts=parts)


@contextmanager
def _on_signals(call: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
