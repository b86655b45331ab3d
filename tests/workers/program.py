"""A worker as a program, for tests that kill it: ``python -m tests.workers.program OPTIONS`` (JSON)."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from isnotai_async._client import Client
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async.workers.taskiq import make_broker, run_worker


@asynccontextmanager
async def open_source() -> AsyncIterator[Client]:
    async with Client(limiter=Unlimited()) as client:
        yield client


async def main(options: dict[str, Any]) -> None:
    """Work until SIGTERM."""
    parts = options.pop("parts", 2)
    stop = anyio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_worker(make_broker(**options, open_source=open_source), stop, parts=parts)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
