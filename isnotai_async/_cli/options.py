"""Options that commands share (connection, filters, output of an export), and the client that they open.

Options of the export: which sessions, and how they are written.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from attrs import frozen
from cyclopts import Group, Parameter, validators

from isnotai_async._cli.quota import open_shared_limiter, read_quota
from isnotai_async._client import Client
from isnotai_async._models.records import Event, Session
from isnotai_async._models.regions import REGIONS
from isnotai_async._models.validation import check_milliseconds
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox import Sandbox

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY_IN_DIGITS: Final = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)

_CONNECTION = Group("Connection")


@Parameter(name="*")
@frozen(kw_only=True)
class Connection:
    """Where to ask, and with which key."""

    region: Annotated[str | None, Parameter(group=_CONNECTION, env_var="ISNOTAI_REGION")] = None
    """us or eu; default us"""
    base_url: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """Where the region answers; default the environment's ISNOTAI_BASE_URL, else the vendor's address"""
    api_key_file: Annotated[Path | None, Parameter(group=_CONNECTION)] = None
    """File that holds the API key; default is the environment's ISNOTAI_API_KEY"""
    sandbox: Annotated[bool, Parameter(group=_CONNECTION, negative=())] = False
    """Ask a sandbox inside this process instead: no key, no network"""
    quota: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """Share of the key's rate that this command may use, e.g. 1/8 or 0.125; default all of it"""
    redis: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """Share the key's rate with other processes at this Redis: its URL, or env for the one in ISNOTAI_REDIS_URL"""


Limit = Annotated[int | None, Parameter(validator=validators.Number(gte=0), help="Most of them; default all")]
Json = Annotated[bool, Parameter(negative=(), help="JSON lines on a terminal, too")]
PageSize = Annotated[
    int | None,
    Parameter(validator=validators.Number(gte=1), help="Rows a request; the tier has a cap"),
]


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
    """Earliest time, inclusive: 2026-06-10, 2026-06-10T12:00:00Z or Unix milliseconds"""
    end: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Latest time, inclusive, likewise; a day counts whole"""
    page_size: Annotated[int | None, Parameter(group=_EVENTS, validator=validators.Number(gte=1))] = None
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
    return client.list_events(session_id, max_items=max_items, **read_query(filters))


def read_query(filters: EventFilters) -> dict[str, Any]:
    """Read which events the options ask for, as arguments of the client's methods.

    Raises:
        ConfigError: One of the times is none.
    """
    return {
        "page_size": filters.page_size,
        "type": filters.type,
        "start_time": _read_time(filters.start, "--start", time.min),
        "end_time": _read_time(filters.end, "--end", time.max),
    }


@asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[Client]:
    """Open the client that the options describe, and the sandbox if they ask for one.

    Args:
        connection: The options.

    Raises:
        ConfigError: The options contradict one another, or the key file cannot be read.
    """
    if connection.quota is not None and connection.redis is not None:
        raise ConfigError("--quota is a share for this command alone, --redis shares all of it; leave out one")
    quota = read_quota(connection.quota)
    if not connection.sandbox:
        key = None if connection.api_key_file is None else _read_key_file(connection.api_key_file)
        async with open_shared_limiter(connection.redis) as shared:
            client = Client(
                key,
                region=connection.region,
                base_url=connection.base_url,
                quota=quota,
                limiter=shared,
                trust_env=True,
            )
            async with client:
                yield client
        return
    if connection.api_key_file is not None:
        raise ConfigError("--sandbox brings its own key; leave out --api-key-file")
    if connection.base_url is not None:
        raise ConfigError("--sandbox brings its own address; leave out --base-url")
    if connection.quota is not None or connection.redis is not None:
        raise ConfigError("--sandbox has no quota to share; leave out --quota and --redis")
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


def _read_time(text: str | None, name: str, of_day: time) -> int | datetime | None:
    if text is None:
        return None
    if _DAY_IN_DIGITS.fullmatch(text):
        raise ConfigError(
            f"{name} {quoted(text)} looks like a day, and as Unix milliseconds would lie in 1970; write it "
            f"{text[:4]}-{text[4:6]}-{text[6:]}"
        )
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return check_milliseconds(int(text), name)
    try:
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), of_day, tzinfo=UTC)
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{name} {quoted(text)} is no time; write 2026-06-10, 2026-06-10T12:00:00Z or Unix milliseconds "
            "(1781092800000)"
        ) from None


_WRITING = Group("Writing")


@Parameter(name="*")
@frozen(kw_only=True)
class Writing:
    """How an export is written."""

    format: Annotated[Literal["jsonl", "jsonl.gz", "csv", "parquet", "sqlite"] | None, Parameter(group=_WRITING)] = (
        None
    )
    """How to write, if the ending of --out is not that of a format"""
    concurrency: Annotated[int, Parameter(group=_WRITING)] = 16
    """Most requests in flight"""
    split: Annotated[int | Literal["auto"] | None, Parameter(group=_WRITING)] = None
    """Windows of time to read each session in at once, or auto"""
    shard: Annotated[str | None, Parameter(group=_WRITING)] = None
    """k/n: only the k-th of n shards of the sessions, from 1; each session is in exactly one"""
    on_error: Annotated[Literal["collect", "raise"], Parameter(group=_WRITING)] = "collect"
    """If a session fails: continue with the others, or end at once"""
    raw_csv: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """In CSV, leave strings as they are that a spreadsheet would run as formulas"""
    bom: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """In CSV, start with a byte order mark, for spreadsheets"""
    segments: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """Make a folder of Parquet files"""
    no_resume: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """Start over, and remove what an interrupted run left"""
    if_exists: Annotated[Literal["fail", "skip", "replace"], Parameter(group=_WRITING)] = "fail"
    """If --out exists and this same command did not make it: fail, do nothing, or replace it"""

    @property
    def store_options(self) -> dict[str, Any]:
        """The same as arguments of `export_store`.

        Raises:
            ConfigError: There is an option that is for an export from the API.
        """
        mine = ("format", "if_exists", "bom", "segments")
        default = Writing(raw_csv=self.raw_csv, **{name: getattr(self, name) for name in mine})
        if self != default:
            raise ConfigError("--concurrency, --split, --shard, --on-error and --no-resume are not for --from")
        return {name: getattr(self, name) for name in mine} | {"formula_guard": not self.raw_csv}

    @property
    def options(self) -> dict[str, Any]:
        """The same as arguments of `export_events`."""
        return {
            "format": self.format,
            "concurrency": self.concurrency,
            "split": self.split,
            "shard": read_shard(self.shard),
            "on_error": self.on_error,
            "formula_guard": not self.raw_csv,
            "bom": self.bom,
            "segments": self.segments,
            "resume": not self.no_resume,
            "if_exists": self.if_exists,
        }


def read_shard(text: str | None) -> tuple[int, int] | None:
    """Read the option --shard.

    Raises:
        ConfigError: It is not of the form k/n.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None:
        raise ConfigError(f"--shard {quoted(text)} is no shard; write 2/8 for the second of eight")
    return int(found[1]), int(found[2])


