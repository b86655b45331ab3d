"""SQLite: one database with a table `events`, whose columns are those of the schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import repeat
from pathlib import Path

from isnotai_async.export.batches import SQL_COLUMNS, Batch


def write_sqlite(batches: Iterable[Batch], path: Path) -> None:
    """Write batches into a new database, in one transaction; the caller makes it durable."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # A file that has no name yet needs no way back: if this fails, it is removed.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.execute(f"CREATE TABLE events ({SQL_COLUMNS})")
        for batch in batches:
            rows = zip(repeat(batch.region), repeat(batch.session_id), *batch.columns, strict=False)
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
