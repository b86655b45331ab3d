"""Redis that is slow, down, emptied, restarted or read-only while processes share a limit through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.policy import FULL
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from tests.redis_server import RedisServer, running_redis

OK = isnotai.RequestOutcome(200)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@asynccontextmanager
async def opened(server: RedisServer, **options: Any) -> AsyncIterator[SharedKeyLimiter]:
    async with isnotai.RedisLimiter.from_url(server.url, **options) as limiter:
        yield limiter.bind(REGIONS["us"], "ab" * 16)


class WindowIsFullError(Exception):
    pass


def give_up_when_full(wait: float, reason: str) -> None:
    if reason == FULL:
        raise WindowIsFullError


async def take(limiter: SharedKeyLimiter, *, at_most: int = 100, within: float = 3.0) -> int:
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


async def until(condition: Callable[[], bool], *, ask: SharedKeyLimiter | None = None) -> None:
    """Wait until something is so; what comes back does so only while somebody asks."""
    async with asyncio.timeout(20):
        while not condition():
            if ask is not None:
                await take(ask, at_most=1, within=0.05)
            await asyncio.sleep(0.02)


def is_shared(limiter: SharedKeyLimiter) -> Callable[[], bool]:
    return lambda: "shared" in repr(limiter)


async def fails(limiter: SharedKeyLimiter) -> float:
    """Tell how long it takes to be refused."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(isnotai.LimiterError, match="the shared limit does not answer") as caught:
        await limiter.acquire(bulk=False)
    assert 'on_outage="local_share"' in str(caught.value)
    return loop.time() - begun


async def test_fail_a_redis_that_stands_still_is_waited_for_a_second_and_then_refused_at_once(
    server: RedisServer,
) -> None:
    async with opened(server) as limiter:
        assert await take(limiter, at_most=20) == 20
        server.pause()
        assert 0.9 <= await fails(limiter) <= 3
        assert await fails(limiter) < 0.5
        server.resume()
        await asyncio.sleep(1.0)  # it is tried again once a second
        for _ in range(100):
            try:
                await limiter.release(await limiter.acquire(bulk=False), OK)
                break
            except isnotai.LimiterError:
                await asyncio.sleep(0.05)
        await until(is_shared(limiter))
        assert await take(limiter) in {38, 39}  # one may be lost with the call that had no reply


async def test_local_share_a_process_goes_on_with_its_share_and_its_history(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "isnotai_async")
    async with (
        opened(server, on_outage="local_share", workers=3) as one,
        opened(server, on_outage="local_share", workers=3) as other,
    ):
        assert await take(one, at_most=15) == 15
        server.kill()
        assert await take(one) == 5  # 60 / 3, and 15 it had
        assert await take(other) == 20
        assert caplog.text.count("going on with 1/3 of the limit") == 2
        server.start()
        await until(is_shared(one), ask=one)
        await until(is_shared(other), ask=other)
        # Redis came back empty, and was told of all forty.
        assert await take(one) == 20
        assert "is back" in caplog.text


async def test_bulk_work_and_the_slots_that_are_held_go_through_an_outage(server: RedisServer) -> None:
    async with opened(server, on_outage="local_share", workers=1) as limiter:
        held = [await limiter.acquire(bulk=True) for _ in range(10)]
        server.kill()
        more = [await limiter.acquire(bulk=True) for _ in range(10)]
        server.start()
        await until(is_shared(limiter), ask=limiter)
        for permit in (*held, *more):
            await limiter.release(permit, OK)
        taken = 60 - 20
        assert await take(limiter) < taken  # those that were asked for while waiting count as well
        waiting = asyncio.create_task(limiter.acquire(bulk=False))
        await until(lambda: server.ask("ZCARD", slots_key(server)) == 60)
        waiting.cancel()


def slots_key(server: RedisServer) -> str:
    (key,) = server.ask("KEYS", "*:slots")
    return str(key.decode())


async def test_flushall_is_noticed_and_everybody_tells_again(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server) as one, opened(server) as other:
        assert await take(one, at_most=25) == 25
        assert await take(other, at_most=25) == 25
        server.ask("FLUSHALL")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        taken = await asyncio.gather(take(one), take(other))
        assert sum(taken) == 10
        assert loop.time() - begun >= 1.0  # a second for all to come back
        assert "lost the shared limit" in caplog.text


