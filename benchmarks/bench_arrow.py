"""What it costs to make an Arrow table of decoded pages: CPU and memory of `to_arrow` against records.

The same 1,000 pages of 100 events, decoded anew for each way and run in turns; the time of decoding itself is taken
off, because all ways have it in common. Each way ends with one `pyarrow.Table` of the same rows.
"""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from benchmarks.harness import Report, Table, Target
from isnotai_async import Event, Page
from isnotai_async._arrow import BatchBuilder, schema_of
from isnotai_async._http.codec import decode_events
from isnotai_async.sandbox.seed_data import NAMES

PAGES = 1_000
ROWS = 100
BY_DICTS = "records, to dicts, to Arrow"
BY_HAND = "records, columns by hand, to Arrow"
FIELDS = ("event_id", "message_id", "event_type_name", "timestamp", "payload_size")


def make_bodies() -> list[bytes]:
    types = list(NAMES.items())
    return [json.dumps(_page(number, types)).encode() for number in range(PAGES)]


def _page(number: int, types: list[tuple[int, str]]) -> dict[str, Any]:
    rows = []
    for index in range(number * ROWS, (number + 1) * ROWS):
        kind, name = types[index * 7 % len(types)]
        rows.append(
            {
                "eventId": f"ev-381633a4-{index * 2_654_435_761 % 2**32:08x}",
                "messageId": kind,
                "eventTypeName": name,
                "timestamp": 1_781_067_140_238 + index * 83,
                "payloadSize": 8 + index % 300,
            }
        )
    return {"data": rows, "pagination": {"nextCursor": f"c{number}", "hasMore": True, "limit": ROWS}}


def decode(bodies: list[bytes]) -> list[Page[Event]]:
    return [decode_events(body, tier=None, region="us", session_id="s1") for body in bodies]


def from_dicts(pages: list[Page[Event]]) -> pa.Table:
    """Records to dicts, and those to a table: what one writes without `to_arrow`."""
    rows = []
    for page in pages:
        own = {"region": page.name, "session_id": page.session_id}
        rows += [own | {name: getattr(event, name) for name in FIELDS} for event in page.data]
    return pa.Table.from_pylist(rows, schema=schema_of(Event))


def from_records(pages: list[Page[Event]]) -> pa.Table:
    """Records to columns by hand: the fastest way over records."""
    schema = schema_of(Event)
    columns: list[list[Any]] = [[] for _ in schema]
    for page in pages:
        data = page.data
        columns[0] += [page.name] * len(data)
        columns[1] += [page.session_id] * len(data)
        columns[2] += [event.event_id for event in data]
        columns[3] += [event.message_id for event in data]
        columns[4] += [event.event_type_name for event in data]
        columns[5] += [event.timestamp for event in data]
        columns[6] += [event.payload_size for event in data]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def from_pages(pages: list[Page[Event]]) -> pa.Table:
    """What `to_arrow` does."""
    builder = BatchBuilder(Event)
    for page in pages:
        builder.add(page.data, region=page.name, session_id=page.session_id)
    return pa.Table.from_batches([builder.take()])


WAYS: dict[str, Callable[[list[Page[Event]]], pa.Table]] = {
    BY_DICTS: from_dicts,
    BY_HAND: from_records,
    "to_arrow": from_pages,
}


def measure_cpu(bodies: list[bytes], rounds: int) -> dict[str, float]:
    """Return the microseconds of CPU a page; the best of some rounds, in turns."""
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(rounds):
        for name, way in WAYS.items():
            pages = decode(bodies)
            gc.collect()
            begin = time.process_time()
            way(pages)
            best[name] = min(best[name], time.process_time() - begin)
    return {name: seconds / PAGES * 1e6 for name, seconds in best.items()}


def measure_memory(bodies: list[bytes]) -> dict[str, float]:
    """Return the peak of Python's memory in bytes a row, without the pages and the buffers of Arrow."""
    peaks = {}
    for name, way in WAYS.items():
        pages = decode(bodies)
        gc.collect()
        tracemalloc.start()
        way(pages)
        peaks[name] = tracemalloc.get_traced_memory()[1] / (PAGES * ROWS)
        tracemalloc.stop()
    return peaks


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    bodies = make_bodies()
    tables = [way(decode(bodies)) for way in WAYS.values()]
    if not all(table.equals(tables[0]) for table in tables):
        raise AssertionError("the ways give different tables")
    cpu, memory = measure_cpu(bodies, 3 if quick else 9), measure_memory(bodies)
    own = cpu["to_arrow"]
    rows = tuple((name, f"{cpu[name]:.0f}", f"{cpu[name] / own:.2f}", f"{memory[name]:.0f}") for name in WAYS)
    title = (
        f"An Arrow table of {PAGES:,} decoded pages of {ROWS} events: CPU a page, and Python's memory a row; "
        f"the table itself takes {tables[0].nbytes / (PAGES * ROWS):.0f} bytes a row"
    )
    targets = [Target("CPU of to_arrow against records, to dicts, to Arrow", 0.5, own / cpu[BY_DICTS])]
    return Report([Table(title, ("way", "µs", "x to_arrow", "bytes"), rows)], targets, {"cpu": cpu, "memory": memory})
