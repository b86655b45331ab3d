"""A waiter makes the call to the store itself if it is the only one, and loses nothing if it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.redis.connection import RedisStore
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from isnotai_async._ratelimit.shared.protocol import ScriptReply, ScriptRequest, name_keys
from tests.redis_server import RedisServer, running_redis

US, KEY = REGIONS["us"], "ab" * 16
NAMES = name_keys(US.base_url, KEY)
OK = isnotai.RequestOutcome(200)


class NotedStore(RedisStore):
    """A store that notes each request, and stands still before it sends one if it is told to.

    Attributes:
        asked: The requests.
        opened: Set as long as requests are sent.
    """

    def __init__(self, redis: Any, *, owned: bool) -> None:
        super().__init__(redis, owned=owned)
        self.asked: list[ScriptRequest] = []
        self.opened = asyncio.Event()
        self.opened.set()

    async def run(self, keys: tuple[str, str], ask: ScriptRequest) -> ScriptReply:
        self.asked.append(ask)
        await self.opened.wait()
        return await super().run(keys, ask)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        server.begin(NAMES)
        yield server


def noted(limiter: isnotai.RedisLimiter) -> tuple[SharedKeyLimiter, NotedStore]:
    limiter._store = store = NotedStore(limiter._store._redis, owned=True)
    return limiter.bind(US, KEY), store


async def started(store: NotedStore, limiter: SharedKeyLimiter, calls: int) -> asyncio.Task[isnotai.Permit]:
    """Start to wait for a permit, and return as soon as that many calls were made."""
    task = asyncio.create_task(limiter.acquire(bulk=False))
    while len(store.asked) < calls:
        await asyncio.sleep(0)
    return task


async def test_a_lone_waiter_needs_no_other_task_and_others_ask_in_the_next_call(server: RedisServer) -> None:
    async with isnotai.RedisLimiter.from_url(server.url) as shared:
        limiter, store = noted(shared)
        store.opened.clear()
        before = asyncio.all_tasks()
        lone = await started(store, limiter, 1)
        assert asyncio.all_tasks() - before == {lone}
        others = [asyncio.create_task(limiter.acquire(bulk=bulk)) for bulk in (False, True, True)]
        await asyncio.sleep(0)
        store.opened.set()
        permits = await asyncio.gather(lone, *others)
        assert [(ask.singles, ask.bulk) for ask in store.asked] == [(1, 0), (1, 2)]
        assert len({permit.number for permit in permits}) == 4


async def test_requests_that_end_together_ask_for_the_next_permits_in_one_call(server: RedisServer) -> None:
    async def end_and_ask_again(permit: isnotai.Permit) -> isnotai.Permit:
        await limiter.release(permit, OK)
        return await limiter.acquire(bulk=False)

    async with isnotai.RedisLimiter.from_url(server.url) as shared:
        limiter, store = noted(shared)
        permits = await asyncio.gather(*(limiter.acquire(bulk=False) for _ in range(4)))
        store.asked.clear()
        await asyncio.gather(*map(end_and_ask_again, permits))
        assert [(len(ask.ended), ask.singles) for ask in store.asked] == [(4, 4)]


async def test_what_a_cancelled_waiter_was_about_to_report_is_reported_and_its_permit_given_back(
    server: RedisServer,
) -> None:
    async with isnotai.RedisLimiter.from_url(server.url) as shared:
        limiter, store = noted(shared)
        permit = await limiter.acquire(bulk=False)
        store.opened.clear()

        async def end_and_ask_again() -> None:
            await limiter.release(permit, isnotai.RequestOutcome(429, retry_after=30.0))
            await limiter.acquire(bulk=False)

        lone = asyncio.create_task(end_and_ask_again())
        while len(store.asked) < 2:
            await asyncio.sleep(0)
        lone.cancel()
        await asyncio.wait([lone])
        store.opened.set()
    cancelled, repeated = store.asked[-2:]
    assert repeated.ended == cancelled.ended != []
    assert repeated.unused == cancelled.names != []
    assert server.ask("ZCARD", NAMES[1]) == 1  # the one that was sent


async def test_a_lone_waiter_that_is_cancelled_while_redis_works_gives_its_slot_back(server: RedisServer) -> None:
    async with isnotai.RedisLimiter.from_url(server.url) as shared:
        limiter, store = noted(shared)
        await limiter.release(await limiter.acquire(bulk=False), OK)
        await asyncio.sleep(0.02)
        server.pause()
        lone = await started(store, limiter, 3)
        await asyncio.sleep(0.02)  # it is on its way
        lone.cancel()
        await asyncio.wait([lone])
        server.resume()
    assert server.ask("ZCARD", NAMES[1]) == 1


async def test_closing_waits_for_the_call_of_a_lone_waiter_and_gives_its_permit_back(server: RedisServer) -> None:
    async with isnotai.RedisLimiter.from_url(server.url) as shared:
        limiter, store = noted(shared)
        store.opened.clear()
        lone = await started(store, limiter, 1)
        closing = asyncio.create_task(limiter.aclose())
        await asyncio.sleep(0)
        store.opened.set()
        await closing
        with pytest.raises(isnotai.ConfigError, match="closed while requests waited"):
            await lone
    assert server.ask("ZCARD", NAMES[1]) == 0
    assert len(store.asked) == 2
