"""Trouble with the disk: what an error of the system or of SQLite means for an export, in words."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from isnotai_async.errors import SinkError
from isnotai_async.export.places import shown
from isnotai_async.export.system import NO_ROOM

DISK_ERRORS: Final = (OSError, sqlite3.Error)


def explain_disk(
    error: BaseException, target: Path, *, safe: str | None = None, missing: int | None = None
) -> BaseException:
    """Return what to raise for an error: of the disk, one that says what to do; any other as it is.

    `safe` says what is not lost, `missing` how many bytes had no room.
    """
    if not isinstance(error, DISK_ERRORS):
        return error
    reason, advice = _reason(error, target), "check the disk"
    if getattr(error, "errno", 0) in NO_ROOM or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
        lack = "" if missing is None else f", about {missing:,} bytes are missing"
        reason, advice = f"the disk is full{lack}", "make room" if missing is None else "free that much"
    kept, purpose = ("", "") if safe is None else (f"; {safe}", " to resume")
    return SinkError(f"cannot write {shown(target)}: {reason}{kept}; {advice}, and run the same again{purpose}")


def _reason(error: OSError | sqlite3.Error, target: Path) -> str:
    if isinstance(error, sqlite3.Error):
        return f"SQLite reports {error}"
    reason = error.strerror or type(error).__name__
    if isinstance(error.filename, str) and Path(error.filename) != target:
        return f"{Path(error.filename).name!r}: {reason}"
    return reason
