"""Options that commands share, and the client they open."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

from attrs import frozen
from cyclopts import Group, Parameter

from isnotai_async.client import Client
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.limiter import Unlimited
from isnotai_async.paginator import Paginator
from isnotai_async.records import Event, Session
from isnotai_async.regions import REGIONS
from isnotai_async.sandbox import Sandbox

_CONNECTION = Group("Connection")


@Parameter(name="*")
@frozen(kw_only=True)
class Connection:
    """Where to ask, and with which key."""

    region: Annotated[str | None, Parameter(group=_CONNECTION, env_var="ISNOTAI_REGION")] = None
    """us or eu; default us"""
    base_url: Annotated[str | None, Parameter(group=_CONNECTION, env_var="ISNOTAI_BASE_URL")] = None
    """Where the region answers, if not at the vendor's address"""
    api_key_file: Annotated[Path | None, Parameter(group=_CONNECTION)] = None
    """File that holds the API key; default is the environment's ISNOTAI_API_KEY"""
    sandbox: Annotated[bool, Parameter(group=_CONNECTION, negative=())] = False
    """Ask a sandbox inside this process instead: no key, no network"""


_SESSIONS = Group("Sessions")


@Parameter(name="*")
@frozen(kw_only=True)
class SessionFilters:
    """Which sessions are meant."""

    status: Annotated[str | None, Parameter(group=_SESSIONS)] = None
    """Only sessions of this status, e.g. active or closed"""
    bot_only: Annotated[bool, Parameter(group=_SESSIONS, negative=())] = False
    """Only sessions with a bot score of at least 0.7"""
    since: Annotated[str | None, Parameter(group=_SESSIONS)] = None
    """Created at or after: 2026-06-10 or 2026-06-10T12:00:00Z"""
    until: Annotated[str | None, Parameter(group=_SESSIONS)] = None
    """Created at or before, likewise; a day counts whole"""


_EVENTS = Group("Events")


@Parameter(name="*")
@frozen(kw_only=True)
class EventFilters:
    """Which events are meant."""

    type: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Message-type byte (1, 0x01) or short name (keypress)"""
    start: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Earliest time, inclusive: Unix milliseconds or 2026-06-10T12:00:00Z"""
    end: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Latest time, inclusive, likewise"""
    page_size: Annotated[int | None, Parameter(group=_EVENTS)] = None
    """Events a request; default and cap depend on the tier"""


def list_sessions(client: Client, filters: SessionFilters, *, max_items: int | None = None) -> Paginator[Session]:
    """List the sessions that the options ask for."""
    return client.list_sessions(
        status=filters.status,
        bot_only=filters.bot_only or None,
        start_date=filters.since,
        end_date=filters.until,
        max_items=max_items,
    )


def list_events(
    client: Client, session_id: str, filters: EventFilters, *, max_items: int | None = None
) -> Paginator[Event]:
    """List the events of a session that the options ask for."""
    return client.list_events(
        session_id,
        page_size=filters.page_size,
        type=filters.type,
        start_time=_read_time(filters.start, "--start"),
        end_time=_read_time(filters.end, "--end"),
        max_items=max_items,
    )


def choose_sessions(
    client: Client, *, given: tuple[str, ...], file: Path | None, all: bool, filters: SessionFilters
) -> AsyncIterator[str]:
    """Return the ids to export, read lazily.

    Raises:
        ConfigError: None of the three ways to name sessions was used, or more than one.
    """
    ways = [bool(given), file is not None, all]
    if sum(ways) != 1:
        raise ConfigError("say which sessions: --session ID (as often as needed), --sessions-file FILE, or --all")
    if filters != SessionFilters() and not all:
        raise ConfigError("--status, --bot-only, --since and --until choose among all sessions; use them with --all")
    if all:
        return _listed_ids(client, filters)
    return _each(dict.fromkeys(given) if file is None else _file_ids(file))


async def _listed_ids(client: Client, filters: SessionFilters) -> AsyncIterator[str]:
    async for session in list_sessions(client, filters):
        yield session.id


async def _each(ids: Iterable[str]) -> AsyncIterator[str]:
    for session_id in ids:
        yield session_id


def _file_ids(path: Path) -> Iterator[str]:
    seen = set[str]()
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for line in lines:
                session_id = line.strip()
                if session_id and session_id not in seen:
                    seen.add(session_id)
                    yield session_id
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the session ids in {path}: {reason}") from None


@asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[Client]:
    """Open the client that the options describe, and the sandbox if they ask for one.

    Raises:
        ConfigError: The options contradict one another, or the key file cannot be read.
    """
    if not connection.sandbox:
        key = None if connection.api_key_file is None else _read_key_file(connection.api_key_file)
        async with Client(key, region=connection.region, base_url=connection.base_url) as client:
            yield client
        return
    if connection.api_key_file is not None:
        raise ConfigError("--sandbox brings its own key; leave out --api-key-file")
    region = connection.region or "us"
    if region not in REGIONS:
        raise ConfigError(f"unknown region {quoted(region)}; the regions are: {', '.join(REGIONS)}")
    # No quota: a sandbox of one's own has nothing to protect, and a demonstration should be quick.
    async with Sandbox(rate_limit=None) as sandbox:
        key, base_url = sandbox.api_keys[region], sandbox.base_urls[region]
        async with Client(key, region=region, base_url=base_url, limiter=Unlimited()) as client:
            yield client


def _read_key_file(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from None


def _read_time(text: str | None, name: str) -> int | datetime | None:
    if text is None:
        return None
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        shown = quoted(text)
        raise ConfigError(
            f"{name} {shown} is no time; write Unix milliseconds (1781092800000) or ISO 8601 (2026-06-10T12:00:00Z)"
        ) from None
