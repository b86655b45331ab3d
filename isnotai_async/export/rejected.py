"""``NAME.rejected``: the records that an export or a sync set aside, raw and each with its reason, as JSON Lines.

Only its owner may read it: a record that does not fit the documentation may hold anything. An export writes it whole.
A sync appends to it, and its store keeps a digest of each, by which a record that is read again is not written again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from isnotai_async._models.pages import RejectedRecord
from isnotai_async.export.batches import EVENT_COLUMNS, Batch
from isnotai_async.export.places import rejected_of
from isnotai_async.export.system import System
from isnotai_async.export.work_store import WorkStore

_MODE: Final = 0o600
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_KEY: Final = re.compile(r"aik_v\d+_[A-Za-z0-9_-]+")  # the documented form of an API key

_TOO_FAR: Final = "the format cannot hold the timestamp: readers of it show the years 1 to 9999 only"


def keep_holdable(batches: Iterable[Batch], timestamps: range | None) -> Iterator[Batch]:
    """Return batches without the rows that a format cannot hold."""
    for batch in batches:
        times = batch.column("timestamp")
        if timestamps is None or not times or (min(times) in timestamps and max(times) in timestamps):
            yield batch
        elif kept := [index for index, time in enumerate(times) if time in timestamps]:
            columns = tuple([column[index] for index in kept] for column in batch.columns)
            yield Batch(batch.region, batch.session_id, columns)


def describe_rejected(region: str, session_id: str | None, record: RejectedRecord) -> dict[str, Any]:
    """Return what the file says of a record that could not be read."""
    return {
        "region": region,
        "session_id": session_id,
        "index": record.index,
        "reason": _KEY.sub("aik_v1_…", record.reason),
        "record": _KEY.sub("aik_v1_…", record.raw.decode(errors="backslashreplace")),
    }


def describe_too_far(batches: Iterable[Batch], timestamps: range) -> Generator[dict[str, Any], None, None]:
    """Return what the file says of rows that a format cannot hold."""
    for batch in batches:
        for index, time in enumerate(batch.column("timestamp")):
            if time not in timestamps:
                record = dict(zip(EVENT_COLUMNS, [column[index] for column in batch.columns], strict=True))
                yield {
                    "region": batch.region,
                    "session_id": batch.session_id,
                    "index": None,
                    "reason": _TOO_FAR,
                    "record": json.dumps(record),
                }


def read_rejected(
    store: WorkStore, sources: Iterable[str], timestamps: range | None
) -> Generator[dict[str, Any], None, None]:
    """Return what the file says of all records of a work store that are not in the target."""
    for session, record in store.read_rejected():
        yield describe_rejected(*session.target, record)
    if timestamps is not None:
        yield from describe_too_far(store.read_batches(sources), timestamps)


def write_rejected(records: Generator[dict[str, Any], None, None], target: Path, system: System) -> None:
    """Write the file of records that were set aside next to a target; one of an earlier run is replaced."""
    path = rejected_of(target)
    new = path.with_name(f".{path.name}-new")
    system.remove(new)
    with closing(records):
        system.write_file(new, (f"{json.dumps(record)}\n".encode() for record in records), mode=_MODE)
    system.replace(new, path)


@frozen(eq=False, repr=False)
class Rejected:
    """A record that a sync could not read."""

    digest: bytes  # what it is known by
    line: bytes

    @classmethod
    def of(cls, region: str, session_id: str | None, record: RejectedRecord) -> Rejected:
        """Return an event of a session; with None for its id, the record of a session."""
        found = describe_rejected(region, session_id, record)
        known_by = json.dumps([region, session_id, found["record"]]).encode()
        return cls(blake2b(known_by, digest_size=16).digest(), f"{json.dumps(found)}\n".encode())


def append_rejected(path: Path, records: Iterable[Rejected]) -> None:
    """Append records to the file of a sync, and make them durable."""
    system, descriptor = System(), os.open(path, _APPEND, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(record.line for record in records)
        file.flush()
        system.sync(descriptor)
    system.sync_folder(path.parent)
