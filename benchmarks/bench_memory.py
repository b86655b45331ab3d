"""Peak memory of walks of growing size: it has to stay flat.

The sandbox is a process of its own, with the quota lifted; each walk is a fresh process, whose peak resident size the
operating system gives (`ru_maxrss`). The first row is the price of importing and opening.

    python -m benchmarks.bench_memory
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import isnotai_async as isnotai

WALKS = {
    "nothing (import and open)": "big-0",
    "one session of 10,000 events": "big-10000",
    "one session of 100,000 events": "big-100000",
    "one session of 1,000,000 events": "big-1000000",
    "1,000 sessions": "*",
}


async def _serve() -> None:
    async with isnotai.Sandbox(sessions=1_000, rate_limit=None, compress=False) as sandbox:
        print(json.dumps([sandbox.base_url, sandbox.api_key]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _session_ids(client: isnotai.Client, wanted: str) -> AsyncIterator[str]:
    if wanted != "*":
        yield wanted
        return
    async for session in client.list_sessions():
        yield session.id


async def _walk(base_url: str, key: str, wanted: str) -> None:
    rows, begun = 0, time.perf_counter()
    async with isnotai.Client(key, base_url=base_url, limiter=isnotai.Unlimited()) as client:
        async for session_id in _session_ids(client, wanted):
            async for page in client.list_events(session_id).pages():
                rows += len(page.data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([rows, peak, time.perf_counter() - begun]))


def _run(*argv: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.bench_memory", *argv]


def main() -> None:
    """Measure and print the table."""
    print("| walk | events | peak MiB | seconds |\n|---|---:|---:|---:|")
    with subprocess.Popen(_run("serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        base_url, key = json.loads(server.stdout.readline())
        for name, wanted in WALKS.items():
            done = subprocess.run(_run("walk", base_url, key, wanted), stdout=subprocess.PIPE, text=True, check=True)
            rows, peak, seconds = json.loads(done.stdout)
            print(f"| {name} | {rows:,} | {peak:.1f} | {seconds:.1f} |", flush=True)
        server.stdin.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(_serve())
        case ["walk", base_url, key, wanted]:
            asyncio.run(_walk(base_url, key, wanted))
        case _:
            main()
