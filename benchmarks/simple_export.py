"""The simplest script that a person would write, in a process of its own: no checkpoint, no sync, no going on.

JSON Lines by ``json.dumps``, CSV by ``csv.writer``, Parquet by collecting all rows and writing them in the end; the
pages come by aiohttp and ``resp.json()``, from as many walks at once as the export has.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

COLUMNS = ("eventId", "messageId", "eventTypeName", "timestamp", "payloadSize")

Write = Callable[[str, list[dict[str, Any]]], object]


async def fetch(case: dict[str, Any], write: Write) -> None:
    """Walk all sessions, 16 at a time, and write each page as it comes."""
    slots = asyncio.Semaphore(16)

    async def walk(session: str) -> None:
        url, cursor = f"{case['base_url']}/v1/sessions/{session}/events", None
        async with slots:
            while True:
                async with http.get(url, params={"cursor": cursor} if cursor else None) as response:
                    page = await response.json()
                write(session, page["data"])
                if not page["pagination"]["hasMore"]:
                    return
                cursor = page["pagination"]["nextCursor"]

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {case['key']}"}) as http:
        await asyncio.gather(*map(walk, case["sessions"]))


async def write_jsonl(case: dict[str, Any], to: Path) -> None:
    with to.open("w") as file:

        def write(session: str, events: list[dict[str, Any]]) -> None:
            for event in events:
                file.write(json.dumps({"region": "us", "sessionId": session, **event}) + "\n")

        await fetch(case, write)


async def write_csv(case: dict[str, Any], to: Path) -> None:
    with to.open("w", newline="") as file:
        writer = csv.writer(file)

        def write(session: str, events: list[dict[str, Any]]) -> None:
            for event in events:
                writer.writerow(["us", session, *(event[name] for name in COLUMNS)])

        await fetch(case, write)


async def write_parquet(case: dict[str, Any], to: Path) -> None:
    arrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    rows = list[dict[str, Any]]()

    def write(session: str, events: list[dict[str, Any]]) -> None:
        rows.extend({"region": "us", "sessionId": session, **event} for event in events)

    await fetch(case, write)
    parquet.write_table(arrow.Table.from_pylist(rows), to)


WAYS = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}


async def export(case: dict[str, Any]) -> dict[str, Any]:
    """Export into a temporary folder; see `write_export.export`."""
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / f"events.{case['format']}"
        if case["first"]:
            await WAYS[case["format"]](case | {"sessions": case["first"]}, to)
        begun, cpu = time.perf_counter(), time.process_time()
        await WAYS[case["format"]](case, to)
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        size = to.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"took": took, "cpu": cpu, "size": size, "peak": peak, "whole": time.process_time()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(export(json.loads(sys.stdin.read())))))
