"""`ExportSource`: sessions, and the `Client`, or the clients of a `SessionManager`, that their events come from."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from hashlib import blake2b
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
from attrs import frozen

from isnotai_async._client import Client
from isnotai_async._manager import ManagedEventStream, SessionManager
from isnotai_async._models.pages import Page, RejectedRecord
from isnotai_async._models.records import Event
from isnotai_async._models.regions import Region
from isnotai_async._models.stream_positions import ANY, SessionRef, SourceCount, StreamPosition, UnfinishedSession
from isnotai_async._models.validation import FilterValue
from isnotai_async._streaming.paginator import Paginator, from_start, set_aside
from isnotai_async._streaming.progress import SourceProgress
from isnotai_async._streaming.sources import NamedSessions, Sessions, read_named_sources, read_sessions
from isnotai_async._streaming.stream import EventStream
from isnotai_async.errors import ConfigError, DecodeError, quoted
from isnotai_async.export.shard import Shard, check_shard, is_in_shard

AnySessions = Sessions | NamedSessions | Mapping[str, Sessions]
"""Sessions as `Client.stream_events` takes them, or as `SessionManager.stream_events` does."""

Stream = EventStream | ManagedEventStream

Targets = AsyncGenerator[SessionRef, None]


@frozen(eq=False, repr=False)
class ExportSource:
    """Sessions, and the clients by name that their events are read from. A client goes by the name of its region."""

    origin: Client | SessionManager
    sessions: AnySessions = ()
    shard: Shard | None = None  # of the sessions, or None for all

    @property
    def regions(self) -> Mapping[str, str]:
        """Each name, with its region and address as text."""
        origin = self.origin
        regions = origin.regions if isinstance(origin, SessionManager) else {origin.region.name: origin.region}
        return {name: _describe(region) for name, region in regions.items()}

    def client(self, name: str) -> Client:
        """Return the client of a name.

        Raises:
            ConfigError: There is none.
        """
        if isinstance(self.origin, SessionManager):
            return self.origin[name]
        if name != self.origin.region.name:
            raise ConfigError(f"the client asks {quoted(self.origin.region.name)}, not {quoted(name)}")
        return self.origin

    def read(self) -> Mapping[str, Targets]:
        """Return the sessions by the name of their source, read as they are needed; `ANY` for those of all names.

        Raises:
            ConfigError: They are none; some of that comes only when they are read.
        """
        given = _from_start(self.sessions)
        if isinstance(self.origin, SessionManager):
            found = read_named_sources(cast(NamedSessions | Mapping[str, Sessions], given))
        else:
            found = {ANY: read_sessions(cast(Sessions, given), self.origin.region.name)}
        return {name: self._keep(targets) for name, targets in found.items()}

    async def _keep(self, targets: Targets) -> Targets:
        """Read only the sessions of the shard."""
        async with aclosing(targets):
            async for target in targets:
                if is_in_shard(*target, self.shard):
                    yield target

    def of(self, refs: Sequence[SessionRef]) -> ExportSource:
        """Return the same clients, with some sessions of theirs."""
        is_named = isinstance(self.origin, SessionManager)
        return ExportSource(self.origin, list(refs) if is_named else [ref.session_id for ref in refs])

    def open_stream(
        self,
        targets: Mapping[str, Targets],
        *,
        filters: Mapping[str, FilterValue],
        unfinished: Iterable[UnfinishedSession] = (),
        **options: Any,  # noqa: ANN401 - those of stream_events
    ) -> Stream:
        """Return the stream over some sessions, first those that an earlier run has left; it is not open yet."""
        is_named = isinstance(self.origin, SessionManager) and ANY not in targets
        nothing = SourceCount(0, SourceProgress().taken.digest)
        position = StreamPosition(
            taken=0,
            digest=nothing.digest,
            filters=filters,
            unfinished=tuple(unfinished),
            sources=dict.fromkeys(targets, nothing) if is_named else {},
        )
        options = {**filters, **options, "resume": position if position.unfinished else None}
        if isinstance(self.origin, SessionManager):
            given = {name: _ids(each) for name, each in targets.items()} if is_named else targets[ANY]
            return self.origin.stream_events(given, **options)
        (given,) = targets.values()
        return self.origin.stream_events(_ids(given), **options)


def _describe(region: Region) -> str:
    """Say which API it is. A loopback address is the sandbox, or a tunnel, and its port another one each time."""
    parts = urlsplit(region.base_url)
    host = parts.netloc if parts.scheme == "https" else "this machine"
    return f"{region.name} at {host}{parts.path}"


def _from_start(sessions: object) -> object:
    """Return lists from their start: their identity is their query, so each reading has to give all of it."""
    if isinstance(sessions, Mapping):
        return {name: _from_start(each) for name, each in sessions.items()}
    return _read_listed(from_start(sessions)) if isinstance(sessions, Paginator) else sessions


class Unlisted(str):
    """Stands for the id of a listed session whose record has none. No session can have it, so it is never sent."""

    __slots__ = ("error",)
    error: DecodeError

    @classmethod
    def of(cls, rejected: RejectedRecord) -> Unlisted:
        """Return what stands for a record; of two unlike ones it differs."""
        unlisted = cls(f"\0no id, record {blake2b(rejected.raw, digest_size=6).hexdigest()}")
        unlisted.error = rejected.as_error()
        return unlisted


async def _read_listed(walk: Paginator[Any]) -> AsyncGenerator[object, None]:
    """Read a list. Of a record that does not fit the documentation the id is enough: its events are not lost.

    One without an id is an `Unlisted`: it fails, and the others are exported.
    """
    async with aclosing(set_aside(walk).pages()) as pages:
        async for page in pages:
            for record in page.data:
                yield record
            for rejected in page.rejected:
                yield _read_id(rejected)


def _read_id(rejected: RejectedRecord) -> str:
    try:
        record = json.loads(rejected.raw)
    except ValueError:  # cut, because it is very long
        record = None
    session_id = record.get("id") if isinstance(record, dict) else None
    return session_id if isinstance(session_id, str) else Unlisted.of(rejected)


async def _ids(source: Targets) -> AsyncGenerator[str, None]:
    async with aclosing(source) as targets:
        async for target in targets:
            yield target.session_id


async def take_pages(stream: Stream, seconds: float, take: Callable[[Page[Event]], bool]) -> bool:
    """Take pages for some seconds, even if none comes, or until `take` says that it is enough for one commit.

    The time is checked once for each commit, not for each page: a timer for each page is a cost of its own.

    Returns:
        Whether more may come.
    """
    with anyio.move_on_after(seconds):
        async for page in stream:
            if take(page):
                return True
        return False
    return True


async def read_nothing() -> Targets:
    """Read a source without sessions."""
    return
    yield


def find_source(source: Client | SessionManager, sessions: AnySessions = (), shard: object = None) -> ExportSource:
    """Return the source for what `export_events` was given.

    Raises:
        ConfigError: It is neither a client nor a manager, or the shard does not exist.
    """
    if not isinstance(source, Client | SessionManager):
        raise ConfigError(f"export from a Client or a SessionManager, not from {type(source).__name__}")
    return ExportSource(source, sessions, check_shard(shard))