def choose_sessions(
    client: Client, *, given: tuple[str, ...], file: Path | None, all: bool, filters: SessionFilters
) -> Paginator[Session] | SessionsFile | tuple[str, ...]:
    """Return the sessions to export, read lazily.

    Raises:
        ConfigError: None of the three ways to name sessions was used, or more than one.
    """
    ways = [bool(given), file is not None, all]
    if sum(ways) != 1:
        say = "say which sessions" if not any(ways) else "say in one way only which sessions"
        raise ConfigError(f"{say}: --session ID (as often as needed), --sessions-file FILE, or --all")
    if filters != SessionFilters() and not all:
        raise ConfigError("--status, --bot-only, --since and --until choose among all sessions; use them with --all")
    if all:
        return list_sessions(client, filters)
    if file is None:
        return given
    # A pipe gives its ids only once.
    return SessionsFile(file) if file.is_file() or not file.exists() else tuple(SessionsFile(file))


@frozen
class SessionsFile:
    """The ids in a file, one a line; read anew each time.

    Attributes:
        path: The file.

    Raises:
        ConfigError: While it is read: it cannot be, or is no text.
    """

    path: Path

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open(encoding="utf-8-sig") as lines:
                yield from (session_id for line in lines if (session_id := line.strip()))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"cannot read the session ids in {self.path}: {reason}") from None


def count_ids(sessions: Paginator[Session] | SessionsFile | tuple[str, ...]) -> int | None:
    """Count sessions without asking anybody; None where only the API knows."""
    return None if isinstance(sessions, Paginator) else len(set(sessions))
