"""A store's file: opened, checked, brought to the newest version, and changed in transactions.

The rules:

1. ``journal_mode=TRUNCATE``, ``synchronous=FULL``, normal locking, read back after setting: a reader sees whole
   commits, and a crash leaves none in half. A commit waits for readers for up to 60 s.
2. One sync at a time: an exclusive SQLite file next to the store (`lock_store`).
3. Before and after each transaction the file must be the one that was opened, else its rows would not be safe.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from isnotai_async.errors import SinkError, StoreError, quoted
from isnotai_async.export.places import shown
from isnotai_async.export.store_lock import lock_store
from isnotai_async.export.store_schema import APPLICATION_ID, MIGRATIONS, TEMPORARY
from isnotai_async.export.trouble import DISK_ERRORS, explain_disk

READER_SECONDS: Final = 60.0
"""How long a commit waits for programs that read the store."""

_NOT_FINISHED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@define(eq=False, repr=False)
class StoreFile:
    """The open file of a store, and the lock that keeps other syncs out."""

    path: Path
    patience: float = READER_SECONDS  # seconds that a commit waits for readers
    db: sqlite3.Connection = field(init=False)  # the connection, for queries and for the statements of a transaction
    size: int = field(default=0, init=False)  # bytes of the file after the last transaction
    _file: tuple[int, int] | None = field(default=None, init=False)  # its device and inode
    _open: ExitStack = field(factory=ExitStack, init=False)  # what is closed with it

    def open(self, filters: Mapping[str, Any]) -> None:
        """Open the store, or make it.

        Args:
            filters: Which sessions and events it holds: a part of its identity.

        Raises:
            ExportLockedError: Another sync has it.
            StoreError: It is no event store, is of a newer version, or holds other events.
            sqlite3.Error: It cannot be written, as from all methods; `explain` says what to do.
        """
        self._open.enter_context(closing(lock_store(self.path)))
        try:
            db = sqlite3.connect(self.path, timeout=self.patience, isolation_level=None)
            self.db = self._open.enter_context(closing(db))
            self._check_kind()
            self._configure()
            self._check_place()
            self._migrate()
            self.db.executescript(TEMPORARY)
            self._check_filters(filters)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the store and release its lock; idempotent."""
        self._open.close()

    def _check_kind(self) -> None:
        if self.value("PRAGMA application_id") != APPLICATION_ID and self.value("SELECT 1 FROM sqlite_master"):
            raise StoreError(f"{self.name} is a database, but no event store of isnotai; choose another file")
        version = self.value("PRAGMA user_version")
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.name} is an event store of version {version}, and this release knows versions up to "
                f"{len(MIGRATIONS)}; update isnotai-async"
            )

    def _configure(self) -> None:
        mode = self.value("PRAGMA journal_mode = TRUNCATE")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone leaves data in the drive's cache
        if (mode, self.value("PRAGMA synchronous")) != ("truncate", 2):
            raise StoreError(
                f"{self.name} is in journal mode {mode} and cannot leave it, probably because another program has it "
                "open; close that program and run the same again"
            )

    def _migrate(self) -> None:
        version = self.value("PRAGMA user_version")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self.db.executescript(
                f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number};"
                "COMMIT;"
            )

    def _check_filters(self, filters: Mapping[str, Any]) -> None:
        ours = json.dumps(dict(filters), sort_keys=True)
        theirs = self.value("SELECT value FROM _isnotai_store WHERE name = 'filters'")
        if theirs is None:
            with self.transaction():
                self.db.execute("INSERT INTO _isnotai_store VALUES ('filters', ?)", (ours,))
        elif theirs != ours:
            raise StoreError(
                f"{self.name} was made with the filters {quoted(json.loads(theirs))}, now they are "
                f"{quoted(dict(filters))}; sync with the same ones, or choose another file"
            )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what a block changes, all of it or nothing.

        Raises:
            SinkError: The file was removed or replaced.
            sqlite3.Error: The commit failed.
        """
        self._check_place()
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        self._check_place()

    def _check_place(self) -> None:
        """Check that the file still has the name under which it was opened, and note its size."""
        found = self.path.stat() if self.path.exists() else None
        place = (found.st_dev, found.st_ino) if found is not None else None
        self._file = self._file or place
        if found is None or place != self._file:
            raise SinkError(f"{self.name} was removed or replaced during the sync; run the same again")
        self.size = found.st_size

    def row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        row: tuple[Any, ...] | None = self.db.execute(query, values).fetchone()
        return row

    def value(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever SQLite has there
        """Return the first value of a query's first row, or None."""
        row = self.row(query, *values)
        return None if row is None else row[0]

    def explain(self, error: BaseException) -> BaseException:
        """Return what to raise for an error: of SQLite or the system, one that says what to do."""
        return explain_error(error, self.path, self.patience)

    @property
    def name(self) -> str:
        """Its path, for messages."""
        return shown(self.path)


def explain_error(error: BaseException, path: Path, patience: float = READER_SECONDS) -> BaseException:
    """Put what SQLite or the system said about a store into words; any other error is returned as it is.

    Args:
        error: What it said.
        path: The store.
        patience: Seconds that were waited for its readers.
    """
    if not isinstance(error, DISK_ERRORS):
        return error
    name = shown(path)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _NOT_FINISHED:
        busy = SinkError(
            f"another program kept {name} locked for {patience:g} s, so the last pages were not written; all before "
            "them is safe. Close what reads it, and run the same again"
        )
        busy.is_temporary = True
        return busy
    if code in _DAMAGED:
        return StoreError(f"{name} is no database, or is damaged: {error}; restore it, or choose another file")
    return explain_disk(error, path, safe="what was committed is safe")
