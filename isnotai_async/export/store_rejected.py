"""Records that a sync could not read: raw and each with its reason, as JSON Lines in ``NAME.rejected``.

Only its owner may read that file: a record that does not fit the documentation may hold anything. So the
store keeps no more of them than a digest, by which a record that is read again is not written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from attrs import frozen

from isnotai_async._models.pages import RejectedRecord
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.export.rejected import describe_rejected

_MOST_RAW: Final = 64 * 1024  # bytes of a record
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@frozen
class Rejected:
    """A record that could not be read.

    Attributes:
        digest: What it is known by.
        line: Its line in the file.
    """

    digest: bytes
    line: bytes

    @classmethod
    def of(cls, region: str, session_id: str | None, record: RejectedRecord) -> Rejected:
        """Return an event of a session; with None for its id, the record of a session."""
        target, raw = SessionRef(region, session_id or ""), record.raw[:_MOST_RAW]
        found = describe_rejected(target, index=record.index, reason=record.reason, raw=raw)
        found["session_id"] = session_id
        known_by = json.dumps([region, session_id, found["record"]]).encode()
        return cls(blake2b(known_by, digest_size=16).digest(), f"{json.dumps(found)}\n".encode())


def append_rejected(path: Path, records: Iterable[Rejected]) -> None:
    """Append records to a file that only its owner may read, and make them durable."""
    descriptor = os.open(path, _FLAGS, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(record.line for record in records)
        file.flush()
        os.fsync(descriptor)
