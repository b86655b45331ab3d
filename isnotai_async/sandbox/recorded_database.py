"""Rows of an SQLite database with a table `events`: what an export of that format wrote, or a sync keeps up to date.

Written from the documented columns alone, as the readers in `recorded` are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

from isnotai_async.errors import ConfigError, printable, quoted

MAGIC: Final = b"SQLite format 3\0"
"""The first bytes of every SQLite database."""

Row = tuple[str, str, str, int, str | None, int, int]

_COLUMNS: Final = ("region", "session_id", "event_id", "message_id", "event_type_name", "timestamp", "payload_size")
_TYPES: Final = (str, str, str, int, str, int, int)
_WORDS: Final = {str: "a string", int: "a whole number"}


def read_database(path: Path) -> Generator[tuple[int, Row], None, None]:
    """Read the rows of a database, each with its number.

    Raises:
        ConfigError: It has no such table, or a value of another type.
    """
    try:
        # Not read-only: half a commit that a crash left has to be undone by the next reader.
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=60)
        ) as database:
            for number, row in enumerate(database.execute(_query(database)), 1):
                yield number, _check(row, number)
    except sqlite3.Error as error:
        raise ConfigError(f"it is a database that cannot be read ({printable(str(error), 200)})") from None


def _query(database: sqlite3.Connection) -> str:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "events" not in tables:
        raise ConfigError("there is no table events; name a database that isnotai sync or isnotai export made")
    # A sync adds rows as they come, in no order that means anything; an export keeps the order of the API.
    order = " ORDER BY session_id, timestamp, event_id" if "sessions" in tables else ""
    return f"SELECT {', '.join(_COLUMNS)} FROM events{order}"  # noqa: S608 - of constants


def _check(row: tuple[object, ...], number: int) -> Row:
    for name, value, kind in zip(_COLUMNS, row, _TYPES, strict=True):
        if type(value) is not kind and (value is not None or name != "event_type_name"):
            raise ConfigError(f"row {number:,}: {name} has to be {_WORDS[kind]}, and is {quoted(value)}")
    return cast(Row, row)
