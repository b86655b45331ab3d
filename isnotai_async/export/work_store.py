"""`WorkStore`: the one SQLite file in which an export keeps its work until the target has its name.

The rules, each found by an experiment and held by a test:

1. Pages and the positions of all sessions change in one transaction. `journal_mode=TRUNCATE`, `synchronous=FULL` (and
   `fullfsync` on macOS), `page_size=16384`; the pragmas are read back, because SQLite ignores in silence what it
   cannot do. Not WAL: it writes twice the bytes, and rows were gone when its side file was tidied away.
2. The lock is SQLite's own, held as long as the connection: `locking_mode=EXCLUSIVE` and a first transaction that
   writes. **Nothing else in this process may open the file**: closing any other descriptor of it drops the lock.
3. Before and after each commit, device, inode and number of links must be those of the start: rows that go into a
   file without a name are lost, and SQLite does not notice.
4. The key of a blob is ``number of the session << 24 | number of its first page``, inserted with ``or ignore``. So a
   commit that raised although it is in, and is repeated, is in once.
5. After any error in a transaction the connection is closed: what is true then is what the file says.
6. Each row of each table has a CRC over its other columns; each session has totals, and so has the store. They are
   compared when the target is written. (`integrity_check` took minutes for 10 GB and missed 2,166 of 2,169 flips.)
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from attrs import asdict

from isnotai_async._models.pages import RejectedRecord
from isnotai_async.errors import ExportLockedError, SinkError, StoreError
from isnotai_async.export.batches import Batch, join_pages, unpack_pages
from isnotai_async.export.places import shown, store_of
from isnotai_async.export.store_lock import hold
from isnotai_async.export.system import FileInfo, System
from isnotai_async.export.trouble import explain_disk
from isnotai_async.export.work_rows import MOST_PAGES, PAGE_BITS, Change, Receipt, SessionRow, Totals

T = TypeVar("T")

_APPLICATION: Final = 0x69736E61  # "isna"
_VERSION: Final = 1  # of these tables
_PAGE_BYTES: Final = 16_384
_PRAGMAS: Final[Mapping[str, tuple[object, object]]] = {  # set to, and read back as
    "locking_mode": ("EXCLUSIVE", "exclusive"),
    "page_size": (_PAGE_BYTES, _PAGE_BYTES),
    "journal_mode": ("TRUNCATE", "truncate"),
    "synchronous": ("FULL", 2),
    "fullfsync": (1, 1),
    "cell_size_check": (1, 1),
}
_TABLES: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY, source TEXT NOT NULL, region TEXT NOT NULL, session_id TEXT NOT NULL,
    state TEXT NOT NULL, pages INTEGER NOT NULL, rows INTEGER NOT NULL, rejected INTEGER NOT NULL,
    is_restarted INTEGER NOT NULL, walks TEXT NOT NULL, failure TEXT NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE pages (
    key INTEGER PRIMARY KEY, pages INTEGER NOT NULL, rows INTEGER NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE rejected (key INTEGER PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL);
"""

FactName = Literal["identity", "totals", "publishing", "receipt"]


