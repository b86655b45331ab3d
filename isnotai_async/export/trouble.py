"""Trouble with the disk: what an error of the system or of SQLite means for an export, in words."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from isnotai_async.errors import SinkError
from isnotai_async.export.places import shown
from isnotai_async.export.system import NO_ROOM, System

DISK_ERRORS: Final = (OSError, sqlite3.Error)


def is_full(error: OSError | sqlite3.Error) -> bool:
    """Return whether the disk, the quota or the largest size of a file is used up."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL


def explain_disk(
    error: OSError | sqlite3.Error, target: Path, *, system: System, rows: int, needed: int = 0
) -> SinkError:
    """Return what to raise for an error of the disk.

    Args:
        error: The error.
        target: The target.
        system: Knows how much room is left.
        rows: Rows that are committed.
        needed: Bytes that were to be written, if that is known.
    """
    safe = f"{rows:,} rows are safe in the work store" if rows else "there are no rows yet"
    if not is_full(error):
        return SinkError(
            f"cannot write {shown(target)}: {_reason(error, target)}. {safe}: check the disk, and run the same again "
            "to resume"
        )
    missing = needed
    with suppress(OSError):
        missing = max(needed - system.free_bytes(target.parent), 1)
    return SinkError(
        f"cannot write {shown(target)}: the disk is full, about {missing:,} bytes are missing. {safe}: free that "
        "much, and run the same again to resume"
    )


def _reason(error: OSError | sqlite3.Error, target: Path) -> str:
    if isinstance(error, sqlite3.Error):
        return f"the work store reports {error}"
    reason = error.strerror or type(error).__name__
    if isinstance(error.filename, str) and Path(error.filename) != target:
        return f"{Path(error.filename).name!r}: {reason}"
    return reason
