"""The sandbox in a process and on a processor of its own, with the quota lifted, where prebuilt pages will not do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import isnotai_async as isnotai
from benchmarks.harness import SERVER_CORE, background


async def _serve(least: float, most: float) -> None:
    async with isnotai.Sandbox(rate_limit=None, compress=False, latency=(least, most)) as sandbox:
        print(json.dumps([sandbox.base_url, sandbox.api_key]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def sandbox_server(latency: tuple[float, float] = (0.0, 0.0)) -> Iterator[tuple[str, str]]:
    """Run the server; gives its base URL and key.

    Args:
        latency: Least and most seconds by which each answer is held back.
    """
    with background("sandbox_server", *map(str, latency), core=SERVER_CORE) as process:
        assert process.stdout is not None
        base_url, key = json.loads(process.stdout.readline())
        yield base_url, key


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2])))
