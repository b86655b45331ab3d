"""One stream, in a process of its own; tells how long it took, how late its loop was, and what came in which order.

Lag is how late the event loop came back to a timer of 2 ms while the stream ran, which is what other users of the
loop feel. What was imported is frozen (`gc.freeze`), as servers do: collecting it all holds any loop for
some 30 ms.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import statistics
import sys
import time
from hashlib import blake2b
from typing import Any, Final

import isnotai_async as isnotai
from benchmarks.harness import percentile

_TICK: Final = 0.002
_ROUND_TRIPS: Final = 30


async def watch(lags: list[float]) -> None:
    """Note, for as long as it is let, how many milliseconds late a timer is."""
    while True:
        due = time.perf_counter() + _TICK
        await asyncio.sleep(_TICK)
        lags.append((time.perf_counter() - due) * 1e3)


async def read(case: dict[str, Any]) -> dict[str, Any]:
    """Read a stream.

    Args:
        case: ``base_url``, ``key``, ``sessions``, ``options`` of the stream, whether to ``hash`` what comes, and
            whether to tell all ``lags``.
    """
    lags = [0.0]
    found = _Found(hashed=case["hash"])
    client = isnotai.Client(
        case["key"], base_url=case["base_url"], limiter=isnotai.Unlimited(), max_concurrency=64, deadline=None
    )
    async with client:
        round_trips = [await _time_page(client, case["sessions"][0]) for _ in range(_ROUND_TRIPS)]
        gc.collect()
        gc.freeze()
        watching = asyncio.create_task(watch(lags))
        begun, cpu = time.perf_counter(), time.process_time()
        async with client.stream_events(case["sessions"], **case["options"]) as stream:
            async for page in stream:
                found.see(page)
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        watching.cancel()
    return {
        "round_trip": statistics.median(round_trips),  # which one late answer does not move
        "took": took,
        "cpu": cpu,
        "pages": found.pages,
        "events": found.events,
        "lags": lags if case.get("lags") else [],
        "rows": f"{found.rows:x}",
        "order": found.order.hexdigest(),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class _Found:
    """What came: counted, and hashed in its order and regardless of it."""

    def __init__(self, *, hashed: bool) -> None:
        self.pages = self.events = self.rows = 0
        self.order = blake2b(digest_size=16)
        self._hashed = hashed

    def see(self, page: isnotai.Page[isnotai.Event]) -> None:
        self.pages += 1
        self.events += len(page.data)
        if self._hashed:
            for event in page.data:
                name = event.event_id.encode()
                self.order.update(name)
                self.rows ^= int.from_bytes(blake2b(name, digest_size=16).digest())  # the same in any order


async def _time_page(client: isnotai.Client, session_id: str) -> float:
    begun = time.perf_counter()
    await client.list_events(session_id)
    return time.perf_counter() - begun


async def _stand_by() -> None:
    """Watch a loop on which nothing happens, until the input ends."""
    lags = [0.0]
    watching = asyncio.create_task(watch(lags))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    watching.cancel()
    print(json.dumps({"lag": percentile(lags, 0.999), "most_lag": max(lags)}))


if __name__ == "__main__":
    if sys.argv[1:] == ["stand by"]:
        asyncio.run(_stand_by())
    else:
        print(json.dumps(asyncio.run(read(json.loads(sys.stdin.read())))))
