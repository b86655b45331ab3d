"""An SQLite database with a table `events`, as an export writes it; a sync adds a table `sessions`.

Written from the documented columns alone, as the readers in `recorded` are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from isnotai_async.errors import ConfigError, printable, quoted
from isnotai_async.sandbox.columns import COLUMNS, Row, check_row

MAGIC: Final = b"SQLite format 3\0"
"""The first bytes of every SQLite database."""

T = TypeVar("T")

_FIELDS: Final = {
    "id": "id",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "status": "status",
    "bot_score": "botScore",
    "detection_flags": "detectionFlags",
    "page_url": "pageUrl",
    "user_agent_summary": "userAgentSummary",
    "user_id": "userId",
    "user_name": "userName",
    "user_url": "userUrl",
}


def read_database(path: Path) -> Generator[tuple[int, Row], None, None]:
    """Read the rows of a database, each with its number.

    Raises:
        ConfigError: It has no such table, or a value of another type.
    """
    with _open(path) as database:
        for number, row in enumerate(database.execute(_query(database)), 1):
            yield number, check_row(row, f"row {number:,}")


def read_sessions(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Read the sessions of a database that a sync made, by creation: region, and the record as the API shows it.

    The list is empty for a database that an export made, which has events only.

    Raises:
        ConfigError: A value is not what a sync writes.
    """
    with _open(path) as database:
        if "sessions" not in _tables(database):
            return []
        query = f"SELECT region, extra, {', '.join(_FIELDS)} FROM sessions ORDER BY created_at, id"  # noqa: S608
        return [_make_record(*row) for row in database.execute(query)]


def _make_record(region: object, extra: object, *row: object) -> tuple[str, dict[str, Any]]:
    values = dict(zip(_FIELDS.values(), row, strict=True))
    if not isinstance(region, str) or not isinstance(values["id"], str):
        raise ConfigError(f"session {quoted(values['id'])}: region and id have to be strings")
    try:
        values["detectionFlags"] = _read_json(values["detectionFlags"], [])
        return region, {**_read_json(extra, {}), **values}
    except (TypeError, ValueError):
        raise ConfigError(f"session {quoted(values['id'])}: detection_flags or extra is no JSON") from None


def _read_json(text: Any, empty: T) -> T:  # noqa: ANN401 - whatever the database has there
    value: T = empty if text is None else json.loads(text)
    if type(value) is not type(empty):
        raise TypeError
    return value


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        # Not read-only: half a commit that a crash left has to be undone by the next reader.
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=60)
        ) as database:
            yield database
    except sqlite3.Error as error:
        raise ConfigError(f"it is a database that cannot be read ({printable(str(error), 200)})") from None


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _query(database: sqlite3.Connection) -> str:
    tables = _tables(database)
    if "events" not in tables:
        raise ConfigError("there is no table events; name a database that isnotai sync or isnotai export made")
    # A sync adds rows as they come, in no order that means anything; an export keeps the order of the API.
    order = " ORDER BY session_id, timestamp, event_id" if "sessions" in tables else ""
    return f"SELECT {', '.join(COLUMNS)} FROM events{order}"  # noqa: S608 - of constants
