"""The two keys of the shared limit in a real Redis: evicted, foreign, unreadable, and the rights that they need."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.limiter import NOT_SENT
from isnotai_async._ratelimit.policy import FULL
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from isnotai_async._ratelimit.shared.protocol import name_keys
from tests.redis_server import RedisServer, running_redis

US, KEY = REGIONS["us"], "ab" * 16
STATE, SLOTS = name_keys(US.base_url, KEY)
OK = isnotai.RequestOutcome(200)
PASSWORD = "hunter2-Zt9fKb3LmR8sVh5Yp0"

ROOT = Path(__file__).parents[2]


def documented_rights() -> list[str]:
    """Read the rights that docs/shared-limit.md says to give."""
    text = (ROOT / "docs" / "shared-limit.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("ACL SETUSER")]
    return line.split(">PASSWORD ")[1].split()


LEAST_RIGHTS = documented_rights()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[SharedKeyLimiter]:
    async with isnotai.RedisLimiter.from_url(url, **options) as limiter:
        yield limiter.bind(US, KEY)


class WindowIsFullError(Exception):
    pass


def give_up_when_full(wait: float, reason: str) -> None:
    if reason == FULL:
        raise WindowIsFullError


async def take(limiter: SharedKeyLimiter, *, at_most: int = 1000, within: float = 2.5) -> int:
    """Take permits, one after the other, until the window is full or a wait too long."""
    count = 0
    try:
        while count < at_most:
            async with asyncio.timeout(within):
                permit = await limiter.acquire(bulk=False, on_wait=give_up_when_full)
            await limiter.release(permit, OK)
            count += 1
    except (TimeoutError, WindowIsFullError):
        pass
    await asyncio.sleep(0.02)  # the last one is told by then
    return count


# Eviction.


async def test_an_eviction_when_memory_is_short_forgets_nothing(server: RedisServer) -> None:
    async with opened(server.url) as limiter:
        assert await take(limiter) == 60
        server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        used = server.ask("EVAL", "return redis.call('INFO', 'memory'):match('used_memory:(%d+)')", 0)
        server.ask("CONFIG", "SET", "maxmemory", int(used) + 50_000)
        filled = 0
        while server.ask("EXISTS", STATE, SLOTS) == 2:
            filled += 1
            server.ask("SET", f"filler {filled}", "x" * 100)
        server.ask("CONFIG", "SET", "maxmemory", 0)
        assert await take(limiter) == 0


@pytest.mark.parametrize("key", [STATE, SLOTS], ids=["state", "slots"])
async def test_whichever_key_is_evicted_all_processes_tell_again_what_they_sent(
    server: RedisServer, key: str
) -> None:
    async with opened(server.url) as one, opened(server.url) as other:
        assert await take(one, at_most=20) == 20
        assert await take(other, at_most=20) == 20
        assert server.ask("DEL", key) == 1
        assert sum(await asyncio.gather(take(one), take(other))) == 20


async def test_an_eviction_while_nobody_asks_for_permits_is_noticed_by_what_ends(server: RedisServer) -> None:
    async with opened(server.url) as limiter:
        permits = [await limiter.acquire(bulk=False) for _ in range(60)]
        server.ask("DEL", SLOTS)
        await limiter.release(permits[0], OK)
        assert await take(limiter) == 0


async def test_both_keys_live_equally_long_so_that_none_is_evicted_before_the_other(server: RedisServer) -> None:
    async with opened(server.url) as limiter:
        assert await take(limiter, at_most=3) == 3
    ends = [server.ask("PEXPIRETIME", key) for key in (STATE, SLOTS)]
    assert ends[0] == ends[1] > 0


# Foreign and unreadable values.

PACKED = "local value = {value}; redis.call('SET', KEYS[1], cmsgpack.pack(value))"
CHANGED = (
    "local s = cmsgpack.unpack(redis.call('GET', KEYS[1])); {change}; redis.call('SET', KEYS[1], cmsgpack.pack(s))"
)
FOREIGN = {
    "a word": (STATE, "redis.call('SET', KEYS[1], 'hello')"),
    "nothing": (STATE, "redis.call('SET', KEYS[1], '')"),
    "a list": (STATE, "redis.call('DEL', KEYS[1]); redis.call('RPUSH', KEYS[1], 'hello')"),
    "a packed number": (STATE, PACKED.format(value="7")),
    "a packed table": (STATE, PACKED.format(value="{a = 1}")),
    "a field less": (STATE, CHANGED.format(change="s.due = nil")),
    "a field of another kind": (STATE, CHANGED.format(change="s.probe = 7")),
    "a word for the slots": (SLOTS, "redis.call('SET', KEYS[1], 'hello')"),
    "a list for the slots": (SLOTS, "redis.call('DEL', KEYS[1]); redis.call('RPUSH', KEYS[1], 'hello')"),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_a_foreign_value_under_a_key_is_replaced_with_one_warning_and_nothing_is_forgotten(
    server: RedisServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    key, script = FOREIGN[name]
    async with opened(server.url) as limiter:
        assert await take(limiter, at_most=40) == 40
        server.ask("EVAL", script, 1, key)
        assert await take(limiter) == 20
    ours = [record for record in caplog.records if record.name == "isnotai_async"]
    (warning,) = [record.getMessage() for record in ours if record.levelno >= logging.WARNING]
    assert "something else" in warning
    assert STATE in warning


@pytest.mark.parametrize("key", [STATE, SLOTS], ids=["state", "slots"])
async def test_a_foreign_value_that_was_there_first_is_replaced_with_one_warning(
    server: RedisServer, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    server.ask("SET", key, "hello")
    async with opened(server.url) as limiter:
        assert await take(limiter) == 60
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1


async def test_foreign_slots_do_not_occupy_the_window(server: RedisServer) -> None:
    async with opened(server.url) as limiter:
        assert await take(limiter, at_most=10) == 10
        for number in range(60):
            server.ask("ZADD", SLOTS, "1e18", f"foreign {number}")
        assert await take(limiter) == 50


async def test_a_limit_above_the_highest_tier_is_not_believed(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server.url) as limiter:
        assert await take(limiter, at_most=10) == 10
        server.ask("EVAL", CHANGED.format(change="s.tier, s.is_tier_known = 1000000, true"), 1, STATE)
        assert await take(limiter, at_most=100) == 50
    assert "something else" in caplog.text


# Rights.


@asynccontextmanager
async def opened_as_user(
    server: RedisServer, rights: Iterable[str], **options: Any
) -> AsyncIterator[SharedKeyLimiter]:
    server.ask("ACL", "SETUSER", "isnotai", "reset", "on", f">{PASSWORD}", *rights)
    async with opened(f"redis://isnotai:{PASSWORD}@127.0.0.1:{server.port}", **options) as limiter:
        yield limiter


async def test_the_least_rights_are_enough_whatever_happens(server: RedisServer) -> None:
    async with opened_as_user(server, LEAST_RIGHTS, tier="pro", window=2.0) as limiter:
        assert await take(limiter, at_most=20) == 20
        for command in ("FLUSHALL", "SCRIPT FLUSH", f"DEL {STATE}", f"DEL {SLOTS}", f"SET {SLOTS} hello"):
            server.ask(*command.split())
            await limiter.release(await limiter.acquire(bulk=True), isnotai.RequestOutcome(429, 0.1))
            assert await take(limiter, at_most=5) == 5
    refused = {entry[b"object"] for entry in server.ask("ACL", "LOG")}
    assert refused == {b"client|setinfo"}  # by which redis-py gives its name; it does not mind


@pytest.mark.parametrize("right", LEAST_RIGHTS)
async def test_each_of_the_least_rights_is_needed(server: RedisServer, right: str) -> None:
    server.begin((STATE, SLOTS))
    async with opened_as_user(server, [other for other in LEAST_RIGHTS if other != right]) as limiter:
        with pytest.raises(isnotai.LimiterError, match="permission"):
            await take(limiter, at_most=2)
            server.ask("SCRIPT", "FLUSH")
            permits = [await limiter.acquire(bulk=True) for _ in range(2)]
            await limiter.release(permits[0], NOT_SENT)
            await asyncio.sleep(0.02)
            server.ask("SET", SLOTS, "hello")
            await limiter.release(permits[1], OK)
            await asyncio.sleep(0.02)
            await limiter.acquire(bulk=True)
            await take(limiter)  # only a full window asks when a slot becomes free
