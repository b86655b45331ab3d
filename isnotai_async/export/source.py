"""`ExportSource`: what an export reads from; a `Client`, or a `SessionManager` with clients by name, in one form."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from hashlib import blake2b
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from attrs import frozen

from isnotai_async._client import Client
from isnotai_async._manager import ManagedEventStream, SessionManager
from isnotai_async._models.pages import RejectedRecord
from isnotai_async._models.regions import Region
from isnotai_async._models.stream_positions import ANY, SessionRef
from isnotai_async._streaming.paginator import Paginator, from_start, set_aside
from isnotai_async._streaming.sources import NamedSessions, Sessions, read_named_sources, read_sessions
from isnotai_async._streaming.stream import EventStream
from isnotai_async.errors import ConfigError, DecodeError, quoted
from isnotai_async.export.shard import Shard, is_in_shard

AnySessions = Sessions | NamedSessions | Mapping[str, Sessions]
"""Sessions as `Client.stream_events` takes them, or as `SessionManager.stream_events` does."""

Stream = EventStream | ManagedEventStream

Targets = Mapping[str, AsyncGenerator[SessionRef, None]]
"""Sessions by the name of their source; `ANY` where one has those of all names."""


class ExportSource(Protocol):
    """Clients by name that an export reads from."""

    @property
    def regions(self) -> Mapping[str, str]:
        """Each name, with its region and address as text."""
        ...

    def read(self, sessions: AnySessions) -> Targets:
        """Return the sessions, which are read as they are needed.

        Raises:
            ConfigError: They are none; some of that comes only when they are read.
        """
        ...

    def open_stream(self, targets: Targets, **options: Any) -> Stream:  # noqa: ANN401 - those of stream_events
        """Return the stream over sessions; it is not open yet."""
        ...

    def client(self, name: str) -> Client:
        """Return the client of a name.

        Raises:
            ConfigError: There is none.
        """
        ...


@frozen
class _ClientSource:
    """A client, which goes by the name of its region."""

    source: Client

    @property
    def regions(self) -> Mapping[str, str]:
        return {self.source.region.name: _describe(self.source.region)}

    def read(self, sessions: AnySessions) -> Targets:
        return {ANY: read_sessions(cast(Sessions, _from_start(sessions)), self.source.region.name)}

    def open_stream(self, targets: Targets, **options: Any) -> Stream:  # noqa: ANN401
        return self.source.stream_events(_ids(targets[ANY]), **options)

    def client(self, name: str) -> Client:
        if name != self.source.region.name:
            raise ConfigError(f"the client asks {quoted(self.source.region.name)}, not {quoted(name)}")
        return self.source


@frozen
class _ManagerSource:
    """The clients of a `SessionManager`."""

    source: SessionManager

    @property
    def regions(self) -> Mapping[str, str]:
        return {name: _describe(region) for name, region in self.source.regions.items()}

    def read(self, sessions: AnySessions) -> Targets:
        if isinstance(sessions, Mapping):
            sessions = {name: cast(Sessions, _from_start(source)) for name, source in sessions.items()}
        return read_named_sources(cast(NamedSessions | Mapping[str, Sessions], _from_start(sessions)))

    def open_stream(self, targets: Targets, **options: Any) -> Stream:  # noqa: ANN401
        if ANY in targets:
            return self.source.stream_events(targets[ANY], **options)
        return self.source.stream_events({name: _ids(source) for name, source in targets.items()}, **options)

    def client(self, name: str) -> Client:
        return self.source[name]


def _describe(region: Region) -> str:
    """Say which API it is. A loopback address is the sandbox, or a tunnel, and its port another one each time."""
    parts = urlsplit(region.base_url)
    host = parts.netloc if parts.scheme == "https" else "this machine"
    return f"{region.name} at {host}{parts.path}"


def _from_start(sessions: object) -> object:
    """Return a list from its start: its identity is its query, so each reading has to give all of it."""
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


async def _ids(source: AsyncGenerator[SessionRef, None]) -> AsyncGenerator[str, None]:
    async with aclosing(source) as targets:
        async for target in targets:
            yield target.session_id


def take_shard(targets: Targets, shard: Shard | None) -> Targets:
    """Return only the sessions of a shard."""
    return {name: _filter(source, shard) for name, source in targets.items()}


async def _filter(source: AsyncGenerator[SessionRef, None], shard: Shard | None) -> AsyncGenerator[SessionRef, None]:
    async with aclosing(source) as targets:
        async for target in targets:
            if is_in_shard(target.name, target.session_id, shard):
                yield target


async def read_nothing() -> AsyncGenerator[SessionRef, None]:
    """Read a source without sessions."""
    return
    yield


def find_source(source: Client | SessionManager) -> ExportSource:
    """Return the source for what `export_events` was given.

    Raises:
        ConfigError: It is neither a client nor a manager.
    """
    if isinstance(source, SessionManager):
        return _ManagerSource(source)
    if not isinstance(source, Client):
        raise ConfigError(f"export from a Client or a SessionManager, not from {type(source).__name__}")
    return _ClientSource(source)
