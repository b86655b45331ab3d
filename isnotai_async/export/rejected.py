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
from isnotai_async.export.batches import COLUMNS, Batch, Columns
from isnotai_async.export.places import rejected_of
from isnotai_async.export.system import System
from isnotai_async.export.work_store import WorkStore

_MODE: Final = 0o600
_KEY: Final = re.compile(r"aik_v\d+_[A-Za-z0-9_-]+")  # the documented form of an API key

_TOO_FAR: Final = "the format cannot hold the timestamp: readers of it show the years 1 to 9999 only"


def keep_holdable(batches: Iterable[Batch], timestamps: range | None) -> Iterator[Batch]:
    """Return batches without the rows that a format cannot hold."""
    for batch in batches:
        times = batch.columns.timestamp
        if timestamps is None or not times or (min(times) in timestamps and max(times) in timestamps):
            yield batch
        elif kept := [index for index, time in enumerate(times) if time in timestamps]:
            yield Batch(batch.region, batch.session_id, _pick(batch.columns, kept))


def _pick(columns: Columns, indexes: list[int]) -> Columns:
    return Columns(*([getattr(columns, name)[index] for index in indexes] for name in Columns.__struct_fields__))


def describe_rejected(target: SessionRef, *, index: int, reason: str, raw: bytes) -> dict[str, Any]:
    """Return what the file says of a record that could not be read."""
    return {
        "region": target.name,
        "session_id": target.session_id,
        "index": index,
        "reason": _KEY.sub("aik_v1_…", reason),
        "record": _KEY.sub("aik_v1_…", raw.decode(errors="backslashreplace")),
    }


def write_rejected(
    store: WorkStore, sources: Iterable[str], target: Path, *, system: System, timestamps: range | None
) -> None:
    """Write the file of records that were set aside; one of an earlier run is replaced.

    Args:
        store: The store.
        sources: Its sources.
        target: The target; the file is next to it.
        system: The operating system.
        timestamps: The timestamps that the format can hold; rows with others are set aside too.
    """
    path = rejected_of(target)
    new = path.with_name(f".{path.name}-new")
    system.remove(new)
    with closing(_records(store, sources, timestamps)) as records:
        system.write_file(new, (f"{json.dumps(record)}\n".encode() for record in records), mode=_MODE)
    system.replace(new, path)


def _records(
    store: WorkStore, sources: Iterable[str], timestamps: range | None
) -> Generator[dict[str, Any], None, None]:
    for session, index, reason, raw in store.read_rejected():
        yield describe_rejected(SessionRef(session.region, session.session_id), index=index, reason=reason, raw=raw)
    if timestamps is None:
        return
    for batch in store.read_batches(sources):
        for index, time in enumerate(batch.columns.timestamp):
            if time not in timestamps:
                row = dict(
                    zip(COLUMNS[2:], (getattr(batch.columns, name)[index] for name in COLUMNS[2:]), strict=True)
                )
                yield {
                    "region": batch.region,
                    "session_id": batch.session_id,
                    "index": None,
                    "reason": _TOO_FAR,
                    "record": json.dumps(row),
                }