async def test_who_comes_new_after_flushall_gets_no_burst_beside_one_who_is_busy(server: RedisServer) -> None:
    async with opened(server) as busy, opened(server) as fresh:
        assert await take(busy) == 60
        waiting = asyncio.create_task(busy.acquire(bulk=False))  # it looks each second
        await asyncio.sleep(0.2)
        server.ask("FLUSHALL")
        assert await take(fresh) == 0
        assert not waiting.done()
        waiting.cancel()


async def test_script_flush_costs_nothing(server: RedisServer) -> None:
    async with opened(server) as limiter:
        assert await take(limiter, at_most=30) == 30
        server.ask("SCRIPT", "FLUSH")
        assert await take(limiter) == 30


async def test_a_replica_that_cannot_be_written_is_an_outage(server: RedisServer) -> None:
    async with opened(server) as limiter:
        assert await take(limiter, at_most=30) == 30
        server.ask("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(isnotai.LimiterError, match="ReadOnlyError"):
            await limiter.acquire(bulk=False)
        server.ask("REPLICAOF", "NO", "ONE")
        await asyncio.sleep(1.0)
        for _ in range(100):
            try:
                await limiter.release(await limiter.acquire(bulk=False), OK)
                break
            except isnotai.LimiterError:
                await asyncio.sleep(0.05)
        assert await take(limiter) == 29


@pytest.mark.parametrize("keeps", [True, False], ids=["with its data", "empty"])
async def test_a_restart_between_two_calls_is_not_felt_and_forgets_nothing(tmp_path: Path, *, keeps: bool) -> None:
    options = ["--appendonly", "yes", "--appendfsync", "always"] if keeps else []
    with running_redis(tmp_path, *options) as server:
        async with opened(server) as one, opened(server) as other:
            assert await take(one, at_most=20) == 20
            assert await take(other, at_most=20) == 20
            server.kill()
            server.start()
            assert sum(await asyncio.gather(take(one), take(other))) == 20


async def test_a_restart_with_old_data_is_noticed(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        async with opened(server) as limiter:
            assert await take(limiter, at_most=10) == 10
            server.ask("SAVE")
            assert await take(limiter, at_most=30) == 30
            server.kill()
            server.start()
            assert await take(limiter) == 20


ENTERPRISE = isnotai.RequestOutcome(200, None, isnotai.Tier.ENTERPRISE)
FREE = isnotai.RequestOutcome(200, None, isnotai.Tier.FREE)


async def learn(limiter: SharedKeyLimiter, answer: isnotai.RequestOutcome) -> None:
    for _ in range(2):  # one sighting of a higher tier is not believed
        await limiter.release(await limiter.acquire(bulk=False), answer)
    await asyncio.sleep(0.02)


async def test_a_redis_that_comes_back_empty_is_told_the_tier_that_was_learned(server: RedisServer) -> None:
    async with opened(server) as limiter:
        await learn(limiter, ENTERPRISE)
        assert await take(limiter) == 100
        server.kill()
        server.start()
        assert await take(limiter) == 100


async def test_a_tier_that_another_process_learned_is_told_too(server: RedisServer) -> None:
    async with opened(server) as one, opened(server) as other:
        await learn(one, ENTERPRISE)
        assert await take(other) == 100
        await one.aclose()
        server.kill()
        server.start()
        assert await take(other) == 100


async def test_a_redis_with_data_from_before_the_upgrade_is_told_the_tier_of_now(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        async with opened(server) as limiter:
            await learn(limiter, FREE)
            server.ask("SAVE")
            await learn(limiter, ENTERPRISE)
            assert await take(limiter) == 100
            server.kill()
            server.start()
            assert await take(limiter) == 100


async def test_a_process_that_starts_with_a_tier_does_not_undo_what_the_others_know(
    server: RedisServer,
) -> None:
    async with opened(server, tier="free") as fresh, opened(server) as other:
        await learn(other, ENTERPRISE)
        server.ask("FLUSHALL")
        taken = asyncio.create_task(take(other))
        assert await take(fresh, at_most=20) == 20
        assert await taken == 100


async def test_local_share_is_of_the_limit_that_was_last_heard_of(server: RedisServer) -> None:
    share: dict[str, Any] = {"on_outage": "local_share", "workers": 1}
    async with opened(server, **share) as one, opened(server, **share) as other:
        await learn(one, ENTERPRISE)
        await learn(other, FREE)
        await learn(one, OK)
        server.kill()
        assert await take(one) < 60


async def test_whatever_happens_to_redis_no_window_has_twice_the_limit_and_work_goes_on(
    server: RedisServer,
) -> None:
    """Two processes that are always behind; windows of a second, 60 in each."""
    sent: list[float] = []
    loop = asyncio.get_running_loop()

    async def work(limiter: SharedKeyLimiter) -> None:
        while True:
            permit = await limiter.acquire(bulk=False)
            sent.append(loop.time())
            await limiter.release(permit, OK)

    share: dict[str, Any] = {"window": 1.0, "on_outage": "local_share", "workers": 2}
    async with opened(server, **share) as one, opened(server, **share) as other:
        tasks = [asyncio.create_task(work(limiter)) for limiter in (one, other) for _ in range(4)]
        await asyncio.sleep(0.5)
        server.ask("FLUSHALL")
        await asyncio.sleep(1.5)
        server.kill()
        killed = loop.time()
        await asyncio.sleep(1.2)
        server.start()
        await until(lambda: is_shared(one)() and is_shared(other)())
        back = loop.time()
        await asyncio.sleep(2.6)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    most = {at: sum(at - 1.0 < time <= at for time in sent) for at in sent}
    assert max(most.values()) < 2 * 60
    assert max(count for at, count in most.items() if at > back + 1.0) <= 60
    assert sum(killed + 0.1 < time < back for time in sent) >= 20  # each had its share, or what was left of it
    assert sum(time > back + 1.0 for time in sent) >= 60


async def test_a_waiter_whose_redis_dies_is_answered(server: RedisServer) -> None:
    async with opened(server) as limiter:
        assert await take(limiter) == 60
        waiting = [asyncio.create_task(limiter.acquire(bulk=bulk)) for bulk in (True, False, True)]
        await asyncio.sleep(0.1)
        server.kill()
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(error, isnotai.LimiterError)


async def test_a_limiter_whose_redis_is_down_closes_in_time(server: RedisServer) -> None:
    async with opened(server, on_outage="local_share", workers=1) as limiter:
        assert await take(limiter, at_most=5) == 5
        server.pause()
        permit = await limiter.acquire(bulk=False)
        await limiter.release(permit, OK)


async def test_the_calls_of_a_client_say_that_nothing_was_sent(server: RedisServer) -> None:
    async with (
        isnotai.Sandbox() as sandbox,
        isnotai.RedisLimiter.from_url(server.url) as limiter,
        isnotai.Client(
            sandbox.api_key, base_url=sandbox.base_url, limiter=limiter, retry=isnotai.Retry(attempts=2, base=0.01)
        ) as client,
    ):
        server.kill()
        with pytest.raises(isnotai.LimiterError) as caught:
            await client.get_session("big-1")
        assert (caught.value.attempts, sandbox.stats.requests) == (0, 0)
        server.start()
        await asyncio.sleep(1.0)
        patient = client.with_options(retry=isnotai.Retry(attempts=10, base=0.2, cap=0.2))
        await patient.get_session("big-1")
        assert sandbox.stats.requests == 1


async def test_full_is_full_when_redis_is_away_too(server: RedisServer) -> None:
    async with opened(server, on_outage="local_share", workers=2) as limiter:
        assert await take(limiter, at_most=60) == 60
        server.kill()
        told: list[str] = []
        waiting = asyncio.create_task(limiter.acquire(bulk=False, on_wait=lambda _, reason: told.append(reason)))
        await until(lambda: told == [FULL])
        waiting.cancel()


class Forgetful:
    """Passes all on to Redis and back; once, after `forget`, it closes instead of passing the reply to a script."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._is_forgetful = False
        self.forgotten = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as listener:
            yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"

    def forget(self) -> None:
        self._is_forgetful = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            while asked := await reader.read(2**16):
                onward[1].write(asked)
                said = await onward[0].read(2**16)
                if self._is_forgetful and b"EVALSHA" in asked:
                    self._is_forgetful, self.forgotten = False, self.forgotten + 1
                    return
                writer.write(said)
        finally:
            writer.close()
            onward[1].close()


async def test_permits_whose_grant_was_lost_on_the_way_are_given_back_with_the_next_call(
    server: RedisServer,
) -> None:
    """The last slot of the window is taken for a reply that never comes; asking again finds it free."""
    between = Forgetful(server)
    async with between.listening() as url, isnotai.RedisLimiter.from_url(url) as shared:
        limiter = shared.bind(REGIONS["us"], "ab" * 16)
        assert await take(limiter, at_most=59) == 59
        between.forget()
        assert await take(limiter, at_most=1) == 1
        assert between.forgotten == 1
        assert await take(limiter) == 0
