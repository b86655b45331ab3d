"""`export_store`: write what an event store holds as a file of any format of an export.

The sessions come by region and creation, their rows by time: the same rows are the same bytes, in whatever order a
sync added them. The rows of one session are read in one transaction, all of them in many: a sync that runs at the
same time waits for moments, and what it adds may be in the file or not.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Final, get_args
from urllib.parse import quote

from attrs import frozen

from isnotai_async._models.validation import explain_names, one_of
from isnotai_async.errors import SinkError, StoreError
from isnotai_async.export.api import check_target_name
from isnotai_async.export.batches import EVENT_COLUMNS, Batch, Columns
from isnotai_async.export.formats import Format, choose_format
from isnotai_async.export.opening import IfExists, check_target
from isnotai_async.export.places import shown, unnamed_of
from isnotai_async.export.publishing import measure_size, name_target
from isnotai_async.export.rejected import RowCount, describe_too_far, keep_holdable, write_rejected
from isnotai_async.export.report import ExportReport
from isnotai_async.export.store_file import READER_SECONDS, explain_error
from isnotai_async.export.store_lock import StoreLock
from isnotai_async.export.store_schema import APPLICATION_ID
from isnotai_async.export.system import System
from isnotai_async.export.thread import FileThread, pause_between
from isnotai_async.export.trouble import explain_disk

_BATCH_ROWS: Final = 10_000
_TODO: Final = """
CREATE TEMP TABLE todo AS
SELECT region, id FROM sessions WHERE _isnotai_rows > 0 ORDER BY region, _isnotai_born, id
"""
_ROWS: Final = (
    f"SELECT {', '.join(EVENT_COLUMNS)} FROM events "  # noqa: S608 - of constants
    "WHERE session_id = ? AND region = ? ORDER BY timestamp, event_id"
)


@explain_names
async def export_store(
    store: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    format: str | None = None,
    if_exists: IfExists = "fail",
    formula_guard: bool = True,
    bom: bool = False,
    segments: bool = False,
) -> ExportReport:
    """Write the events of a store that `update_store` keeps up to date as a file. It asks no API.

    Example:
        >>> synced = await isnotai.update_store(client, "events.db", bot_only=True)
        >>> report = await isnotai.export_store("events.db", "events.csv")
        >>> report.rows == synced.rows
        True

    Args:
        store: The store.
        to: The file to make; its ending decides the format. It takes its name when it is complete and durable.
        format: As of `export_events`, as all below.
        if_exists: What to do if `to` exists: ``"fail"``, ``"skip"`` or ``"replace"``.
        formula_guard: In CSV, put a ``'`` before strings that a spreadsheet would run as a formula.
        bom: In CSV, start with a byte order mark.
        segments: With Parquet, make a folder of files instead of one file.

    Raises:
        ConfigError: At once, for an option that cannot work.
        StoreError: There is no such store, or it is damaged.
        SinkError: The target cannot be written, or exists.
        ExportLockedError: Another call is writing this target.
    """
    one_of(if_exists, "if_exists", get_args(IfExists))
    target = check_target_name(to)
    chosen = choose_format(target, format, formula_guard=formula_guard, bom=bom, segments=segments)
    job = StoreExport(Path(store), target, chosen, System())
    with FileThread() as thread:
        return await thread.run(job.run, if_exists)


@frozen
class StoreExport:
    """An export of a store; it blocks."""

    store: Path
    target: Path
    format: Format
    system: System

    def run(self, if_exists: IfExists) -> ExportReport:
        """Export; errors as of `export_store`."""
        started = monotonic()
        if (report := check_target(self.target, self.format, if_exists, self.system)) is not None:
            return report
        with closing(self._open()) as db:  # before the lock, whose file stays
            lock = StoreLock(self.target)
            lock.acquire()
            try:
                rows, rejected, sessions = self._write(db, replace=if_exists == "replace")
            finally:
                lock.release()
        return ExportReport(
            path=self.target,
            format=self.format.name,
            rows=rows,
            size=measure_size(self.target),
            sessions=sessions,
            rejected=rejected,
            elapsed=monotonic() - started,
        )

    def _write(self, db: sqlite3.Connection, *, replace: bool) -> tuple[int, int, int]:
        """Write and name the target; return its rows, those that were set aside, and its sessions."""
        unnamed, read, written = unnamed_of(self.target), RowCount(), RowCount()
        try:
            db.execute(_TODO)
            sessions = db.execute("SELECT count(*) FROM temp.todo").fetchone()[0]
            self.system.remove(unnamed)
            batches = keep_holdable(read.count(pause_between(_read_batches(db))), self.format.timestamps)
            self.format.write(written.count(batches), unnamed, self.system)
            if written.rows < read.rows and self.format.timestamps is not None:
                too_far = describe_too_far(_read_batches(db), self.format.timestamps)
                write_rejected(too_far, self.target, self.system)
            name_target(self.target, self.system, is_folder=self.format.is_folder, replace=replace)
        except (SinkError, OSError, sqlite3.Error) as error:
            self.system.remove(unnamed)
            if isinstance(error, sqlite3.Error):
                raise explain_error(error, self.store) from None
            if isinstance(error, OSError):
                raise explain_disk(error, self.target) from None
            raise
        return written.rows, read.rows - written.rows, sessions

    def _open(self) -> sqlite3.Connection:
        if self.system.inspect(self.store) is None:
            raise StoreError(f"there is no store {shown(self.store)}; isnotai sync makes one")
        failure: Exception
        db: sqlite3.Connection | None = None
        try:
            # Not read-only: a crash may have left half a commit, which the next reader has to undo.
            uri = f"file:{quote(os.fspath(self.store.absolute()))}?mode=rw"
            db = sqlite3.connect(uri, uri=True, timeout=READER_SECONDS, isolation_level=None)
            if db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
                return db
            failure = StoreError(f"{shown(self.store)} is no event store of isnotai; name one that isnotai sync made")
        except sqlite3.Error as error:
            failure = explain_error(error, self.store)
        if db is not None:
            db.close()
        raise failure


def _read_batches(db: sqlite3.Connection) -> Iterator[Batch]:
    number = 0
    while session := db.execute(
        "SELECT rowid, region, id FROM temp.todo WHERE rowid > ? ORDER BY rowid LIMIT 1", (number,)
    ).fetchone():
        number, region, session_id = session
        rows = db.execute(_ROWS, (session_id, region))
        while chunk := rows.fetchmany(_BATCH_ROWS):
            yield Batch(region, session_id, Columns(*(list(column) for column in zip(*chunk, strict=True))))
