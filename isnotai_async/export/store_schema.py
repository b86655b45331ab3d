"""The tables of an event store, and how a session's record becomes a row of them.

``events`` has the columns of an export and is unique by session, region and event id. ``sessions`` has the fields of
the record, JSON if they are lists; fields that the contract does not have are in ``extra``, as a JSON object. Its
times are ISO 8601 in UTC, all with six digits, so that they sort as text.
Columns and tables whose names start with ``_isnotai_`` are ours; their times, as those of ``events``, are Unix
milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import fields_dict

from isnotai_async._models.records import Session
from isnotai_async._models.times import to_milliseconds, to_time
from isnotai_async.export.batches import SQL_COLUMNS

APPLICATION_ID: Final = 0x4E6F4149
"""Marks the file as ours (the letters NoAI), for the program ``file`` and for the check on opening."""

FIELDS: Final = tuple(name for name in fields_dict(Session) if name != "id")

# WITHOUT ROWID, `events` would take 95 bytes a row instead of 162, in the same time. But then DuckDB (1.5) cannot
# count the rows, because it asks for their ROWID.
# The columns are those of version 1 of the schema: a later version gets a script of its own.
MIGRATIONS: Final = (
    f"""
CREATE TABLE events ({SQL_COLUMNS}, PRIMARY KEY (session_id, region, event_id));
CREATE TABLE sessions (
    region TEXT NOT NULL,
    id TEXT NOT NULL,
    {", ".join(f"{name} {'REAL' if name == 'bot_score' else 'TEXT'}" for name in FIELDS)},
    _isnotai_state TEXT NOT NULL DEFAULT 'open',
    _isnotai_born INTEGER NOT NULL,
    _isnotai_recorded INTEGER,
    _isnotai_newest INTEGER,
    _isnotai_rows INTEGER NOT NULL DEFAULT 0,
    _isnotai_pages INTEGER NOT NULL DEFAULT 0,
    _isnotai_began INTEGER,
    _isnotai_reading TEXT,
    PRIMARY KEY (id, region)
);
CREATE INDEX _isnotai_by_age ON sessions (region, _isnotai_born);
CREATE INDEX _isnotai_open ON sessions (region, _isnotai_born) WHERE _isnotai_state = 'open';
CREATE TABLE _isnotai_regions (
    region TEXT NOT NULL PRIMARY KEY,
    place TEXT NOT NULL,
    listed_from INTEGER,
    listed_until INTEGER NOT NULL,
    history INTEGER,
    distrusted INTEGER,
    is_gap INTEGER NOT NULL
);
CREATE TABLE _isnotai_rejected (digest BLOB NOT NULL PRIMARY KEY, is_reported INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE _isnotai_store (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
""",
)
"""The script at index n brings a store of version n to n + 1."""

_RECORD: Final = ", ".join(FIELDS)

# Of one run only, so in a temporary file of the connection and not in the store.
TEMPORARY: Final = f"""
CREATE TEMP TABLE listed (region, id, {_RECORD}, born, recorded, PRIMARY KEY (region, id));
CREATE TEMP TABLE work (number INTEGER PRIMARY KEY, region, id, choice);
"""

NOTE_LISTED: Final = f"INSERT OR REPLACE INTO temp.listed VALUES ({', '.join('?' * (len(FIELDS) + 4))})"

# A session whose record has changed is open again, and a reading that an earlier run left starts from the beginning.
MERGE_LISTED: Final = f"""
INSERT INTO sessions (region, id, {_RECORD}, _isnotai_born, _isnotai_recorded)
SELECT region, id, {_RECORD}, born, recorded FROM temp.listed WHERE region = ?
ON CONFLICT (id, region) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in FIELDS)},
    _isnotai_born = iif(excluded.created_at IS NULL, _isnotai_born, excluded._isnotai_born),
    _isnotai_recorded = excluded._isnotai_recorded,
    _isnotai_state = 'open',
    _isnotai_reading = NULL
WHERE ({", ".join(f"sessions.{name}" for name in FIELDS)}) IS NOT ({", ".join(f"excluded.{name}" for name in FIELDS)})
"""


def describe_session(region: str, record: Session, now: int) -> tuple[Any, ...]:
    """Return a session's row of the temporary table ``listed``."""
    times = [moment for moment in (record.created_at, record.updated_at) if moment is not None]
    # Rounded so that a session is listed again rather than missed, and waits rather than is read too early.
    born = now if record.created_at is None else to_milliseconds(record.created_at)
    recorded = max((to_milliseconds(moment) + 1 for moment in times), default=None)
    fields = (_encode(getattr(record, name)) for name in FIELDS)
    return (region, record.id, *fields, born, recorded)


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return encode_time(value)
    if isinstance(value, Mapping):
        # In one order, because a record that is the same in another order has not changed.
        return json.dumps(value, sort_keys=True) if value else None
    return json.dumps(value) if isinstance(value, tuple) else value


def encode_time(moment: datetime) -> str:
    """Return a time as the table ``sessions`` has it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_datetime(milliseconds: int | None) -> datetime | None:
    """Return Unix milliseconds as a time; None if there are none, or if they are before the year 1."""
    try:
        return None if milliseconds is None else to_time(milliseconds)
    except OverflowError:
        return None
