"""Sources of sessions: an id, a list, a generator or a paginator, read as sessions are needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Final, TypeGuard

from anyio import CancelScope

from isnotai_async._models.records import Session
from isnotai_async._models.stream_positions import ANY, SessionRef
from isnotai_async._models.validation import check_no_key
from isnotai_async.errors import ConfigError, quoted

SessionItem = str | Session
Sessions = SessionItem | Iterable[SessionItem] | AsyncIterable[SessionItem]
"""One session, or any source of them: ids, or the records of `list_sessions`."""

NamedItem = tuple[str, SessionItem]
NamedSessions = NamedItem | Iterable[NamedItem] | AsyncIterable[NamedItem]
"""The same, each with the name of its region or credential before it."""

_PATIENCE: Final = 1_000  # items that are read in one go


async def read_sessions(sessions: Sessions, name: str) -> AsyncGenerator[SessionRef, None]:
    """Read the sessions of one region, each when it is asked for.

    Args:
        sessions: The source. An asynchronous iterator is closed in the end.
        name: Name of the region.

    Raises:
        ConfigError: It is no source of sessions, gives something else, or has an API key in place of an id; of a
            list before its first session is read.
    """
    async with aclosing(_iterate([sessions] if isinstance(sessions, SessionItem) else sessions)) as items:
        async for item in items:
            yield SessionRef(name, _read_id(item))


def read_named_sources(
    sessions: NamedSessions | Mapping[str, Sessions],
) -> dict[str, AsyncGenerator[SessionRef, None]]:
    """Read the sessions of several regions.

    Args:
        sessions: By name a source of its own, or one of pairs.

    Returns:
        By name its sessions, or as `ANY` those of all names; errors as of `read_sessions`.

    Raises:
        ConfigError: There is no source.
    """
    if not isinstance(sessions, Mapping):
        return {ANY: _read_pairs(sessions)}
    if not sessions or not all(isinstance(name, str) and name for name in sessions):
        raise ConfigError("sessions by name must be like {'us': ids, 'eu': ids}")
    return {name: read_sessions(source, name) for name, source in sessions.items()}


async def _read_pairs(sessions: NamedSessions) -> AsyncGenerator[SessionRef, None]:
    async with aclosing(_iterate([sessions] if _is_pair(sessions) else sessions)) as items:
        async for item in items:
            if not _is_pair(item):
                raise ConfigError(f"sessions must be pairs like ('eu', 's1'), not {quoted(item)}")
            yield SessionRef(item[0], _read_id(item[1]))


def _is_pair(item: object) -> TypeGuard[tuple[str, object]]:
    return (
        isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], SessionItem)
    )


def _read_id(item: object) -> str:
    if isinstance(item, Session):
        return item.id
    if not isinstance(item, str):
        raise ConfigError(f"sessions must be ids or Session records, not {quoted(item)}")
    return check_no_key(item, "a session id")


async def _iterate(source: object) -> AsyncGenerator[object, None]:
    if isinstance(source, AsyncIterable):
        items = aiter(source)
        try:
            async for item in items:
                yield item
        finally:
            await _close(items)
    elif isinstance(source, Iterable) and not isinstance(source, bytes | bytearray):
        if isinstance(source, Collection):
            await _check_no_keys(source)
        for number, item in enumerate(source):
            if number % _PATIENCE == _PATIENCE - 1:
                await asyncio.sleep(0)  # skipping a million of them must not hold the event loop
            yield item
    else:
        raise ConfigError(f"sessions must be an id, a Session, or an iterable of them, not {type(source).__name__}")


async def _check_no_keys(items: Collection[object]) -> None:
    """Check all items of what can be read twice, so that a key among them is found before anything is sent."""
    for number, item in enumerate(items):
        if number % _PATIENCE == _PATIENCE - 1:
            await asyncio.sleep(0)
        session = item[1] if _is_pair(item) else item
        if isinstance(session, str):
            _read_id(session)


async def _close(items: AsyncIterator[object]) -> None:
    close = getattr(items, "aclose", None)  # generators have it, other iterators need not
    if close is not None:
        with CancelScope(shield=True):  # the source may have something to release
            await close()
