"""Positions: where a walk or a stream stands, as values that can be saved and resumed.

A position is valid after every single record. It names the page by the cursor that fetched it and counts the
records of that page already handed out, so nothing is repeated; and it carries a watermark, the time and id of the
last record, by which the walk proves on resuming that the page still reads the same. If the API refuses the cursor by
then, the walk begins again by time or by count, for which the position knows what was given (`trail`).

Where a stream over many sessions stands, as a value that can be saved and gone on from.

It does not list the sessions that are done: it counts how many were taken from their source, keeps a digest of
which, and says of each unfinished one where its walks stand. So it stays small, however many there were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from attrs import evolve, field, frozen

from isnotai_async._models.pages import MAX_CURSOR_BYTES
from isnotai_async._models.queries import ListQuery
from isnotai_async._models.records import Event
from isnotai_async._models.validation import FilterValue
from isnotai_async._showing import show
from isnotai_async.errors import ConfigError, printable, quoted

_VERSION: Final = 2

Watermark = tuple[int, str]
"""Unix milliseconds and id of a record."""

MOST_IDS: Final = 100
"""How many ids of one millisecond are kept; with more of them, only their count helps."""

_EVIDENCE: Final = 20
"""How many earlier records show that an order rises. One record rises in any order, and twenty in a shuffled order by
a chance of 1 in 20!. Below this, reading from the start again costs a page."""


@frozen
class Trail:
    """What a walk has given.

    Attributes:
        watermark: Unix milliseconds and id of the last record that was given; None before the first.
        given: Records passed so far, those that could not be read included; None if that is not known, because the
            position was saved by an older version.
        rising: Whether their times never fell.
        ids: Ids of those given in the watermark's millisecond; empty if there are more than a hundred.
    """

    watermark: Watermark | None = None
    given: int | None = 0
    rising: bool = True
    ids: tuple[str, ...] = ()

    @property
    def resumes_by_time(self) -> bool:
        """Whether all that is left has the watermark's time or a later one, and that time's ids are known."""
        return self.rising and bool(self.ids) and (self.given or 0) - len(self.ids) >= _EVIDENCE

    def follow(self, records: Sequence[Any], mark: Callable[[Any], Watermark], *, passed: int) -> Trail:
        """Return the trail behind some more records.

        Args:
            records: The records that were given.
            mark: Gives the watermark of one.
            passed: How many records were passed with them, those that could not be read included.
        """
        given = None if self.given is None else self.given + passed
        if not records:
            return Trail(self.watermark, given, self.rising, self.ids)
        if not self.rising:  # nothing but the last one matters any more
            return Trail(mark(records[-1]), given, rising=False)
        marks = [mark(record) for record in records]
        times = [time for time, _ in marks]
        last, before = times[-1], self.watermark
        rising = self.rising and (before is None or before[0] <= times[0]) and times == sorted(times)
        if not rising:
            return Trail(marks[-1], given, rising=False)
        ids = [name for time, name in marks if time == last]
        if before is not None and before[0] == last:
            ids = [*self.ids, *ids] if self.ids else []  # too many before are too many now
        return Trail(marks[-1], given, rising=True, ids=tuple(ids) if len(ids) <= MOST_IDS else ())


def mark_event(event: Event) -> Watermark:
    """Return the watermark of an event."""
    return event.timestamp, event.event_id


@frozen(kw_only=True)
class Position:
    """A place in a walk.

    Attributes:
        operation: What is walked, such as ``"list_events"``.
        region: Name of the region; a cursor means nothing in another.
        session_id: Session whose events are walked; None for other lists.
        filters: The filters, which have to be the same on resuming.
        cursor: Opaque cursor of the page the walk stands in; None for the first page.
        index: Records of that page that were passed: handed out, or not readable.
        watermark: Unix milliseconds and id of the last record handed out; None before the first.
        given: Records passed in all; None if that is not known, because the position is of version 1.
        rising: Whether the times of all that was handed out never fell.
        ids: Ids handed out in the watermark's millisecond; empty if they are more than a hundred.
        since: Unix milliseconds from which the walk began again, after an earlier cursor was refused; the cursor
            belongs to that walk. None for a walk from its start.
    """

    operation: str
    region: str
    session_id: str | None = None
    filters: Mapping[str, FilterValue] = field(factory=dict, hash=False)
    cursor: str | None = None
    index: int = 0
    watermark: Watermark | None = None
    given: int | None = 0
    rising: bool = True
    ids: tuple[str, ...] = ()
    since: int | None = None

    def __repr__(self) -> str:
        session = "" if self.session_id is None else f" of session {quoted(self.session_id)}"
        mark = self.watermark
        place = "at the start" if mark is None else f"behind {quoted(mark[1])}"
        return f"<Position in {printable(self.operation)}{session}, region {printable(self.region)}, {place}>"

    @classmethod
    def start(cls, query: ListQuery, region: str) -> Position:
        """Return the position before the first record of a query."""
        return cls(operation=query.operation, region=region, session_id=query.session_id, filters=query.filters)

    @property
    def trail(self) -> Trail:
        """What was given so far."""
        return Trail(self.watermark, self.given, self.rising, self.ids)

    def at(self, cursor: str | None, index: int, trail: Trail) -> Position:
        """Return the position of the same walk at another place."""
        return evolve(
            self,
            cursor=cursor,
            index=index,
            watermark=trail.watermark,
            given=trail.given,
            rising=trail.rising,
            ids=trail.ids,
        )

    def to_json(self) -> str:
        """Write the position as one line of ASCII JSON. It holds no secret."""
        return json.dumps(
            {
                "v": _VERSION,
                "operation": self.operation,
                "region": self.region,
                "session_id": self.session_id,
                "filters": dict(self.filters),
                "cursor": self.cursor,
                "index": self.index,
                "watermark": None if self.watermark is None else list(self.watermark),
                "given": self.given,
                "rising": self.rising,
                "ids": list(self.ids),
                "since": self.since,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Position:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: The text is no position, or one of a newer version of this package.
        """
        try:
            data = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise ConfigError("the position is not JSON; pass what Position.to_json() returned") from None
        version = data.pop("v", None) if isinstance(data, dict) else None
        if version not in {1, _VERSION} or not isinstance(data, dict):
            raise ConfigError(
                f"this is no position of version 1 to {_VERSION}; pass what Position.to_json() returned"
            )
        if version == 1 and not data.keys() & _OF_VERSION_2.keys():
            data |= _OF_VERSION_2
        if wrong := _wrong_field(data):
            raise ConfigError(f"the position's field {printable(wrong)!r} is wrong; it was altered or cut")
        mark = data["watermark"]
        return cls(**{**data, "watermark": None if mark is None else (mark[0], mark[1]), "ids": tuple(data["ids"])})

    def check(self, start: Position) -> None:
        """Check that this position belongs to a walk.

        Args:
            start: The position before the first record of that walk.

        Raises:
            ConfigError: It was made for another region, session or filter.
        """
        for name in ("operation", "region", "session_id"):
            ours, theirs = getattr(self, name), getattr(start, name)
            if ours != theirs:
                raise ConfigError(
                    f"the position to resume from has {name} {_show(ours)}, this walk has {_show(theirs)}; "
                    "resume with what it was made for, or start without resume="
                )
        if dict(self.filters) != dict(start.filters):
            raise ConfigError(
                f"the position to resume from has the filters {_show(dict(self.filters))}, this walk has "
                f"{_show(dict(start.filters))}; pass the same ones, page_size included"
            )


