"""`StreamPosition`: the place of a stream over many sessions, as a value that can be saved and resumed.

It does not list the sessions that are done: it counts how many were taken from their source, keeps a digest of
them, and holds the positions of the unfinished ones. So it stays small, however many sessions there were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from attrs import field, frozen

from isnotai_async._models.positions import Position, read_saved
from isnotai_async._models.validation import FilterValue
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import ConfigError, quoted

ANY: Final = ""
"""Name of a source that has the sessions of all names."""

_STREAM_SCHEMA: Final = 1


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

    Example:
        >>> eu = isnotai.Credential(sandbox.api_keys["eu"], region="eu", base_url=sandbox.base_urls["eu"])
        >>> async with isnotai.SessionManager({"eu": eu}) as manager:
        ...     async with manager.stream_events({"eu": ["big-100", "big-200"]}) as stream:
        ...         pages = [page async for page in stream]
        >>> stream.position.sources["eu"].count
        2

    Attributes:
        count: How many sessions were taken from it.
        digest: Digest of which ones, in their order.
    """

    count: int
    digest: str

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen
class UnfinishedSession:
    """A session that was started and is not finished, or has failed.

    Example:
        >>> async with client.stream_events(["big-1000"]) as stream:
        ...     async for page in stream:
        ...         break
        >>> [(session.walks[0].session_id, session.walks[0].given) for session in stream.position.unfinished]
        [('big-1000', 100)]

    Attributes:
        name: Name of its region, or of the credential in a `SessionManager`.
        walks: Positions of its walks; more than one if the session was split.
    """

    name: str
    walks: tuple[Position, ...]

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class StreamPosition:
    """A place in a stream.

    Example:
        >>> async with client.stream_events(["big-200"]) as stream:
        ...     async for page in stream:
        ...         break
        >>> print(stream.position)
        <StreamPosition: 1 sessions taken, 1 of them unfinished>
        >>> table = await client.stream_events(["big-200"], resume=stream.position).to_arrow()
        >>> len(page.data), table.num_rows
        (100, 100)

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

    __eq__, __hash__ = equals, hashed

    def __repr__(self) -> str:
        return f"<StreamPosition: {self.taken:,} sessions taken, {len(self.unfinished):,} of them unfinished>"

    def to_json(self) -> str:
        """Write the position as one line of ASCII JSON. It holds no secret.

        Example:
            >>> async with client.stream_events(["big-100"]) as stream:
            ...     pages = [page async for page in stream]
            >>> stream.position.to_json()[:41]
            '{"v": 1, "kind": "stream", "taken": 1, "d'
        """
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

        Example:
            >>> saved = client.stream_events(["big-100"]).position.to_json()
            >>> isnotai.StreamPosition.from_json(saved)
            <StreamPosition: 0 sessions taken, 0 of them unfinished>

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
        saved = read_saved(data, _SavedStream, "the stream position")
        return cls(
            taken=saved.taken,
            digest=saved.digest,
            filters=saved.filters,
            unfinished=tuple(map(_read_unfinished, saved.unfinished)),
            sources={name: SourceCount(*taken) for name, taken in saved.sources.items()},
        )

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


_Count = Annotated[int, msgspec.Meta(ge=0)]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class _SavedSession(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    walks: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]


class _SavedStream(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a saved position of a stream. It may be hostile."""

    taken: _Count
    digest: _Digest
    filters: dict[str, str | int | bool]
    unfinished: list[_SavedSession]
    sources: dict[str, tuple[_Count, _Digest]]


def _read_unfinished(saved: _SavedSession) -> UnfinishedSession:
    walks = tuple(Position.from_json(json.dumps(walk)) for walk in saved.walks)
    if any(walk.operation != "list_events" or walk.session_id is None for walk in walks):
        raise ConfigError(
            "the stream position was altered: a session in it has the position of a list that is not events; "
            "use the text as it was saved, or start without resume="
        )
    if len(list(groupby((walk.region, walk.session_id) for walk in walks))) != 1:
        raise ConfigError("the stream position mixes the walks of two sessions; it was altered")
    return UnfinishedSession(saved.name, walks)
