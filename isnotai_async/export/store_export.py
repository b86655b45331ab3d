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
from isnotai_async.errors import ConfigError, StoreError
from isnotai_async.export.api import check_target_name
from isnotai_async.export.batches import EVENT_COLUMNS, Batch
from isnotai_async.export.formats import choose_format
from isnotai_async.export.places import shown
from isnotai_async.export.rejected import describe_too_far, write_rejected
from isnotai_async.export.report import ExportReport
from isnotai_async.export.store_file import READER_SECONDS, explain_error
from isnotai_async.export.store_lock import lock_store
from isnotai_async.export.store_schema import APPLICATION_ID
from isnotai_async.export.system import System
from isnotai_async.export.target import ExportTarget, IfExists, RowCount, measure_size
from isnotai_async.export.thread import FileThread
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
    job = StoreExport(Path(store), ExportTarget(target, chosen, System()))
    with FileThread(job.explain) as thread:
        return await thread.run(job.run, if_exists)


@frozen
class StoreExport:
    """An export of a store; it blocks."""

    store: Path
    target: ExportTarget

    def run(self, if_exists: IfExists) -> ExportReport:
        """Export; errors as of `export_store`."""
        started, target, read, written = monotonic(), self.target, RowCount(), RowCount()
        if (report := target.check(if_exists)) is not None:
            return report
        if self.store.exists() and target.path.exists() and self.store.samefile(target.path):
            raise ConfigError(f"{shown(target.path)} is the store itself; choose another file to write")
        # In this order, because the file of the lock stays.
        with closing(self._open()) as db, closing(lock_store(target.path, "export is writing")):
            db.execute(_TODO)
            sessions = db.execute("SELECT count(*) FROM temp.todo").fetchone()[0]
            try:
                target.write(read.count(_read_batches(db)), written)
                if written.rows < read.rows and target.format.timestamps is not None:
                    too_far = describe_too_far(_read_batches(db), target.format.timestamps)
                    write_rejected(too_far, target.path, target.system)
                target.name(replace=if_exists == "replace")
            except BaseException:
                target.drop()
                raise
        return ExportReport(
            path=target.path,
            format=target.format.name,
            rows=written.rows,
            size=measure_size(target.path),
            sessions=sessions,
            rejected=read.rows - written.rows,
            elapsed=monotonic() - started,
        )

    def _open(self) -> sqlite3.Connection:
        if self.target.system.inspect(self.store) is None:
            raise StoreError(f"there is no store {shown(self.store)}; isnotai sync makes one")
        # Not read-only: a crash may have left half a commit, which the next reader has to undo.
        uri = f"file:{quote(os.fspath(self.store.absolute()))}?mode=rw"
        db = sqlite3.connect(uri, uri=True, timeout=READER_SECONDS, isolation_level=None)
        try:
            if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreError(f"{shown(self.store)} is no event store of isnotai; name one that isnotai sync made")
        except BaseException:
            db.close()
            raise
        return db

    def explain(self, error: BaseException) -> BaseException:
        """Return what to raise for an error: of the disk, one that says what to do."""
        if isinstance(error, OSError):
            return explain_disk(error, self.target.path)
        return explain_error(error, self.store)


def _read_batches(db: sqlite3.Connection) -> Iterator[Batch]:
    number = 0
    while session := db.execute(
        "SELECT rowid, region, id FROM temp.todo WHERE rowid > ? ORDER BY rowid LIMIT 1", (number,)
    ).fetchone():
        number, region, session_id = session
        rows = db.execute(_ROWS, (session_id, region))
        while chunk := rows.fetchmany(_BATCH_ROWS):
            yield Batch(region, session_id, tuple(map(list, zip(*chunk, strict=True))))
