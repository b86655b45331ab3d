"""Options that commands share (connection, filters, output), and the client that they open."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import frozen
from cyclopts import Group, Parameter, validators

from isnotai_async._cli.intervals import SANDBOX_CLOCK, Clock, Interval
from isnotai_async._cli.logs import logged
from isnotai_async._cli.quota import open_shared_limiter
from isnotai_async._cli.streams import STDIN, open_stdin
from isnotai_async._client import Client
from isnotai_async._http.key_file import read_key, read_key_file
from isnotai_async._models.regions import resolve_region
from isnotai_async._models.validation import read_share
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox import Sandbox

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Limit = Annotated[int | None, Parameter(validator=validators.Number(gte=0), help="Most of them; default all")]
Json = Annotated[Flag, Parameter(help="Write JSON, on a terminal too")]
PageSize = Annotated[
    int | None, Parameter(validator=validators.Number(gte=1), help="Rows a request; the tier has a cap")
]


@Parameter(name="*", group=Group("Connection", sort_key=9))  # the last one: it is the same everywhere
@frozen(kw_only=True)
class LongConnection:
    """The options of the connection: region, key, proxy, timeout and quota. A long run has no deadline for a call."""

    region: Annotated[str | None, Parameter(env_var="ISNOTAI_REGION")] = None
    """us or eu; default us"""
    base_url: str | None = None
    """Base URL of the region; default ISNOTAI_BASE_URL, else the vendor's address"""
    api_key_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None
    """File that holds the API key, - for stdin; default ISNOTAI_API_KEY, else the file ISNOTAI_API_KEY_FILE"""
    proxy: str | None = None
    """URL of an HTTP proxy; default HTTPS_PROXY, with the exceptions in NO_PROXY"""
    timeout: float | None = 60.0
    """Seconds for one attempt; none for no limit"""
    sandbox: Flag = False
    """Use a sandbox inside this process instead of the API: no key, no network"""
    quota: str | None = None
    """Share of the key's rate that this command may use, e.g. 1/8 or 0.125; default all of it"""
    redis: str | None = None
    """Share the key's rate with other processes through this Redis: its URL, or env for ISNOTAI_REDIS_URL"""
    verbose: Annotated[int, Parameter(name=("--verbose", "-v"), count=True, show_default=False)] = 0
    """Log waits and retries on stderr, with -vv each attempt; also ISNOTAI_LOG=info or debug"""

    @property
    def clock(self) -> Clock:
        """The clock that relative times count from."""
        return SANDBOX_CLOCK if self.sandbox else Clock()


@Parameter(name="*", group=Group("Connection", sort_key=9))
@frozen(kw_only=True)
class Connection(LongConnection):
    """The options of the connection of a command that makes single calls."""

    deadline: float | None = 120.0
    """Seconds for a request, waits included; none for no limit. For the whole command: timeout -s INT 60 isnotai …"""


Form = Literal["table", "json", "jsonl", "csv"]
_OUTPUT: Final = Group("Output", sort_key=8)


@Parameter(name="*", group=Group("Connection", sort_key=9))
@frozen(kw_only=True)
class ReadOptions(Connection):
    """The options of a command that reads: of the connection, and of the output."""

    format: Annotated[Form | None, Parameter(group=_OUTPUT)] = None
    """Default: a table on a terminal, else JSON Lines (one object a line); json is one document"""
    json: Annotated[Flag, Parameter(group=_OUTPUT)] = False
    """The same as --format json"""
    fields: Annotated[str | None, Parameter(group=_OUTPUT)] = None
    """Only these, in this order, by their names in JSON: id,bot_score. A dot leads into one: event_counts.total"""

    @property
    def form(self) -> Form:
        """The output format to use."""
        if self.json and self.format not in {None, "json"}:
            raise ConfigError(f"--json is --format json, and there is --format {self.format}; leave out one of them")
        return "json" if self.json else self.format or ("table" if sys.stdout.isatty() else "jsonl")

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are asked for; none for all."""
        return tuple(filter(None, (name.strip() for name in (self.fields or "").split(","))))

    def check(self, kind: type) -> None:
        """Check the options before anything is asked.

        Args:
            kind: The class of the records.
        """
        _ = self.form
        if attrs.has(kind):
            check_names(self.names, [field.name for field in attrs.fields(kind)])


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Check the names of fields."""
    for name in names:
        if name.partition(".")[0] not in known:
            raise ConfigError(f"--fields: there is no field {quoted(name)}; the fields are: {', '.join(known)}")


