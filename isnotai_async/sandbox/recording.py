"""Recorded sessions: what the files of an export and the database of a sync say, served as the data of a region.

The rules:

1. Sessions are listed in the order of their first rows, and events in the order of theirs, whatever their times. In
   the database of a sync, sessions are in the order of their creation, and events in that of their times.
2. The database of a sync has the records of its sessions, also of those without events; they are served as they are.
   A file of events has none: what it does not say is null (users, pages, scores). There a session counts as `closed`,
   was created at its earliest event and updated at its latest; one without events is not in the file.
3. Counters and categories go by the names of event types, because the real API's bytes are not documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from attrs import frozen

from isnotai_async.errors import quoted
from isnotai_async.sandbox.columns import Row
from isnotai_async.sandbox.details import describe
from isnotai_async.sandbox.recorded_log import RecordedLog, Types
from isnotai_async.sandbox.seed_data import iso, to_ms


@frozen(eq=False)
class RecordedSession:
    """One session.

    Attributes:
        id: Its id.
        name: The region's or credential's name in the file.
        log: Its events.
        record: The session as the API showed it; None if the file has only events.
    """

    id: str
    name: str
    log: RecordedLog
    record: Mapping[str, Any] | None = None

    @property
    def start_ms(self) -> int:
        """Unix milliseconds of its creation."""
        created = None if self.record is None else _milliseconds(self.record["createdAt"])
        return self.log.start_ms if created is None else created

    @property
    def status(self) -> str:
        """Its status; empty if its record has none."""
        return "closed" if self.record is None else self.record["status"] or ""

    @property
    def bot_score(self) -> float | None:
        """0 to 1, or None if it has no score."""
        return None if self.record is None else self.record["botScore"]

    @cached_property
    def details(self) -> dict[str, Any]:
        """Its details as the API shows them."""
        return describe(self.id, self.log.in_time_order())

    def show(self) -> dict[str, Any]:
        """Return the session as the API shows it."""
        if self.record is not None:
            return dict(self.record)
        unknown = ("botScore", "pageUrl", "userAgentSummary", "userId", "userName", "userUrl")
        return {
            "id": self.id,
            "createdAt": iso(self.log.start_ms),
            "updatedAt": iso(self.log.end_ms),
            "status": self.status,
            "detectionFlags": [],
            **dict.fromkeys(unknown),
        }


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else to_ms(datetime.fromisoformat(text))


class Recording:
    """The sessions of one region by their ids."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._sessions: dict[str, RecordedSession] = {}

    def add(self, row: Row) -> None:
        """Add an event.

        Raises:
            ValueError: It contradicts the rows before; or, as a `UnicodeEncodeError`, an id is no text.
        """
        name, session_id, event_id, kind, type_name, timestamp, size = row
        session = self._sessions.get(session_id)
        if session is None:
            session_id.encode()
            session = self._sessions[session_id] = RecordedSession(session_id, name, RecordedLog(self._types))
        _check_name(session, name)
        session.log.append(event_id, self._types.code(kind, type_name), timestamp, size)

    def add_session(self, name: str, record: Mapping[str, Any]) -> None:
        """Add a session, before its events.

        Args:
            name: The region's or credential's name.
            record: The session as the API shows it.

        Raises:
            ValueError: Its times are none, or another name has the same session.
        """
        if (other := self._sessions.get(record["id"])) is not None:
            _check_name(other, name)
        log = RecordedLog(self._types, _milliseconds(record["createdAt"]) or 0)
        self._sessions[record["id"]] = RecordedSession(record["id"], name, log, record)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of all sessions, in their order. Asked for when the file is read."""
        return tuple(self._sessions)

    @property
    def types(self) -> Mapping[str, int]:
        """Message type of each known name."""
        return self._types.by_name

    def __getitem__(self, session_id: str) -> RecordedSession:
        return self._sessions[session_id]


def _check_name(session: RecordedSession, name: str) -> None:
    if session.name != name:
        raise ValueError(
            f"session {quoted(session.id)} occurs under two names, {quoted(session.name)} and {quoted(name)}, "
            "which one region would have to serve; export each name into a file of its own"
        )