class WorkStore:
    """The store of one target; see the rules above. It serves one thread."""

    def __init__(self, target: Path, system: System, path: Path | None = None) -> None:
        self.system = system
        self.target = target
        self._path = path or store_of(target)
        self._connection: sqlite3.Connection | None = None
        self._place: FileInfo | None = None
        self.committed = Totals()  # as of the last commit, or the last time that they were read

    @property
    def exists(self) -> bool:
        """Whether there is a file of this name."""
        return self.system.inspect(self._path) is not None

    @property
    def size(self) -> int:
        """Bytes in the file at the last commit."""
        return self._place.size if self._place is not None else 0

    def open(self) -> None:
        """Open or create the store, and lock it.

        Raises:
            ExportLockedError: Another export, of this process or another, has it.
            StoreError: There is something else of this name, or it is damaged.
            SinkError: It cannot be made; the message says why.
        """
        if self.system.inspect(self._path.parent) is None:
            raise SinkError(f"there is no folder {shown(self._path.parent)}; create it, or choose another")
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            found = self.system.inspect(path)
            if found is not None and found.kind != "file":
                raise StoreError(f"{shown(path)} is no regular file; remove it, or choose another target")
        try:
            self._open()
        except sqlite3.Error as error:
            self.close()
            raise self._explain_sqlite(error) from None
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        connection = self._connection = self.system.connect(self._path)
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a new file, as long as nothing was read from it
        hold(connection)
        kind = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new and (kind, version) != (_APPLICATION, _VERSION):
            raise StoreError(f"{shown(self._path)} is no work store of this version; {self._start_over}")
        for name, (value, _) in _PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        for name, (_, expected) in _PRAGMAS.items():
            found = connection.execute(f"PRAGMA {name}").fetchone()[0]
            if found != expected:
                raise StoreError(f"{shown(self._path)} has {name}={found}, not {expected}; {self._start_over}")
        connection.execute("BEGIN IMMEDIATE")
        if is_new:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            self._write_fact("totals", asdict(Totals()))
        connection.execute(f"PRAGMA application_id={_APPLICATION}")
        connection.execute(f"PRAGMA user_version={_VERSION}")
        self.system.commit(connection)
        self._place = self.system.inspect(self._path)
        self.check_place()

    @property
    def _start_over(self) -> str:
        return f"move it away, or start over with resume=False (--no-resume), to export to {shown(self.target)}"

    def _explain_sqlite(self, error: sqlite3.Error) -> Exception:
        full = getattr(error, "sqlite_errorcode", 0)
        code = full & 0xFF
        # A file that was replaced while this one waited for its lock belonged to an export that has just ended.
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or full == sqlite3.SQLITE_READONLY_DBMOVED:
            return ExportLockedError(
                f"another export is writing {shown(self.target)}; wait for it, or choose another target"
            )
        if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
            return SinkError(f"cannot write into {shown(self._path.parent)}: {error}; make it writable")
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return error  # of the disk; `explain` says what it means
        return StoreError(f"{shown(self._path)} is damaged: {error}; {self._start_over}")

    def explain(self, error: BaseException, *, needed: int = 0) -> BaseException:
        """Return what to raise for an error: of the disk, one that says which rows are safe; any other as it is.

        `needed` is how many bytes the target takes, 0 if that is not known.
        """
        rows, missing = self.committed.rows, 0
        if needed:
            with suppress(OSError):
                missing = needed - self.system.free_bytes(self.target.parent)
        safe = f"{rows:,} rows are safe in the work store" if rows else None
        return explain_disk(error, self.target, safe=safe, missing=missing if missing > 0 else None)

    def check_place(self) -> None:
        """Check that the file still has the name under which it was opened.

        Raises:
            StoreError: It was removed or replaced.
        """
        found = self.system.inspect(self._path)
        if found is None or self._place is None or found.identity != self._place.identity:
            self.close()
            raise StoreError(
                f"{shown(self._path)} was removed or replaced while the export was running, so no row is safe; run "
                "the same again, and leave that file alone"
            )
        self._place = found

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{shown(self._path)} is closed after an error; run the same again to resume")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_connection
        self.check_place()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            self.check_place()
            self.system.commit(connection)
        except BaseException:
            self.close()
            raise
        self.check_place()

    def reset(self, identity: Mapping[str, Any]) -> None:
        """Delete all content, and start an export."""
        with self._transaction() as connection:
            for table in ("facts", "sessions", "pages", "rejected"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names are those above
            self._write_fact("identity", identity)
            self._write_fact("totals", asdict(Totals()))
        self.committed = Totals()

    def commit(self, change: Change) -> None:
        """Make pages and positions durable, in one transaction."""
        with self._transaction() as connection:
            pages = [(row.key, len(row.pages), row.rows, join_pages(row.pages)) for row in change.pages]
            connection.executemany("INSERT OR IGNORE INTO pages VALUES (?, ?, ?, ?, ?)", _checked(pages))
            connection.executemany("INSERT OR IGNORE INTO rejected VALUES (?, ?, ?)", _checked(change.rejected))
            connection.executemany(
                "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _checked(change.sessions),
            )
            self._write_fact("totals", asdict(change.totals))
        self.committed = change.totals

    def write_fact(self, name: FactName, value: Mapping[str, Any]) -> None:
        """Make one of the store's facts durable."""
        with self._transaction():
            self._write_fact(name, value)

    def _write_fact(self, name: FactName, value: Mapping[str, Any]) -> None:
        row = (name, json.dumps(value))
        self._open_connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (*row, checksum_row(row)))

    def read_identity(self) -> dict[str, Any] | None:
        """Return the identity of the export that started it; None if none did."""
        return self._read_fact("identity", dict[str, Any])

    def read_receipt(self, name: Literal["publishing", "receipt"]) -> Receipt | None:
        """Return what the store says of a finished target, or None."""
        return self._read_fact(name, Receipt)

    def read_totals(self) -> Totals:
        """Return the sums over all sessions."""
        found = self._read_fact("totals", Totals)
        if found is None:
            raise self.damaged("facts")
        self.committed = found
        return found

    def _read_fact(self, name: FactName, kind: type[T]) -> T | None:
        for row in self._select("SELECT * FROM facts WHERE name = ?", name):
            return self._check(lambda: msgspec.json.decode(row[1], type=kind), "facts")  # noqa: B023 - called at once
        return None

    def read_sessions(self, source: str | None = None) -> Iterator[SessionRow]:
        """Return the sessions, of all sources or of one, in the order in which they were given."""
        where, values = ("", ()) if source is None else ("WHERE source = ?", (source,))
        for row in self._select(f"SELECT * FROM sessions {where} ORDER BY number", *values):  # noqa: S608
            yield self._check(lambda: msgspec.convert(row, SessionRow), "sessions")  # noqa: B023 - called at once

    def read_batches(self, sources: Iterable[str]) -> Generator[Batch, None, None]:
        """Return all rows: source after source, session after session, as the server gave them.

        Raises:
            StoreError: What is there is not what was committed.
        """
        sessions = rows = 0
        for source in sources:
            for session in self.read_sessions(source):
                yield from self._read_session(session)
                sessions, rows = sessions + 1, rows + session.rows
        totals = self.read_totals()
        if (sessions, rows) != (totals.sessions, totals.rows):
            raise self.damaged("sessions")

    def _read_session(self, session: SessionRow) -> Iterator[Batch]:
        pages = rows = 0
        first = session.number << PAGE_BITS
        query = "SELECT * FROM pages WHERE key >= ? AND key < ? ORDER BY key"
        for key, count, length, data in self._select(query, first, first + MOST_PAGES):
            found, columns = self._check(lambda: unpack_pages(data), "pages")  # noqa: B023 - called at once
            batch = Batch(session.region, session.session_id, columns)
            if (key, count, length) != (first + pages, found, batch.rows):
                raise self.damaged("pages")
            pages, rows = pages + count, rows + length
            yield batch
        if (pages, rows) != (session.pages, session.rows):
            raise self.damaged("pages")

    def read_written(self, number: int) -> set[str | bytes]:
        """Return the ids of all events of a session, and the raw records of it that were set aside."""
        found = set[str | bytes]()
        for row in self._select("SELECT * FROM sessions WHERE number = ?", number):
            session = msgspec.convert(row, SessionRow)
            for batch in self._read_session(session):
                found.update(batch.column("event_id"))
            found.update(record.raw for record in self._read_rejected(session))
        return found

    def read_rejected(self) -> Iterator[tuple[SessionRow, RejectedRecord]]:
        """Return the records that were set aside, each with its session."""
        for session in self.read_sessions():
            for record in self._read_rejected(session):
                yield session, record

    def _read_rejected(self, session: SessionRow) -> Iterator[RejectedRecord]:
        count, first = 0, session.number << PAGE_BITS
        query = "SELECT * FROM rejected WHERE key >= ? AND key < ? ORDER BY key"
        for _, data in self._select(query, first, first + MOST_PAGES) if session.rejected else ():
            count += 1
            yield RejectedRecord(*msgspec.msgpack.decode(data, type=tuple[int, str, bytes]))
        if count != session.rejected:
            raise self.damaged("rejected")

    def _select(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Return rows without their checksum, which is compared."""
        try:
            for *columns, crc in self._open_connection.execute(query, values):
                if crc != checksum_row(tuple(columns)):
                    raise self.damaged(query.split("FROM ")[1].split()[0])
                yield tuple(columns)
        except sqlite3.DatabaseError as error:
            raise self._explain_sqlite(error) from None

    def _check(self, read: Callable[[], T], table: str) -> T:
        """Read a value with a good checksum; it can be invalid all the same, if another program wrote it."""
        try:
            return read()
        except (ValueError, msgspec.MsgspecError):
            raise self.damaged(table) from None

    def damaged(self, table: str) -> StoreError:
        """Return the error for a table that does not have what was committed."""
        return StoreError(
            f"{shown(self._path)} is damaged: the table {table} is not what was committed. It was altered, or the "
            f"disk is failing; {self._start_over}"
        )

    def shrink(self, receipt: Mapping[str, Any]) -> None:
        """Replace this store by a small one with only the receipt: what was exported, when the export is finished.

        To delete the rows from this store would take longer, because SQLite reads them for that: 3 s for each GB.
        """
        identity = self.read_identity() or {}
        path = self._path.with_name(f"{self._path.name}-small")
        small = WorkStore(self.target, self.system, path)
        small.discard()
        try:
            small.open()
            small.reset(identity)
            small.write_fact("receipt", receipt)
        finally:
            small.close()
        self.check_place()
        self.close()
        self.system.replace(path, self._path)
        self.system.sync_folder(self._path.parent)

    def close(self) -> None:
        """Close the store and release the lock; idempotent. What is not committed is rolled back."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        found = self.system.inspect(self._path)
        if found is not None and self._place is not None and found.identity == self._place.identity:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA journal_mode=DELETE")  # SQLite then removes its journal when it closes
        with suppress(sqlite3.Error):
            connection.close()

    def abandon(self) -> None:
        """Remove an open store that has nothing worth keeping; a closed one is left alone."""
        if self._connection is not None:
            self.close()
            self.discard()

    def discard(self) -> None:
        """Remove a closed store that has nothing worth keeping."""
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            self.system.remove(path)


_encode_row: Final = msgspec.msgpack.Encoder().encode


def checksum_row(columns: tuple[object, ...]) -> int:
    """Return the CRC-32 of all columns of a row."""
    return zlib.crc32(_encode_row(columns))


def _checked(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*row, checksum_row(tuple(row))) for row in rows]
