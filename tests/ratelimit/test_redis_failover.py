"""A failover after which the old primary lives on as a replica, and the connections to it stay open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from attrs import define, field

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.policy import FULL
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from tests.redis_server import RedisServer, running_redis

OK = isnotai.RequestOutcome(200)


class WindowIsFullError(Exception):
    pass


def give_up(wait: float, reason: str) -> None:
    assert reason == FULL
    raise WindowIsFullError


@define(eq=False)
class Switchboard:
    """An address that leads to one server and later to another, as a name or a proxy does; connections stay.

    Attributes:
        port: Of the server that new connections reach.
    """

    port: int
    connections: int = field(default=0, init=False)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listener:
            yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        back, forth = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(_pass_bytes(reader, forth), _pass_bytes(back, writer))


async def _pass_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
    writer.close()


@define(eq=False)
class Pair:
    """A primary and its replica, which has all of its data, and the address of the primary."""

    old: RedisServer
    new: RedisServer
    board: Switchboard
    url: str

    def fail_over(self) -> None:
        """Make the replica the primary, and lead new connections to it; the old primary follows it and lives on."""
        self.promote()
        self.demote()

    def promote(self) -> None:
        assert self.old.ask("WAIT", 1, 5000) == 1
        self.new.ask("REPLICAOF", "NO", "ONE")

    def demote(self) -> None:
        self.old.ask("REPLICAOF", "127.0.0.1", self.new.port)
        self.board.port = self.new.port


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    directories = [tmp_path / name for name in ("old", "new")]
    for directory in directories:
        directory.mkdir()
    options = ("--repl-diskless-sync-delay", "0")
    with running_redis(directories[0], *options) as old, running_redis(directories[1], *options) as new:
        new.ask("REPLICAOF", "127.0.0.1", old.port)
        yield old, new


@asynccontextmanager
async def paired(servers: tuple[RedisServer, RedisServer]) -> AsyncIterator[Pair]:
    old, new = servers
    async with asyncio.timeout(20):
        while "master_link_status:up" not in _info(new):
            await asyncio.sleep(0.02)
    board = Switchboard(old.port)
    async with board.listening() as url:
        yield Pair(old, new, board, url)


def _info(server: RedisServer) -> str:
    with redis.Redis(port=server.port) as client:
        return "".join(f"{name}:{value}\n" for name, value in client.info("replication").items())


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[SharedKeyLimiter]:
    async with isnotai.RedisLimiter.from_url(url, **options) as limiter:
        yield limiter.bind(REGIONS["us"], "ab" * 16)


async def pass_on(limiter: isnotai.Limiter, count: int) -> None:
    """Take permits, one after the other, and tell that the requests were answered."""
    for _ in range(count):
        await limiter.release(await limiter.acquire(bulk=False), OK)
    await asyncio.sleep(0.02)  # the last one is told by then


async def be_read_only(pair: Pair) -> None:
    pair.fail_over()


async def have_no_primary(pair: Pair) -> None:
    pair.fail_over()
    pair.old.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
    pair.old.ask("REPLICAOF", "127.0.0.1", 1)


async def load_all_data(pair: Pair) -> None:
    """Let the old primary take over all data of the new one, slowly: there is too much of it to send the changes."""
    for option, value in (("repl-backlog-size", 16_384), ("rdbcompression", "no")):
        pair.new.ask("CONFIG", "SET", option, value)
    for option, value in (("key-load-delay", 10_000), ("loading-process-events-interval-bytes", 1_024)):
        pair.old.ask("CONFIG", "SET", option, value)
    pair.promote()
    pair.new.ask("EVAL", "for key = 1, 400 do redis.call('SET', key, string.rep('x', 1000)) end", 0)
    pair.demote()
    async with asyncio.timeout(20):
        while "loading" not in await _says(pair.old):
            await asyncio.sleep(0.02)


async def _says(server: RedisServer) -> str:
    """Return what a server says to a script that writes."""
    try:
        return str(server.ask("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "word"))
    except redis.RedisError as error:
        return str(error)


@pytest.mark.parametrize(
    ("fail_over", "says"),
    [
        (be_read_only, "can't write against a read only replica"),
        (have_no_primary, "Link with MASTER is down"),
        (load_all_data, "loading the dataset"),
    ],
    ids=["READONLY", "MASTERDOWN", "LOADING"],
)
async def test_a_failover_whose_connections_stay_open_costs_no_call_and_forgets_nothing(
    servers: tuple[RedisServer, RedisServer], fail_over: Callable[[Pair], Awaitable[None]], says: str
) -> None:
    async with paired(servers) as pair, opened(pair.url) as limiter:
        await pass_on(limiter, 40)
        await fail_over(pair)
        assert says in await _says(pair.old)
        await pass_on(limiter, 20)
        waiting = asyncio.create_task(limiter.acquire(bulk=False, on_wait=give_up))
        with pytest.raises(WindowIsFullError):
            await waiting
        assert pair.board.connections == 2


async def test_local_share_ends_when_the_new_primary_can_be_asked(
    servers: tuple[RedisServer, RedisServer],
) -> None:
    """The address leads to the new primary only some time after the failover."""
    async with paired(servers) as pair, opened(pair.url, on_outage="local_share", workers=2) as limiter:
        await pass_on(limiter, 10)
        pair.fail_over()
        pair.board.port = pair.old.port
        await pass_on(limiter, 5)
        assert "the store does not answer" in repr(limiter)
        pair.board.port = pair.new.port
        async with asyncio.timeout(10):
            while "shared" not in repr(limiter):
                await pass_on(limiter, 1)
                await asyncio.sleep(0.2)
