"""`Position`: the place of a walk, as a value that can be saved and resumed.

A position is valid after every single record. It names the page by the cursor that fetched it and counts the
records of that page already handed out, so nothing is repeated; and it carries a watermark, the time and id of the
last record, by which the walk proves on resuming that the page still reads the same. If the API then rejects the
cursor, the walk starts again by time or by count; for this, the position knows what was given (`trail`).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, NamedTuple, Protocol, TypeVar, get_type_hints

import msgspec
from attrs import asdict, field, frozen

from isnotai_async._models.records import Event, Session, User
from isnotai_async._models.validation import FilterValue, check_no_key
from isnotai_async.errors import ConfigError, printable, quoted

T = TypeVar("T")

_VERSION: Final = 2

MAX_CURSOR_BYTES: Final = 16 * 2**10
"""Longest cursor that is followed. A request line has to carry it, and few servers take longer ones."""

Watermark = tuple[int, str]
"""Unix milliseconds and id of a record."""

MOST_IDS: Final = 100
"""How many ids of one millisecond are kept; with more of them, only their count helps."""

_EVIDENCE: Final = 20
"""How many earlier records show that an order rises. One record rises in any order, and twenty in a shuffled order by
a chance of 1 in 20!. Below this, reading from the start again costs a page."""


class Trail(NamedTuple):
    """A summary of the records that a walk has given. A tuple, because one is created for each page.

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

    def follow(self, records: Sequence[Any], mark: Mark[Any], *, passed: int) -> Trail:
        """Return the trail after some more records.

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
        times, before = mark.times(records), self.watermark
        watermark = times[-1], mark.name(records[-1])
        if times != sorted(times) or (before is not None and before[0] > times[0]):
            return Trail(watermark, given, rising=False)
        ids = tuple(map(mark.name, records[bisect_left(times, watermark[0]) :]))
        if before is not None and before[0] == watermark[0]:
            ids = self.ids + ids if self.ids else ()  # too many before are too many now
        return Trail(watermark, given, rising=True, ids=ids if len(ids) <= MOST_IDS else ())


@frozen(eq=False)
class Mark(Generic[T]):
    """Returns the watermark of a record.

    Attributes:
        times: Returns the Unix milliseconds of some records: of every page of a walk, so it is one loop for all.
        name: Returns the id of one.
    """

    times: Callable[[Sequence[T]], list[int]]
    name: Callable[[T], str]

    def __call__(self, record: T) -> Watermark:
        """Return the watermark of a record."""
        return self.times((record,))[0], self.name(record)


def _milliseconds(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp() * 1000)


def _digest(record: object) -> str:
    content = json.dumps(record, sort_keys=True, default=dict)
    return blake2b(content.encode(), digest_size=16).hexdigest()


mark_event: Final = Mark[Event](lambda events: [each.timestamp for each in events], attrgetter("event_id"))
mark_session: Final = Mark[Session](
    lambda found: [_milliseconds(each.created_at) for each in found], attrgetter("id")
)
mark_user: Final = Mark[User](lambda rows: [_milliseconds(each.first_seen) for each in rows], attrgetter("user_id"))
mark_content: Final = Mark[object](lambda records: [0] * len(records), _digest)
"""For records for which neither an id nor a time is documented."""


class AnyQuery(Protocol):
    """The parameters of a list, as far as a position keeps them."""

    @property
    def session(self) -> str | None:
        """Session whose events are listed; None for other lists."""

    @property
    def filters(self) -> Mapping[str, FilterValue]:
        """All parameters that are set, except the session."""


@frozen(kw_only=True)
class Position:
    """A place in a walk.

    Example:
        >>> walk = client.list_events("big-250")
        >>> async for event in walk:
        ...     break
        >>> walk.position
        <Position in list_events of session 'big-250', region us, after 'ev-bb15db0f-89da45ea'>
        >>> len(await client.list_events("big-250", resume=walk.position).to_list())
        249

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
        place = "at the start" if mark is None else f"after {quoted(mark[1])}"
        return f"<Position in {printable(self.operation)}{session}, region {printable(self.region)}, {place}>"

    @classmethod
    def start(cls, operation: str, region: str, query: AnyQuery) -> Position:
        """Return the position before the first record of a query."""
        return cls(operation=operation, region=region, session_id=query.session, filters=query.filters)

    @property
    def trail(self) -> Trail:
        """A summary of the records that were given so far."""
        return Trail(self.watermark, self.given, self.rising, self.ids)

    def at(self, cursor: str | None, index: int, trail: Trail) -> Position:
        """Return the position of the same walk at another place."""
        return Position(  # not by `evolve`, which takes twice as long: there is one for each page
            operation=self.operation,
            region=self.region,
            session_id=self.session_id,
            filters=self.filters,
            cursor=cursor,
            index=index,
            watermark=trail.watermark,
            given=trail.given,
            rising=trail.rising,
            ids=trail.ids,
            since=self.since,
        )

    def to_json(self) -> str:
        """Write the position as one line of ASCII JSON. It holds no secret.

        Example:
            >>> walk = client.list_events("big-250", type="keypress")
            >>> walk.position.to_json()[:52]
            '{"v": 2, "operation": "list_events", "region": "us",'
        """
        return json.dumps({"v": _VERSION, **asdict(self, recurse=False), "filters": dict(self.filters)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Position:
        """Read what `to_json` wrote.

        Example:
            >>> saved = client.list_events("big-250").position.to_json()
            >>> isnotai.Position.from_json(saved)
            <Position in list_events of session 'big-250', region us, at the start>

        Raises:
            ConfigError: The text is no position, or one of a newer version of this package.
        """
        try:
            data = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise ConfigError("the position is not JSON; pass what Position.to_json() returned") from None
        version = data.pop("v", None) if isinstance(data, dict) else None
        if version not in (1, _VERSION) or not isinstance(data, dict):  # a set would have to hash it
            raise ConfigError(
                f"this is no position of version 1 to {_VERSION}; pass what Position.to_json() returned"
            )
        if version == 1 and not data.keys() & _OF_VERSION_2.keys():
            data |= _OF_VERSION_2
        saved: Any = read_saved(data, _SavedPosition, "the position")
        if saved.cursor is not None and not is_cursor(saved.cursor):
            raise wrong_field("the position", "cursor")
        return cls(**msgspec.structs.asdict(saved))

    def check(self, start: Position) -> None:
        """Check that this position belongs to a walk.

        Args:
            start: The position before the first record of that walk.

        Raises:
            ConfigError: It was made for another region, session or filter, or its cursor is an API key.
        """
        if self.cursor is not None:
            check_no_key(self.cursor, "the cursor of the position")
        for name in ("operation", "region", "session_id"):
            ours, theirs = getattr(self, name), getattr(start, name)
            if ours != theirs:
                raise ConfigError(
                    f"the position to resume from has {name} {quoted(ours)}, this walk has {quoted(theirs)}; "
                    "resume with what it was made for, or start without resume="
                )
        if dict(self.filters) != dict(start.filters):
            raise ConfigError(
                f"the position to resume from has the filters {quoted(dict(self.filters))}, this walk has "
                f"{quoted(dict(start.filters))}; pass the same ones, page_size included"
            )


# What version 1 did not say, so that it is not known.
_OF_VERSION_2: Final[dict[str, Any]] = {"given": None, "rising": False, "ids": [], "since": None}


_BOUNDS: Final = {  # a saved position may be hostile
    "index": Annotated[int, msgspec.Meta(ge=0, lt=2**31)],
    "given": Annotated[int, msgspec.Meta(ge=0)] | None,
    "ids": Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST_IDS)],
}
_SavedPosition: Final = msgspec.defstruct(
    "_SavedPosition", list({**get_type_hints(Position), **_BOUNDS}.items()), forbid_unknown_fields=True
)


S = TypeVar("S", bound=msgspec.Struct)


def read_saved(data: object, kind: type[S], what: str) -> S:
    """Read the fields of a saved value.

    Args:
        data: The fields, as JSON values.
        kind: Class of the value.
        what: What to call it in the message.

    Raises:
        ConfigError: A field is missing, unknown or of another type.
    """
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        found = re.search(r"field `(.*)`|`\$\.(\w+)", str(error), re.DOTALL)
    raise wrong_field(what, "" if found is None else found[1] or found[2])


def wrong_field(what: str, name: str) -> ConfigError:
    """Return the error for a field of a saved value."""
    return ConfigError(f"{what}'s field {printable(name)!r} is wrong; it was altered or cut")


def is_cursor(value: str) -> bool:
    """Return whether a string can be sent as a cursor: valid text, neither empty nor too long."""
    try:
        return 0 < len(value.encode()) <= MAX_CURSOR_BYTES
    except UnicodeEncodeError:
        return False


def ids_known_from(position: Position) -> frozenset[Watermark]:
    """Return the watermarks that a walk from the time `since` of a position finds again."""
    if position.since is None or position.watermark is None or position.watermark[0] != position.since:
        return frozenset()
    return frozenset((position.since, name) for name in position.ids)
