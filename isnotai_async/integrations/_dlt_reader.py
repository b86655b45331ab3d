"""What is new in an event store since the last complete load of a pipeline of dlt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from attrs import define, field

from isnotai_async.export.batches import COLUMNS
from isnotai_async.export.store_file import READER_SECONDS
from isnotai_async.export.store_schema import FIELDS

SESSION: Final = ("region", "id", *FIELDS)
"""Columns of the sessions."""

_CHUNK_ROWS: Final = 20_000
_EVENTS: Final = (
    f"SELECT rowid, {', '.join(COLUMNS)} FROM events WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
)
_SESSIONS: Final = (
    f"SELECT {', '.join(SESSION)} FROM sessions "
    "WHERE region = ? AND (_isnotai_state = 'open' OR ifnull(_isnotai_began, 0) >= ?)"
)


@define(eq=False)
class StoreReader:
    """What is new in a store, for one load after the other."""

    path: Path
    rows: int = -1  # most events of a load; -1 for no limit
    is_more: bool = field(default=True, init=False)  # whether the last load left events out

    def read_sessions(self) -> Iterator[list[dict[str, Any]]]:
        """Give the sessions whose records may be new, and note the newest reading of each region."""
        with self._open() as db:
            known = _find_start()
            newest = "SELECT region, max(ifnull(_isnotai_began, 0)) FROM sessions GROUP BY region"
            times = dict(db.execute(newest).fetchall())
            since = known.get("read", {}) if known.get("store") == _identify(db) else {}
            for region in times:
                found = db.execute(_SESSIONS, (region, since.get(region, 0)))
                while chunk := found.fetchmany(_CHUNK_ROWS):
                    yield [dict(zip(SESSION, row, strict=True)) for row in chunk]
            _note(known, {"store": _identify(db), "read": times})

    def read_events(self) -> Iterator[list[dict[str, Any]]]:
        """Give the next events, and note how far they go."""
        with self._open() as db:
            known = _find_start()
            first = _find_row(db, known)
            number, newest = first, db.execute("SELECT ifnull(max(rowid), 0) FROM events").fetchone()[0]
            found = db.execute(_EVENTS, (first, newest, self.rows))
            while chunk := found.fetchmany(_CHUNK_ROWS):
                yield [dict(zip(COLUMNS, row[1:], strict=True)) for row in chunk]
                number = chunk[-1][0]
            self.is_more = number < newest
            if number > first:
                _note(known, {"store": _identify(db), "row": number, "event": _find_event(db, number)})

    def _open(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.path, timeout=READER_SECONDS, isolation_level=None))


def _find_start() -> dict[str, Any]:
    """Return how far the last complete load of this resource went."""
    import dlt

    state = dlt.current.resource_state()
    is_complete = "load" in state and _is_complete(state["load"])
    found: dict[str, Any] = state.get("end" if is_complete else "start", {})
    return found


def _is_complete(load: str) -> bool:
    """Return whether a load is complete, as far as the working folder of the pipeline knows."""
    import dlt

    pipeline = dlt.current.pipeline()
    if load not in pipeline.list_completed_load_packages():
        return False
    info = pipeline.get_load_package_info(load)
    return info.state == "loaded" and not info.jobs.get("failed_jobs")


def _note(start: Mapping[str, Any], end: Mapping[str, Any]) -> None:
    """Note in the state of this resource where its load starts and ends."""
    import dlt

    load = dlt.current.load_package_state()["load_id"]
    dlt.current.resource_state().update(start=dict(start), end=dict(end), load=load)


def _find_row(db: sqlite3.Connection, known: Mapping[str, Any]) -> int:
    """Return the number of the last row that is loaded; 0 if it is that of another store."""
    is_same = known.get("store") == _identify(db) and known["event"] == _find_event(db, known["row"])
    return int(known["row"]) if is_same else 0


def _find_event(db: sqlite3.Connection, number: int) -> list[str] | None:
    found = db.execute("SELECT region, session_id, event_id FROM events WHERE rowid = ?", (number,)).fetchone()
    return None if found is None else list(found)


def _identify(db: sqlite3.Connection) -> str:
    """Return the id of the store, which has none before its first load."""
    db.execute("INSERT OR IGNORE INTO _isnotai_store VALUES ('id', ?)", (uuid4().hex,))
    return str(db.execute("SELECT value FROM _isnotai_store WHERE name = 'id'").fetchone()[0])
