"""One sync for one store: a lock that the system takes back from a process that dies."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from isnotai_async.errors import ExportLockedError, SinkError
from isnotai_async.export.places import lock_of, shown

_PATIENCE_MS: Final = 50  # enough for the other one of two to give up; a lock that is held longer is in use


def hold(connection: sqlite3.Connection) -> None:
    """Lock a database until its connection is closed.

    Of two that start in the same instant, one gets the lock. Without the wait both could fail, because SQLite takes a
    shared lock first, and each would find that of the other.

    Args:
        connection: Its connection, without a transaction.

    Raises:
        sqlite3.OperationalError: Another connection has the lock.
    """
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # from here on, the end of a transaction keeps the lock
    connection.execute("COMMIT")
    connection.execute("PRAGMA busy_timeout = 0")


class StoreLock:
    """The lock of a store: an SQLite file next to it that one connection holds exclusively.

    SQLite locks files on every system and notices a second connection of the same process too, which the file locks
    of POSIX do not. The file stays after the release: to remove it would let two in, one of them with a file that has
    no name any more.

    Args:
        store: The database that is locked.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._path = lock_of(store)
        self._db: sqlite3.Connection | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ExportLockedError: Another sync, of this process or another, has it.
            SinkError: The file cannot be made.
        """
        name = shown(self._store)
        try:
            self._db = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            hold(self._db)
            self._db.execute("PRAGMA user_version = 1")  # so that the file is a database
        except sqlite3.Error as error:
            self.release()
            if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise ExportLockedError(
                    f"another sync is updating {name}; wait for it, or choose another file"
                ) from None
            raise SinkError(
                f"cannot lock {name} with {shown(self._path)}: {error}; its folder must exist and be writable"
            ) from None

    def release(self) -> None:
        """Release the lock; idempotent."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None
