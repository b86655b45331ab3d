"""Options that commands share (connection, filters, output of an export), and the client that they open.

Options of the export: which sessions, and how they are written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from attrs import frozen
from cyclopts import Group, Parameter, validators

from isnotai_async._cli.intervals import SANDBOX_CLOCK, Clock, Interval
from isnotai_async._cli.logs import logged
from isnotai_async._cli.quota import open_shared_limiter
from isnotai_async._cli.session_ids import SessionsFile, read_ids
from isnotai_async._cli.streams import STDIN, open_stdin
from isnotai_async._client import Client
from isnotai_async._http.key_file import read_key, read_key_file
from isnotai_async._models.records import Session
from isnotai_async._models.regions import resolve_region
from isnotai_async._models.validation import check_no_key, read_share
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox import Sandbox

_CONNECTION = Group("Connection", sort_key=9)  # the last one: it is the same everywhere


@Parameter(name="*")
@frozen(kw_only=True)
class LongConnection:
    """The options of the connection: region, key, proxy, timeout and quota. A long run has no deadline for a call."""

    region: Annotated[str | None, Parameter(group=_CONNECTION, env_var="ISNOTAI_REGION")] = None
    """us or eu; default us"""
    base_url: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """Base URL of the region; default ISNOTAI_BASE_URL, else the vendor's address"""
    api_key_file: Annotated[Path | None, Parameter(group=_CONNECTION, allow_leading_hyphen=True)] = None
    """File that holds the API key, - for stdin; default ISNOTAI_API_KEY, else the file ISNOTAI_API_KEY_FILE"""
    proxy: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """URL of an HTTP proxy; default HTTPS_PROXY, with the exceptions in NO_PROXY"""
    timeout: Annotated[float | None, Parameter(group=_CONNECTION)] = 60.0
    """Seconds for one attempt; none for no limit"""
    sandbox: Annotated[bool, Parameter(group=_CONNECTION, negative=(), show_default=False)] = False
    """Use a sandbox inside this process instead of the API: no key, no network"""
    quota: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """Share of the key's rate that this command may use, e.g. 1/8 or 0.125; default all of it"""
    redis: Annotated[str | None, Parameter(group=_CONNECTION)] = None
    """Share the key's rate with other processes through this Redis: its URL, or env for ISNOTAI_REDIS_URL"""
    verbose: Annotated[
        int, Parameter(group=_CONNECTION, name=("--verbose", "-v"), count=True, show_default=False)
    ] = 0
    """Log waits and retries on stderr, with -vv each attempt; also ISNOTAI_LOG=info or debug"""

    @property
    def clock(self) -> Clock:
        """The clock that relative times count from."""
        return SANDBOX_CLOCK if self.sandbox else Clock()


LONG: Final = LongConnection()


@Parameter(name="*")
@frozen(kw_only=True)
class Connection(LongConnection):
    """The options of the connection of a command that makes single calls."""

    deadline: Annotated[float | None, Parameter(group=_CONNECTION)] = 120.0
    """Seconds for a request, waits included; none for no limit. For the whole command: timeout -s INT 60 isnotai …"""


Limit = Annotated[int | None, Parameter(validator=validators.Number(gte=0), help="Most of them; default all")]
Json = Annotated[bool, Parameter(negative=(), show_default=False, help="Write JSON, on a terminal too")]
PageSize = Annotated[
    int | None,
    Parameter(validator=validators.Number(gte=1), help="Rows a request; the tier has a cap"),
]


_SESSIONS = Group("Sessions")


@Parameter(name="*")
@frozen(kw_only=True)
class SessionFilters:
    """The options that select sessions."""

    status: Annotated[str | None, Parameter(group=_SESSIONS)] = None
    """Only sessions of this status, e.g. active or closed"""
    bot_only: Annotated[bool, Parameter(group=_SESSIONS, negative=(), show_default=False)] = False
    """Only sessions with a bot score of at least 0.7"""
    since: Annotated[str | None, Parameter(group=_SESSIONS)] = None
    """Created at or after: 7d or 12h (ago), yesterday, 2026-06-10 or 2026-06-10T12:00:00Z"""
    until: Annotated[str | None, Parameter(group=_SESSIONS)] = None
    """Created at or before, written like --since; a day counts whole"""

    def interval(self, clock: Clock) -> Interval:
        """Return when the sessions were created.

        Raises:
            ConfigError: An option is no time, or they are in the wrong order.
        """
        return clock.read("sessions created", ("--since", self.since), ("--until", self.until))

    def query(self, interval: Interval) -> dict[str, Any]:
        """Return the options as arguments of the client's methods."""
        times = {"start_date": interval.start, "end_date": interval.end}
        return {"status": self.status, "bot_only": self.bot_only or None, **times}


