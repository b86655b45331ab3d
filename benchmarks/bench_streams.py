"""Streams against a server that is 50 ms away: many sessions at once, one large session split, and what they hold.

The sandbox is a process of its own, with the quota lifted on both sides; every case is a fresh process, and the
median of three (the one walk: of one). Latency is drawn from 45 to 55 ms: with a constant one all answers come in the
same instant, which no network does. "Of ideal" is the time that the requests alone would take (pages x round trip /
readers) as a share of the time it took, with the round trip of a single request as it is measured beforehand.

Lag is how late the event loop came back to a timer of 2 ms while the stream ran, which is what other users of the
loop feel; beside it stands the lag of a process that does nothing else at the same time, the machine's share. What
was imported is frozen (`gc.freeze`), as servers do: a full collection of it holds any loop for some 30 ms. Memory is
measured against prebuilt pages without latency, because it is ten million events.

    python -m benchmarks.bench_streams
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import isnotai_async as isnotai
from benchmarks.page_server import EVENTS, page_server

LATENCY = (0.045, 0.055)
TICK = 0.002
BIG = "big-100000"

# What to read, with which options, and how many are read at once.
CASES: dict[str, tuple[list[str], dict[str, Any], int]] = {
    "1,000 sessions of 5 pages, concurrency=64": (["big-500"] * 1_000, {"concurrency": 64}, 64),
    "one session of 1,000 pages, one walk": ([BIG], {}, 1),
    "the same, split=16": ([BIG], {"split": 16}, 16),
    "the same, split=16, ordered": ([BIG], {"split": 16, "ordered": True}, 16),
    "the same, split='auto', ordered": ([BIG], {"split": "auto", "ordered": True}, 5),
}
MEMORY = {10_000: 1, 100_000: 10, 1_000_000: 100, 10_000_000: 1_000}  # events, and sessions of 100 pages


async def _serve() -> None:
    async with isnotai.Sandbox(rate_limit=None, compress=False, latency=LATENCY) as sandbox:
        print(json.dumps([sandbox.base_url, sandbox.api_key]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _stand_by() -> None:
    """Watch a loop on which nothing happens, until the input ends."""
    lags: list[float] = []
    watching = asyncio.create_task(_watch(lags))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    watching.cancel()
    print(json.dumps(_share(lags)))


def _share(lags: list[float]) -> float:
    return sorted(lags)[int(len(lags) * 0.999)] * 1e3


async def _watch(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + TICK
        await asyncio.sleep(TICK)
        lags.append(time.perf_counter() - due)


async def _stream(base_url: str, key: str, sessions: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Stream, and tell how long it took, how late the loop was, and what came in which order."""
    lags: list[float] = []
    pages = events = 0
    digest, order = blake2b(), blake2b()
    async with isnotai.Client(
        key, base_url=base_url, limiter=isnotai.Unlimited(), max_concurrency=64, deadline=None
    ) as client:
        round_trips = [await _time_page(client, sessions[0]) for _ in range(60)]
        gc.collect()
        gc.freeze()
        watching = asyncio.create_task(_watch(lags))
        begun = time.perf_counter()
        seen = bytes(digest.digest_size)
        async with client.stream_events(sessions, **options) as stream:
            async for page in stream:
                pages += 1
                events += len(page.data)
                if len(sessions) == 1:
                    for event in page.data:
                        name = event.event_id.encode()
                        order.update(name)
                        seen = _xor(seen, blake2b(name).digest())  # the same rows in any order give the same
        took = time.perf_counter() - begun
        watching.cancel()
    return {
        "round_trip": statistics.mean(round_trips),
        "took": took,
        "pages": pages,
        "events": events,
        "lag": _share(lags),
        "rows": seen.hex(),
        "order": order.hexdigest(),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def _time_page(client: isnotai.Client, session_id: str) -> float:
    begun = time.perf_counter()
    await client.list_events(session_id)
    return time.perf_counter() - begun


def _xor(first: bytes, second: bytes) -> bytes:
    return (int.from_bytes(first) ^ int.from_bytes(second)).to_bytes(len(first))


def _run(*argv: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.bench_streams", *argv]


def _measure(base_url: str, key: str, sessions: list[str], options: dict[str, Any]) -> dict[str, Any]:
    rounds = 1 if sessions == [BIG] and not options else 3
    figures = [_measure_once(base_url, key, sessions, options) for _ in range(rounds)]
    return sorted(figures, key=lambda round_: float(round_["took"]))[rounds // 2]


def _measure_once(base_url: str, key: str, sessions: list[str], options: dict[str, Any]) -> dict[str, Any]:
    case = json.dumps([base_url, key, sessions, options])
    with subprocess.Popen(_run("stand by"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bystander:
        done = subprocess.run(_run("stream"), input=case, stdout=subprocess.PIPE, text=True, check=True)
        idle = bystander.communicate("")[0]
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures | {"idle": json.loads(idle)}


@contextmanager
def _sandbox() -> Iterator[tuple[str, str]]:
    with subprocess.Popen(_run("serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        base_url, key = json.loads(server.stdout.readline())
        yield base_url, key
        server.stdin.close()


def _compare_speed() -> None:
    print("Lag: p99.9 of the stream's loop, and of an idle process\n")
    print("| stream | round trip ms | seconds | of ideal | x one walk | its rows | its order | lag ms | peak MiB |")
    print("|---|---:|---:|---:|---:|---|---|---:|---:|")
    walk: dict[str, Any] = {}
    with _sandbox() as (base_url, key):
        for name, (sessions, options, readers) in CASES.items():
            figures = _measure(base_url, key, sessions, options)
            if "one walk" in name:
                walk = figures
            took, lag, idle, peak = (figures[what] for what in ("took", "lag", "idle", "peak"))
            wait = figures["round_trip"]
            ideal = figures["events"] / EVENTS * wait / readers
            cells = [f"{wait * 1e3:.1f}", f"{took:.2f}", f"{ideal / took:.1%}", "", "", ""]
            if walk:
                cells[3] = f"{walk['took'] / took:.1f}"
                cells[4:] = ["same" if walk[what] == figures[what] else "other" for what in ("rows", "order")]
            print(f"| {name} | {' | '.join(cells)} | {lag:.1f}, {idle:.1f} | {peak:.1f} |", flush=True)


def _compare_memory() -> None:
    print("\n| events streamed, concurrency=16 | seconds | lag ms | peak MiB |\n|---|---:|---:|---:|")
    with page_server(100) as base_url:
        for events, sessions in MEMORY.items():
            figures = _measure_once(base_url, "aik_v1_" + "b" * 40, [f"s{n}" for n in range(sessions)], {})
            assert figures["events"] == events
            print(
                f"| {events:,} | {figures['took']:.1f} | {figures['lag']:.1f} | {figures['peak']:.1f} |", flush=True
            )


def main() -> None:
    """Measure and print the tables."""
    _compare_speed()
    _compare_memory()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(_serve())
        case ["stand by"]:
            asyncio.run(_stand_by())
        case ["stream"]:
            print(json.dumps(asyncio.run(_stream(*json.loads(sys.stdin.read())))))
        case _:
            main()