@Parameter(name="*", group="Sessions")
@frozen(kw_only=True)
class SessionFilters:
    """The options that select sessions."""

    status: str | None = None
    """Only sessions of this status, e.g. active or closed"""
    bot_only: Flag = False
    """Only sessions with a bot score of at least 0.7"""
    since: str | None = None
    """Created at or after: 7d or 12h (ago), yesterday, 2026-06-10 or 2026-06-10T12:00:00Z"""
    until: str | None = None
    """Created at or before, written like --since; a day counts whole"""

    def interval(self, clock: Clock) -> Interval:
        """Return when the sessions were created."""
        return clock.read("sessions created", ("--since", self.since), ("--until", self.until))

    def query(self, interval: Interval) -> dict[str, Any]:
        """Return the options as arguments of the client's methods."""
        times = {"start_date": interval.start, "end_date": interval.end}
        return {"status": self.status, "bot_only": self.bot_only or None, **times}


@Parameter(name="*", group="Events")
@frozen(kw_only=True)
class EventOptions:
    """The options that select events."""

    type: str | None = None
    """Message-type byte (1, 0x01) or short name. Documented names: init, mouse_move, keypress; there are more"""
    start: str | None = None
    """Earliest time, inclusive: 7d or 12h (ago), yesterday, 2026-06-10, 2026-06-10T12:00:00Z or Unix milliseconds"""
    end: str | None = None
    """Latest time, inclusive, written like --start; a day counts whole"""
    page_size: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None
    """Events a request; default and cap depend on the tier"""

    def interval(self, clock: Clock) -> Interval:
        """Return when the events happened."""
        return clock.read("events", ("--start", self.start), ("--end", self.end))

    def query(self, interval: Interval) -> dict[str, Any]:
        """Return the options as arguments of the client's methods."""
        times = {"start_time": interval.start, "end_time": interval.end}
        return {"page_size": self.page_size, "type": self.type, **times}


@asynccontextmanager
async def open_client(connection: LongConnection) -> AsyncIterator[Client]:
    """Open the client that the options describe, and the sandbox if they ask for one."""
    if connection.quota is not None and connection.redis is not None:
        raise ConfigError("--quota is a share for this command alone, --redis shares all of it; leave out one")
    deadline = (connection if isinstance(connection, Connection) else Connection()).deadline
    reach = _reach_sandbox if connection.sandbox else _reach_api
    with logged(connection.verbose):
        async with (
            reach(connection) as options,
            Client(timeout=connection.timeout, deadline=deadline, **options) as client,
        ):
            yield client


@asynccontextmanager
async def _reach_api(connection: LongConnection) -> AsyncIterator[dict[str, Any]]:
    quota = 1.0 if connection.quota is None else read_share(connection.quota, "--quota")
    if connection.proxy is not None and "@" in connection.proxy:
        raise ConfigError(
            "--proxy has a user name or password, which others on this machine can see; set HTTPS_PROXY instead"
        )
    async with open_shared_limiter(connection.redis) as shared:
        yield {
            "api_key": None if connection.api_key_file is None else _read_key(connection.api_key_file),
            "region": connection.region,
            "base_url": connection.base_url,
            "quota": quota,
            "limiter": shared,
            "proxy": connection.proxy,
            "trust_env": True,
        }


@asynccontextmanager
async def _reach_sandbox(connection: LongConnection) -> AsyncIterator[dict[str, Any]]:
    for name, brings in {"api_key_file": "key", "base_url": "address", "proxy": "address"}.items():
        if getattr(connection, name) is not None:
            raise ConfigError(f"--sandbox brings its own {brings}; leave out --{name.replace('_', '-')}")
    if connection.quota is not None or connection.redis is not None:
        raise ConfigError("--sandbox has no quota to share; leave out --quota and --redis")
    region = resolve_region(connection.region).name
    # No rate limit: this sandbox serves only this command, and a demonstration should be fast.
    async with Sandbox(rate_limit=None) as sandbox:
        where = {"region": region, "base_url": sandbox.base_urls[region]}
        yield {"api_key": sandbox.api_keys[region], **where, "limiter": Unlimited()}


def _read_key(path: Path) -> str:
    if path != STDIN:
        return read_key_file(path, "--api-key-file")
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass("API key: ")
    return read_key(open_stdin(), "--api-key-file -")