_EVENTS = Group("Events")


@Parameter(name="*")
@frozen(kw_only=True)
class EventOptions:
    """The options that select events."""

    type: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Message-type byte (1, 0x01) or short name. Documented names: init, mouse_move, keypress; there are more"""
    start: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Earliest time, inclusive: 7d or 12h (ago), yesterday, 2026-06-10, 2026-06-10T12:00:00Z or Unix milliseconds"""
    end: Annotated[str | None, Parameter(group=_EVENTS)] = None
    """Latest time, inclusive, written like --start; a day counts whole"""
    page_size: Annotated[int | None, Parameter(group=_EVENTS, validator=validators.Number(gte=1))] = None
    """Events a request; default and cap depend on the tier"""

    def interval(self, clock: Clock) -> Interval:
        """Return when the events happened.

        Raises:
            ConfigError: An option is no time, or they are in the wrong order.
        """
        return clock.read("events", ("--start", self.start), ("--end", self.end))

    def query(self, interval: Interval) -> dict[str, Any]:
        """Return the options as arguments of the client's methods."""
        times = {"start_time": interval.start, "end_time": interval.end}
        return {"page_size": self.page_size, "type": self.type, **times}


@asynccontextmanager
async def open_client(connection: LongConnection) -> AsyncIterator[Client]:
    """Open the client that the options describe, and the sandbox if they ask for one.

    Args:
        connection: The options.

    Raises:
        ConfigError: The options contradict one another, or the key file cannot be read.
    """
    if connection.quota is not None and connection.redis is not None:
        raise ConfigError("--quota is a share for this command alone, --redis shares all of it; leave out one")
    quota = 1.0 if connection.quota is None else read_share(connection.quota, "--quota")
    with logged(connection.verbose):
        if connection.sandbox:
            async with _open_sandbox(connection) as client:
                yield client
            return
        key = None if connection.api_key_file is None else _read_key(connection.api_key_file)
        async with open_shared_limiter(connection.redis) as shared:
            client = Client(
                key,
                region=connection.region,
                base_url=connection.base_url,
                quota=quota,
                limiter=shared,
                proxy=_check_proxy(connection.proxy),
                trust_env=True,
                timeout=connection.timeout,
                deadline=_deadline_of(connection),
            )
            async with client:
                yield client


def _check_proxy(proxy: str | None) -> str | None:
    if proxy is not None and "@" in proxy:
        raise ConfigError(
            "--proxy has a user name or password, which others on this machine can see; set HTTPS_PROXY instead"
        )
    return proxy


@asynccontextmanager
async def _open_sandbox(connection: LongConnection) -> AsyncIterator[Client]:
    for name, brings in {"api_key_file": "key", "base_url": "address", "proxy": "address"}.items():
        if getattr(connection, name) is not None:
            raise ConfigError(f"--sandbox brings its own {brings}; leave out --{name.replace('_', '-')}")
    if connection.quota is not None or connection.redis is not None:
        raise ConfigError("--sandbox has no quota to share; leave out --quota and --redis")
    region = resolve_region(connection.region).name
    # No rate limit: this sandbox serves only this command, and a demonstration should be fast.
    async with Sandbox(rate_limit=None) as sandbox:
        key, base_url = sandbox.api_keys[region], sandbox.base_urls[region]
        async with Client(
            key,
            region=region,
            base_url=base_url,
            limiter=Unlimited(),
            timeout=connection.timeout,
            deadline=_deadline_of(connection),
        ) as client:
            yield client


def _deadline_of(connection: LongConnection) -> float | None:
    return (connection if isinstance(connection, Connection) else Connection()).deadline


def _read_key(path: Path) -> str:
    if path != STDIN:
        return read_key_file(path, "--api-key-file")
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass("API key: ")
    return read_key(open_stdin(), "--api-key-file -")


ExportFormat = Literal["jsonl", "jsonl.gz", "csv", "parquet", "sqlite", "delta"]
_WRITING = Group("Writing")


