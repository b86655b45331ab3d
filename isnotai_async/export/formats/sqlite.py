"""SQLite: one database with a table `events`, whose columns are those of the schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import Final

from msgspec.structs import astuple

from isnotai_async.export.batches import Batch

_TABLE: Final = """
CREATE TABLE events (
    region TEXT NOT NULL,
    session_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    message_id INTEGER NOT NULL,
    event_type_name TEXT,
    timestamp INTEGER NOT NULL,
    payload_size INTEGER NOT NULL
)
"""


def write_sqlite(batches: Iterable[Batch], path: Path) -> None:
    """Write batches into a new database, in one transaction; the caller makes it durable."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # A file that has no name yet needs no way back: if this fails, it is removed.
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.execute(_TABLE)
        for batch in batches:
            rows = zip(repeat(batch.region), repeat(batch.session_id), *astuple(batch.columns), strict=False)
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
