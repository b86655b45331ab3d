"""``NAME.rejected``: the records that an export set aside, raw and each with its reason, as JSON Lines.

Only its owner may read it: a record that does not fit the documentation may hold anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.export.batches import EVENT_COLUMNS, Batch, Columns
from isnotai_async.export.places import rejected_of
from isnotai_async.export.system import System
from isnotai_async.export.work_store import WorkStore

_MODE: Final = 0o600
_KEY: Final = re.compile(r"aik_v\d+_[A-Za-z0-9_-]+")  # the documented form of an API key

_TOO_FAR: Final = "the format cannot hold the timestamp: readers of it show the years 1 to 9999 only"


def keep_holdable(batches: Iterable[Batch], timestamps: range | None) -> Iterator[Batch]:
    """Return batches without the rows that a format cannot hold."""
    for batch in batches:
        times = batch.column("timestamp")
        if timestamps is None or not times or (min(times) in timestamps and max(times) in timestamps):
            yield batch
        elif kept := [index for index, time in enumerate(times) if time in timestamps]:
            yield Batch(batch.region, batch.session_id, _pick(batch.columns, kept))


def _pick(columns: Columns, indexes: list[int]) -> Columns:
    return tuple([column[index] for index in indexes] for column in columns)


def describe_rejected(target: SessionRef, *, index: int, reason: str, raw: bytes) -> dict[str, Any]:
    """Return what the file says of a record that could not be read."""
    return {
        "region": target.name,
        "session_id": target.session_id,
        "index": index,
        "reason": _KEY.sub("aik_v1_…", reason),
        "record": _KEY.sub("aik_v1_…", raw.decode(errors="backslashreplace")),
    }


def describe_too_far(batches: Iterable[Batch], timestamps: range) -> Generator[dict[str, Any], None, None]:
    """Return what the file says of rows that a format cannot hold."""
    for batch in batches:
        for row in zip(*batch.columns, strict=True):
            record = dict(zip(EVENT_COLUMNS, row, strict=True))
            if record["timestamp"] not in timestamps:
                yield {
                    "region": batch.region,
                    "session_id": batch.session_id,
                    "index": None,
                    "reason": _TOO_FAR,
                    "record": json.dumps(record),
                }


def write_rejected(records: Generator[dict[str, Any], None, None], target: Path, system: System) -> None:
    """Write the file of records that were set aside next to a target; one of an earlier run is replaced."""
    path = rejected_of(target)
    new = path.with_name(f".{path.name}-new")
    system.remove(new)
    with closing(records):
        system.write_file(new, (f"{json.dumps(record)}\n".encode() for record in records), mode=_MODE)
    system.replace(new, path)


def read_rejected(
    store: WorkStore, sources: Iterable[str], timestamps: range | None
) -> Generator[dict[str, Any], None, None]:
    """Return what the file says of all records of a work store that are not in the target."""
    for session, index, reason, raw in store.read_rejected():
        yield describe_rejected(SessionRef(session.region, session.session_id), index=index, reason=reason, raw=raw)
    if timestamps is not None:
        yield from describe_too_far(store.read_batches(sources), timestamps)


class RowCount:
    """Counts the rows of the batches that were written; a batch for which there is no room does not count."""

    def __init__(self) -> None:
        self.rows = 0

    def count(self, batches: Iterable[Batch]) -> Generator[Batch, None, None]:
        """Return the batches."""
        for batch in batches:
            yield batch
            self.rows += batch.rows