@Parameter(name="*")
@frozen(kw_only=True)
class Writing:
    """The options for how an export is written."""

    format: Annotated[ExportFormat | None, Parameter(group=_WRITING)] = None
    """Format of the file, if the name in --out does not end like a format"""
    job: Annotated[str | None, Parameter(group=_WRITING)] = None
    """With --format delta: name of the work, which the same command does once, on any number of machines"""
    concurrency: Annotated[int, Parameter(group=_WRITING)] = 16
    """Maximum number of requests in flight"""
    split: Annotated[int | Literal["auto"] | None, Parameter(group=_WRITING)] = None
    """Number of time windows in which each session is read in parallel, or auto"""
    shard: Annotated[str | None, Parameter(group=_WRITING)] = None
    """k/n: only the k-th of n shards of the sessions, from 1; each session is in exactly one"""
    on_error: Annotated[Literal["collect", "raise"], Parameter(group=_WRITING)] = "collect"
    """If a session fails: continue with the others, or end at once"""
    raw_csv: Annotated[bool, Parameter(group=_WRITING, negative=(), show_default=False)] = False
    """In CSV, leave strings as they are that a spreadsheet would run as formulas"""
    bom: Annotated[bool, Parameter(group=_WRITING, negative=(), show_default=False)] = False
    """In CSV, start with a byte order mark, for spreadsheets"""
    segments: Annotated[bool, Parameter(group=_WRITING, negative=(), show_default=False)] = False
    """Make a folder of Parquet files"""
    no_resume: Annotated[bool, Parameter(group=_WRITING, negative=(), show_default=False)] = False
    """Start over, and remove what an interrupted run left"""
    if_exists: Annotated[Literal["fail", "skip", "replace"], Parameter(group=_WRITING)] = "fail"
    """If --out exists and this same command did not make it: fail, do nothing, or replace it"""

    @property
    def store_options(self) -> dict[str, Any]:
        """Return the options as arguments of `export_store`.

        Raises:
            ConfigError: One of the options is only for an export from the API.
        """
        mine = ("format", "if_exists", "bom", "segments")
        default = Writing(raw_csv=self.raw_csv, **{name: getattr(self, name) for name in mine})
        if self != default:
            raise ConfigError("--concurrency, --split, --shard, --on-error and --no-resume are not for --from")
        return {name: getattr(self, name) for name in mine} | {"formula_guard": not self.raw_csv}

    @property
    def options(self) -> dict[str, Any]:
        """Return the options as arguments of `export_events`."""
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
        ConfigError: The value does not have the form k/n.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None:
        raise ConfigError(f"--shard {quoted(text)} is no shard; write 2/8 for the second of eight")
    return int(found[1]), int(found[2])


def choose_sessions(
    given: tuple[str, ...], file: Path | None, every: Callable[[], Paginator[Session]] | None, *, is_filtered: bool
) -> Paginator[Session] | SessionsFile | tuple[str, ...]:
    """Return the sessions to export, read lazily.

    Args:
        given: Their ids.
        file: File of their ids.
        every: Lists all sessions that match the filters.
        is_filtered: Whether there are filters.

    Raises:
        ConfigError: None of the three ways to name sessions was used, or more than one; or the file has no id.
    """
    ways = [bool(given), file is not None, every is not None]
    if sum(ways) != 1:
        say = "say which sessions" if not any(ways) else "say in one way only which sessions"
        raise ConfigError(f"{say}: --session ID (as often as needed), --sessions-file FILE, or --all")
    if every is not None:
        return every()
    if is_filtered:
        raise ConfigError("--status, --bot-only, --since and --until choose among all sessions; use them with --all")
    if file is None:
        return tuple(check_no_key(session_id, "--session") for session_id in given)
    if file == STDIN:
        return read_ids(open_stdin(), "stdin")
    found = SessionsFile(file)
    if file.exists() and not file.is_file():
        return tuple(found)  # a pipe can be read only once
    next(iter(found))  # an unreadable or empty file is an error before anything is written
    return found


def count_ids(sessions: Paginator[Session] | SessionsFile | tuple[str, ...]) -> int | None:
    """Return the number of sessions, or None if only the API knows it. It sends no request."""
    return None if isinstance(sessions, Paginator) else len(set(sessions))