# What version 1 did not say, so that it is not known.
_OF_VERSION_2: Final[dict[str, Any]] = {"given": None, "rising": False, "ids": [], "since": None}


def _show(value: object) -> str:
    return quoted(value)


def _wrong_field(data: dict[str, Any]) -> str:
    """Name the first field that is missing, unknown or of another type. A saved position may be hostile."""
    checks: dict[str, Callable[[Any], bool]] = {
        "operation": lambda v: isinstance(v, str),
        "region": lambda v: isinstance(v, str),
        "session_id": lambda v: v is None or isinstance(v, str),
        "filters": lambda v: isinstance(v, dict) and all(isinstance(x, str | int) for x in v.values()),
        "cursor": lambda v: v is None or (isinstance(v, str) and is_cursor(v)),
        "index": lambda v: type(v) is int and 0 <= v < 2**31,
        "watermark": lambda v: v is None or _is_watermark(v),
        "given": lambda v: v is None or _is_count(v),
        "rising": lambda v: isinstance(v, bool),
        "ids": lambda v: isinstance(v, list) and len(v) <= MOST_IDS and all(isinstance(x, str) for x in v),
        "since": lambda v: v is None or type(v) is int,
    }
    if unknown := data.keys() - checks.keys():
        return min(unknown)
    return next((name for name, holds in checks.items() if name not in data or not holds(data[name])), "")


