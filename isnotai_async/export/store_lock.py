"""One sync for one store: a lock that the system takes back from a process that dies."""

from __future__ import annotations

import sqlite3
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


def lock_store(store: Path, holder: str = "sync is updating") -> sqlite3.Connection:
    """Lock a store, or the target that is made from one; to close the connection releases the lock.

    The lock is an SQLite file next to it that one connection holds exclusively. SQLite locks files on every system,
    and notices a second connection of the same process too, which the file locks of POSIX do not. The file stays
    after the release: to remove it would let two in, one of them with a file that has no name any more.

    Raises:
        ExportLockedError: Another `holder`, of this process or another, has it.
        SinkError: The file cannot be made.
    """
    name, path = shown(store), lock_of(store)
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(path, timeout=0, isolation_level=None)
        hold(db)
        db.execute("PRAGMA user_version = 1")  # so that the file is a database
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise ExportLockedError(f"another {holder} {name}; wait for it, or choose another file") from None
        raise SinkError(
            f"cannot lock {name} with {shown(path)}: {error}; its folder must exist and be writable"
        ) from None
    return db
