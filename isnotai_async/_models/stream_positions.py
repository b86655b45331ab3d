"""`StreamPosition`: the place of a stream over many sessions, as a value that can be saved and resumed.

It does not list the sessions that are done: it counts how many were taken from their source, keeps a digest of
them, and holds the positions of the unfinished ones. So it stays small, however many sessions there were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from attrs import field, frozen

from isnotai_async._models.positions import Position, is_count
from isnotai_async._models.validation import FilterValue
from isnotai_async._showing import show
from isnotai_async.errors import ConfigError, printable, quoted

ANY: Final = ""
"""Name of a source that has the sessions of all names."""

_STREAM_SCHEMA: Final = 1
_DIGEST: Final = re.compile("[0-9a-f]{32}")


class SessionRef(NamedTuple):
    """A session and the name of its region or credential.

    Attributes:
        name: Name of its region, or of the credential in a `SessionManager`.
        session_id: Its id, as the source of the stream gave it.
    """

    name: str
    session_id: str


@frozen
class SourceCount:
    """Number and digest of the sessions that were read from a source.

    Attributes:
        count: How many sessions were taken from it.
        digest: Digest of which ones, in their order.
    """

    count: int
    digest: str

    __repr__ = show


@frozen
class UnfinishedSession:
    """A session that was started and is not finished, or has failed.

    Attributes:
        name: Name of its region, or of the credential in a `SessionManager`.
        walks: Positions of its walks; more than one if the session was split.
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
        "taken": is_count,
        "digest": _is_digest,
        "filters": lambda v: isinstance(v, dict) and all(isinstance(x, str | int) for x in v.values()),
        "unfinished": lambda v: isinstance(v, list) and all(_is_unfinished(x) for x in v),
        "sources": lambda v: isinstance(v, dict) and all(_is_taken(x) for x in v.values()),
    }
    if unknown := data.keys() - checks.keys():
        return min(unknown)
    return next((name for name, holds in checks.items() if name not in data or not holds(data[name])), "")


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_taken(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and is_count(value[0]) and _is_digest(value[1])


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
