"""Recorded sessions: what the files of an export and the database of a sync say, served as the data of a region.

The rules:

1. Sessions are listed in the order of their first rows, and events in the order of theirs, whatever their times. In
   the database of a sync, sessions are in the order of their creation, and events in that of their times.
2. The database of a sync has the records of its sessions, also of those without events; they are served as they are.
   A file of events has none: what it does not say is null (users, pages, scores). There a session counts as `closed`,
   was created at its earliest event and updated at its latest; one without events is not in the file.
3. Counters and categories go by the names of event types, because the real API's bytes are not documented.

In memory an event takes the length of its id and 24 bytes: about 45 MB for a million events whose ids have 20
characters, and 60 MB if they have 36.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from attrs import frozen

from isnotai_async.errors import quoted
from isnotai_async.sandbox.columns import Row, show_event
from isnotai_async.sandbox.details import describe
from isnotai_async.sandbox.seed_data import BYTES, iso, to_ms

EventType = tuple[int, str | None]


class Types:
    """The event types of a file: each pair of byte and name once."""

    def __init__(self) -> None:
        self.pairs: list[EventType] = []
        self.by_name: dict[str, int] = dict(BYTES)
        self._codes: dict[EventType, int] = {}

    def code(self, kind: int, name: str | None) -> int:
        """Return the number of a type; a new number if it has none yet."""
        code = self._codes.setdefault((kind, name), len(self.pairs))
        if code == len(self.pairs):
            self.pairs.append((kind, name))
            # The file's own names go before the catalogue's, which the real API need not share.
            if name is not None:
                self.by_name[name] = kind
        return code


class RecordedLog:
    """The events of a session, in columns. In time order it can be summed up.

    Args:
        types: The file's event types.
        created_ms: When the session was created, in Unix milliseconds; for one without events.
    """

    def __init__(self, types: Types, created_ms: int = 0) -> None:
        self._types = types
        self._created_ms = created_ms
        self._ids = bytearray()  # all ids in a row, in UTF-8
        self._ends = array("Q")  # where each of them ends
        self._codes = array("I")
        self._times = array("q")
        self._sizes = array("i")

    def append(self, event_id: str, code: int, timestamp: int, payload_size: int) -> None:
        """Add an event.

        Raises:
            UnicodeEncodeError: The id is no text.
        """
        encoded = event_id.encode()
        self._times.append(timestamp)
        self._sizes.append(payload_size)
        self._codes.append(code)
        self._ids += encoded
        self._ends.append(len(self._ids))

    @property
    def size(self) -> int:
        """Number of its events."""
        return len(self._times)

    @cached_property
    def is_in_time_order(self) -> bool:
        """Whether no event is earlier than the one before."""
        return all(before <= after for before, after in pairwise(self._times))

    @cached_property
    def start_ms(self) -> int:
        """Unix milliseconds of the earliest event; of the creation if there is none."""
        return min(self._times, default=self._created_ms)

    @cached_property
    def end_ms(self) -> int:
        """Unix milliseconds of the latest event; of the creation if there is none."""
        return max(self._times, default=self._created_ms)

    def event(self, index: int) -> dict[str, object]:
        """Return one event as the API shows it."""
        kind, name = self._types.pairs[self._codes[index]]
        begin = self._ends[index - 1] if index else 0
        event_id = self._ids[begin : self._ends[index]].decode()
        return show_event(event_id, kind, name, timestamp=self._times[index], payload_size=self._sizes[index])

    def select(self, first: int, *, kind: int | None, start: int | None, end: int | None) -> Iterator[int]:
        """Yield the indexes of the events that pass the filters, in rising order."""
        stop = self.size
        if self.is_in_time_order:  # then the times are a stretch, and need not be looked at
            first = first if start is None else max(first, self.first_at(start))
            stop = stop if end is None else self.first_at(end + 1)
            start = end = None
        pairs, codes, times = self._types.pairs, self._codes, self._times
        for index in range(first, stop):
            if (
                (kind is None or pairs[codes[index]][0] == kind)
                and (start is None or times[index] >= start)
                and (end is None or times[index] <= end)
            ):
                yield index

    def first_at(self, at_ms: int) -> int:
        """Return the index of the first event at or after this instant; `size` if there is none."""
        return bisect_left(self._times, at_ms)

    def counts(self, start: int, stop: int) -> Counter[int]:
        """Count each message type from index `start` up to, not including, `stop`."""
        total: Counter[int] = Counter()
        for code, times in Counter(self._codes[start:stop]).items():
            total[self._types.pairs[code][0]] += times
        return total

    def name_of(self, kind: int) -> str:
        """Return the first name that the file gives to a message type; empty if it gives none."""
        return next((name for known, name in self._types.pairs if known == kind and name is not None), "")

    def in_time_order(self) -> RecordedLog:
        """Return the log itself if it is in time order, else a sorted copy without event ids."""
        if self.is_in_time_order:
            return self
        copy = RecordedLog(self._types)
        order = sorted(range(self.size), key=self._times.__getitem__)
        copy._times = array("q", map(self._times.__getitem__, order))
        copy._codes = array("I", map(self._codes.__getitem__, order))
        return copy


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