def _is_watermark(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int and isinstance(value[1], str)


def is_cursor(value: str) -> bool:
    """Tell whether a string can be followed as a cursor: valid text, neither empty nor over-long."""
    try:
        return 0 < len(value.encode()) <= MAX_CURSOR_BYTES
    except UnicodeEncodeError:
        return False


ANY: Final = ""
"""Name of a source that has the sessions of all names."""

_STREAM_SCHEMA: Final = 1
_DIGEST: Final = re.compile("[0-9a-f]{32}")


class SessionRef(NamedTuple):
    """A session, and where it is.

    Attributes:
        name: Name of its region, or of the credential in a `SessionManager`.
        session_id: Its id, as the source of the stream gave it.
    """

    name: str
    session_id: str


@frozen
class SourceCount:
    """How far a source of sessions was read.

    Attributes:
        count: How many sessions were taken from it.
        digest: Digest of which ones, in their order.
    """

    count: int
    digest: str

    __repr__ = show


@frozen
class UnfinishedSession:
    """A session that was begun, or has failed.

    Attributes:
        name: Name of its region, or of the credential in a `SessionManager`.
        walks: Where each of its walks stands; more than one where the session was split.
    """

    name: str
    walks: tuple[Position, ...]

    __repr__ = show


@frozen(kw_only=True)
class StreamPosition:
    """A place in a stream.

    Attributes:
        taken: How many sessions were taken from the source, or from all sources.
        digest: Digest of which ones, in their order; where each name has a source, of none.
        filters: The filters, which have to be the same on resuming.
        unfinished: The sessions taken that were not handed out to their end.
        sources: By name, what was taken from its source, where each name has one.
    """

    taken: int
    digest: str
    filters: Mapping[str, FilterValue] = field(hash=False)
    unfinished: tuple[UnfinishedSession, ...]
    sources: Mapping[str, SourceCount] = field(factory=dict, hash=False)

    def __repr__(self) -> str:
        return f"<StreamPosition: {self.taken:,} sessions taken, {len(self.unfinished):,} of them unfinished>"

    def to_json(self) -> str:
        """Write the position as one line of ASCII JSON. It holds no secret."""
        return json.dumps(
            {
                "v": _STREAM_SCHEMA,
                "kind": "stream",
                "taken": self.taken,
                "digest": self.digest,
                "filters": dict(self.filters),
                "unfinished": [
                    {"name": session.name, "walks": [json.loads(walk.to_json()) for walk in session.walks]}
                    for session in self.unfinished
                ],
                "sources": {name: [taken.count, taken.digest] for name, taken in self.sources.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> StreamPosition:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: The text is no position of a stream, or one of a newer version of this package.
        """
        try:
            data = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise ConfigError("the position is not JSON; pass what StreamPosition.to_json() returned") from None
        if not isinstance(data, dict) or (data.pop("v", None), data.pop("kind", None)) != (_STREAM_SCHEMA, "stream"):
            raise ConfigError(
                f"this is no stream position of version {_STREAM_SCHEMA}; pass what StreamPosition.to_json() returned"
            )
        if wrong := _wrong_stream_field(data):
            raise ConfigError(f"the stream position's field {printable(wrong)!r} is wrong; it was altered or cut")
        data["unfinished"] = tuple(_read_unfinished(session) for session in data["unfinished"])
        data["sources"] = {name: SourceCount(*taken) for name, taken in data["sources"].items()}
        return cls(**data)

    def check(self, filters: Mapping[str, FilterValue]) -> None:
        """Check that this position belongs to a stream.

        Args:
            filters: The filters of that stream.

        Raises:
            ConfigError: It was made with other filters.
        """
        if dict(self.filters) != dict(filters):
            raise ConfigError(
                f"the stream position to resume from has the filters {quoted(dict(self.filters))}, this stream has "
                f"{quoted(dict(filters))}; pass the same ones, page_size included"
            )


def _read_unfinished(data: dict[str, Any]) -> UnfinishedSession:
    walks = tuple(Position.from_json(json.dumps(walk)) for walk in data["walks"])
    if any(walk.operation != "list_events" or walk.session_id is None for walk in walks):
        raise ConfigError("the stream position has a walk that is none over events; it was altered")
    if len(list(groupby((walk.region, walk.session_id) for walk in walks))) != 1:
        raise ConfigError("the stream position mixes the walks of two sessions; it was altered")
    return UnfinishedSession(data["name"], walks)


def _wrong_stream_field(data: dict[str, Any]) -> str:
    """Name the first field that is missing, unknown or of another type. A saved position may be hostile."""
    checks: dict[str, Callable[[Any], bool]] = {
        "taken": _is_count,
        "digest": _is_digest,
        "filters": lambda v: isinstance(v, dict) and all(isinstance(x, str | int) for x in v.values()),
        "unfinished": lambda v: isinstance(v, list) and all(_is_unfinished(x) for x in v),
        "sources": lambda v: isinstance(v, dict) and all(_is_taken(x) for x in v.values()),
    }
    if unknown := data.keys() - checks.keys():
        return min(unknown)
    return next((name for name, holds in checks.items() if name not in data or not holds(data[name])), "")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_taken(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_count(value[0]) and _is_digest(value[1])


def _is_unfinished(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"name", "walks"}:
        return False
    walks = value["walks"]
    return (
        isinstance(value["name"], str)
        and isinstance(walks, list)
        and bool(walks)
        and all(isinstance(walk, dict) for walk in walks)
    )
