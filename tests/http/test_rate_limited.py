"""Waiting for the limiter: order, cancellation, alarms, several loops, deadlines, and what is told of it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import re
import threading
from typing import Any

import anyio
import pytest
from attrs import define, evolve
from msgspec.structs import replace

from isnotai_async import (
    ConfigError,
    Limiter,
    LocalLimiter,
    Permit,
    Region,
    RequestOutcome,
    Tier,
    TierNotice,
    TransportError,
    TransportTimeoutError,
    Unlimited,
    WaitNotice,
)
from isnotai_async._http.credentials import ApiKey
from isnotai_async._http.http_session import ConcurrencyLimit, HttpSession
from isnotai_async._http.messages import Request, Response
from isnotai_async._http.rate_limited import RateLimitedTransport
from isnotai_async._notices import Notice, Notifier
from isnotai_async._ratelimit.limiter import NOT_SENT, OnWait, check_limiter
from isnotai_async._ratelimit.local import share_limiter
from isnotai_async._ratelimit.policy import FULL, PAUSED
from tests import virtual
from tests.functions import Function, Send, reply

REQUEST = Request("get_session", "/v1/sessions/s1")
BULK = Request("list_events", "/v1/sessions/s1/events?cursor=c", "c", bulk=True)
OK = RequestOutcome(200)


async def at_once(request: Request) -> Response:
    return reply(request)


def virtual_limiter(tier: Tier = Tier.FREE, window: float = 60.0) -> LocalLimiter:
    return LocalLimiter(tier=tier, window=window, clock=virtual.now)


def paced(limiter: Limiter, send: Send = at_once, *, told: list[Notice] | None = None) -> RateLimitedTransport:
    notifier = Notifier("us", None if told is None else told.append)
    return RateLimitedTransport(Function(send), limiter, notifier, clock=virtual.now)


async def fill(limiter: LocalLimiter, count: int = 60) -> None:
    for _ in range(count):
        await limiter.release(await limiter.acquire(bulk=False), OK)


async def settle_down() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# Order.


def test_the_first_to_come_is_the_first_to_go() -> None:
    async def main() -> None:
        limiter, order = virtual_limiter(), list[int]()
        await fill(limiter)

        async def ask(number: int) -> None:
            permit = await limiter.acquire(bulk=False)
            order.append(number)
            await limiter.release(permit, OK)

        await asyncio.gather(*(ask(number) for number in range(20)))
        assert order == list(range(20))

    virtual.run(main())


def test_single_calls_go_before_bulk_work() -> None:
    async def main() -> None:
        limiter, order = virtual_limiter(), list[str]()
        await fill(limiter)

        async def ask(name: str, bulk: bool) -> None:
            permit = await limiter.acquire(bulk=bulk)
            order.append(name)
            await limiter.release(permit, OK)

        walks = [asyncio.create_task(ask("bulk", True)) for _ in range(3)]
        await settle_down()
        await asyncio.gather(*walks, *(ask("single", False) for _ in range(3)))
        assert order == ["single"] * 3 + ["bulk"] * 3

    virtual.run(main())


def test_a_free_permit_is_had_without_waiting_for_anything() -> None:
    """The coroutine ends at its first step: no future is made, and no other task gets to run."""
    waiting = LocalLimiter().acquire(bulk=False)
    with pytest.raises(StopIteration) as ended:
        waiting.send(None)
    assert isinstance(ended.value.value, Permit)


@pytest.mark.parametrize("tier", list(Tier))
def test_waiters_go_as_soon_as_their_slots_are_left(tier: Tier) -> None:
    async def main() -> None:
        limiter = virtual_limiter(tier)
        begun = virtual.now()
        await fill(limiter, tier.requests_per_minute)
        assert virtual.now() == begun
        await limiter.acquire(bulk=False)
        assert virtual.now() - begun == pytest.approx(60.25, abs=0.01)

    virtual.run(main())


def test_an_answer_that_tells_a_higher_tier_lets_waiters_go_at_once() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        begun, permits = virtual.now(), [await limiter.acquire(bulk=False) for _ in range(60)]
        waiting = [asyncio.create_task(limiter.acquire(bulk=False)) for _ in range(40)]
        await settle_down()
        for permit in permits[:2]:
            await limiter.release(permit, RequestOutcome(200, None, Tier.PRO))
        await asyncio.gather(*waiting)
        assert virtual.now() == begun

    virtual.run(main())


# Cancellation.


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("place", [0, 3, 7])
def test_who_is_cancelled_in_the_queue_leaves_it(place: int, bulk: bool) -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter)
        waiting = [asyncio.create_task(limiter.acquire(bulk=bulk)) for _ in range(8)]
        await settle_down()
        waiting[place].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert [task.cancelled() for task in waiting] == [number == place for number in range(8)]
        assert "7 under way, 0 waiting" in repr(limiter)

    virtual.run(main())


def test_who_is_cancelled_with_a_permit_in_hand_passes_it_on() -> None:
    """The permit has come, but the task has not run again yet."""

    async def main() -> None:
        limiter = virtual_limiter()
        held = [await limiter.acquire(bulk=False) for _ in range(60)]
        first = asyncio.create_task(limiter.acquire(bulk=False))
        second = asyncio.create_task(limiter.acquire(bulk=False))
        await settle_down()
        limiter._policy.withdraw(held[0])  # a permit that was not used frees its slot at once
        limiter._serve(virtual.now())
        assert "60 under way, 1 waiting" in repr(limiter)
        first.cancel()
        begun = virtual.now()
        await second
        assert virtual.now() == begun
        assert first.cancelled()
        assert "60 under way, 0 waiting" in repr(limiter)

    virtual.run(main())


def test_a_waiter_that_is_dropped_leaves_the_queue() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter)
        waiting = limiter.acquire(bulk=False)
        waiting.send(None)
        assert "1 waiting" in repr(limiter)
        del waiting
        gc.collect()
        assert "0 waiting" in repr(limiter)

    virtual.run(main())


@pytest.mark.parametrize("status", [200, 429], ids=["answered", "refused"])
def test_a_request_that_is_cancelled_at_any_step_gives_its_permit_back(status: int) -> None:
    """Cancel after the k-th step, for every k until the request is done."""

    async def three_steps(request: Request) -> Response:
        for _ in range(3):
            await asyncio.sleep(0.1)
        return reply(request, status, retry_after="1")

    async def main() -> None:
        for steps in range(1, 60):
            limiter = virtual_limiter()
            await fill(limiter)
            task = asyncio.create_task(paced(limiter, three_steps).send(REQUEST))
            for _ in range(steps):
                await asyncio.sleep(0 if steps < 5 else 60.5 / steps + 0.05)
            was_done = task.done()
            task.cancel()
            await asyncio.wait([task])
            assert "0 under way, 0 waiting" in repr(limiter)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            if was_done:
                return
        pytest.fail("it never came to an end")

    virtual.run(main())


# 429.


def test_a_429_pauses_every_task_of_the_key_and_one_probe_goes_first() -> None:
    async def main() -> None:
        sent = list[float]()

        async def refuse_once(request: Request) -> Response:
            sent.append(virtual.now() - begun)
            await asyncio.sleep(0.1)
            return reply(request, 429, retry_after="7") if len(sent) == 1 else reply(request)

        transport, begun = paced(virtual_limiter(Tier.PRO), refuse_once), virtual.now()
        assert (await transport.send(REQUEST)).status == 429
        await asyncio.gather(*(transport.send(REQUEST) for _ in range(5)))
        assert sent[0] == 0
        assert sent[1] == pytest.approx(7.1)
        assert all(at >= 7.2 for at in sent[2:])  # when the probe was answered

    virtual.run(main())


def test_without_advice_the_key_pauses_until_the_oldest_slot_is_left() -> None:
    async def main() -> None:
        limiter = virtual_limiter(Tier.PRO)
        await fill(limiter, 1)
        await asyncio.sleep(30)
        begun = virtual.now()
        await limiter.release(await limiter.acquire(bulk=False), RequestOutcome(429))
        await limiter.acquire(bulk=False)
        assert virtual.now() - begun == pytest.approx(30.25, abs=0.01)

    virtual.run(main())


# Deadlines.


def test_a_deadline_ends_the_wait_for_a_permit_and_nothing_was_sent() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter)
        request, begun = Request("get_session", "/", deadline=virtual.now() + 5), virtual.now()
        with pytest.raises(TransportTimeoutError, match="waiting for a permit of the rate limit") as caught:
            await paced(limiter).send(request)
        assert (caught.value.deadline_exceeded, caught.value.attempts, caught.value.region) == (True, 0, "us")
        assert virtual.now() - begun == pytest.approx(5)
        assert "0 waiting" in repr(limiter)

    virtual.run(main())


def test_a_deadline_ends_an_attempt() -> None:
    async def main() -> None:
        async def never(request: Request) -> Response:
            await asyncio.sleep(1e6)
            return reply(request)

        request = Request("get_session", "/", deadline=virtual.now() + 5)
        with pytest.raises(TransportTimeoutError, match="the answer was not complete after") as caught:
            await paced(virtual_limiter(), never).send(request)
        assert (caught.value.deadline_exceeded, caught.value.attempts) == (True, 1)

    virtual.run(main())


# Slots: how many requests may be in flight.


def with_slots(count: int) -> HttpSession:
    connections = HttpSession(session=None, max_concurrency=count, trace_configs=None)
    connections.slots = ConcurrencyLimit(anyio.Semaphore(count, fast_acquire=True))
    return connections


@define
class Busy:
    """A client with one slot, which is taken."""

    limiter: LocalLimiter
    paced: RateLimitedTransport
    first: asyncio.Task[Response]
    sent: list[Request]
    answer: asyncio.Event

    @classmethod
    async def make(cls) -> Busy:
        limiter, sent, answer = virtual_limiter(), list[Request](), asyncio.Event()

        async def send(request: Request) -> Response:
            sent.append(request)
            await answer.wait()
            return reply(request)

        transport = evolve(paced(limiter, send), connections=with_slots(1), ends_within=60.0)
        first = asyncio.create_task(transport.send(REQUEST))
        await settle_down()
        return cls(limiter, transport, first, sent, answer)

    async def finish(self) -> None:
        self.answer.set()
        await self.first


def test_who_is_cancelled_while_waiting_for_a_slot_gives_the_permit_back_at_once() -> None:
    async def main() -> None:
        busy = await Busy.make()
        waiting = asyncio.create_task(busy.paced.send(REQUEST))
        await settle_down()
        assert "2 under way" in repr(busy.limiter)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert "1 of 60 slots occupied, 1 under way" in repr(busy.limiter)
        assert len(busy.sent) == 1
        await busy.finish()

    virtual.run(main())


def test_a_deadline_that_passes_while_waiting_for_a_slot_is_no_attempt_and_costs_no_permit() -> None:
    async def main() -> None:
        busy = await Busy.make()
        with pytest.raises(
            TransportTimeoutError, match=r"waiting for one of the connections \(max_concurrency\) after 5.0 s"
        ):
            await busy.paced.send(replace(REQUEST, deadline=virtual.now() + 5))
        assert "1 of 60 slots occupied, 1 under way" in repr(busy.limiter)
        with pytest.raises(TransportTimeoutError) as caught:
            await busy.paced.send(replace(REQUEST, deadline=virtual.now() + 5))
        assert (caught.value.deadline_exceeded, caught.value.attempts) == (True, 0)
        await busy.finish()

    virtual.run(main())


def test_a_slot_that_becomes_free_goes_to_who_waits_for_it_and_is_given_back() -> None:
    async def main() -> None:
        busy = await Busy.make()
        others = [asyncio.create_task(busy.paced.send(REQUEST)) for _ in range(3)]
        await settle_down()
        assert len(busy.sent) == 1
        await busy.finish()
        assert [response.status for response in await asyncio.gather(*others)] == [200] * 3

    virtual.run(main())


class Leased:
    """A limiter that takes a permit back a lease after it granted it."""

    def __init__(self, lease: float) -> None:
        self.lease, self.granted_at, self.told = lease, list[float](), list[RequestOutcome | None]()

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:  # noqa: ARG002
        self.granted_at.append(virtual.now())
        return Permit(len(self.granted_at))

    async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:  # noqa: ARG002
        self.told.append(answer)


def test_a_permit_with_a_lease_is_given_back_rather_than_grow_old_while_waiting_for_a_slot() -> None:
    async def main() -> None:
        busy, limiter = await Busy.make(), Leased(65.0)
        begun = virtual.now()
        waiting = asyncio.create_task(evolve(busy.paced, limiter=limiter).send(REQUEST))
        await asyncio.sleep(21.0)
        assert limiter.granted_at == pytest.approx([begun + 2.5 * number for number in range(9)])
        assert limiter.told == [NOT_SENT] * 8
        await busy.finish()
        await waiting
        assert limiter.told == [NOT_SENT] * 8 + [OK]
        assert "0 under way" in repr(busy.limiter)

    virtual.run(main())


@pytest.mark.parametrize("timeout", [None, 65.0, 90.0])
def test_a_timeout_that_outlives_the_lease_of_a_permit_is_refused(timeout: float | None) -> None:
    with pytest.raises(ConfigError, match=r"timeout=.* is not below the limiter's lease of 65 s.* longer lease="):
        evolve(paced(Unlimited()), limiter=Leased(65.0), ends_within=timeout)


def test_bulk_work_that_waits_for_permits_keeps_no_slot_from_single_calls() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter, 40)  # more than the half that bulk work may burst through
        transport = evolve(paced(limiter), connections=with_slots(1))
        walks = [asyncio.create_task(transport.send(BULK)) for _ in range(3)]
        await settle_down()
        begun = virtual.now()
        await transport.send(REQUEST)
        assert virtual.now() == begun
        await asyncio.gather(*walks)
        assert virtual.now() > begun

    virtual.run(main())


def test_what_was_refused_before_it_was_sent_costs_no_permit() -> None:
    async def main() -> None:
        limiter = virtual_limiter()

        async def refuse(request: Request) -> Response:
            raise ConfigError("the client was closed meanwhile")

        with pytest.raises(ConfigError):
            await paced(limiter, refuse).send(REQUEST)
        assert "0 of 60 slots occupied, 0 under way" in repr(limiter)

    virtual.run(main())


def test_a_limiter_of_ones_own_is_told_that_nothing_was_sent() -> None:
    class Own:
        told: RequestOutcome | None = None

        async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:  # noqa: ARG002
            return Permit(1)

        async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:  # noqa: ARG002
            self.told = answer

    async def main() -> None:
        own, busy = Own(), await Busy.make()
        waiting = asyncio.create_task(evolve(busy.paced, limiter=own).send(REQUEST))
        await settle_down()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert own.told is NOT_SENT
        await busy.finish()

    virtual.run(main())


def test_a_slot_of_all_clients_together_is_waited_for_and_ones_own_given_back_meanwhile() -> None:
    async def main() -> None:
        own, shared = anyio.Semaphore(2, fast_acquire=True), anyio.Semaphore(1, fast_acquire=True)
        slots = ConcurrencyLimit(own, shared)
        assert slots.acquire_nowait()
        assert not slots.acquire_nowait()
        assert (own.value, shared.value) == (1, 0)
        waiting = asyncio.create_task(slots.acquire())
        await settle_down()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        slots.release()
        assert (own.value, shared.value) == (2, 1)

    virtual.run(main())


@pytest.mark.parametrize("seconds", [5.0, 3_600.0])
def test_a_deadline_nearer_than_the_attempt_may_take_ends_it(seconds: float) -> None:
    async def main() -> None:
        async def never(request: Request) -> Response:
            await asyncio.sleep(60)  # as long as the transport would wait
            raise TransportTimeoutError("no complete answer in time")

        transport, begun = evolve(paced(virtual_limiter(), never), ends_within=60.0), virtual.now()
        with pytest.raises(TransportTimeoutError) as caught:
            await transport.send(replace(REQUEST, deadline=begun + seconds))
        assert (virtual.now() - begun, caught.value.deadline_exceeded) == (min(60.0, seconds), seconds < 60)

    virtual.run(main())


def test_nobody_queues_for_a_pause_that_outlasts_the_deadline() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await limiter.release(await limiter.acquire(bulk=False), RequestOutcome(429, 600.0))
        request, begun = Request("get_session", "/", deadline=virtual.now() + 120), virtual.now()
        with pytest.raises(TransportTimeoutError, match="pauses for 600 s more"):
            await paced(limiter).send(request)
        assert virtual.now() == begun
        assert "0 waiting" in repr(limiter)

    virtual.run(main())


def test_a_timeout_of_one_attempt_is_not_taken_for_the_deadline() -> None:
    async def main() -> None:
        async def late(_: Request) -> Response:
            raise TransportTimeoutError("no complete answer in time")

        with pytest.raises(TransportTimeoutError, match="no complete answer") as caught:
            await paced(virtual_limiter(), late).send(Request("get_session", "/", deadline=virtual.now() + 5))
        assert not caught.value.deadline_exceeded

    virtual.run(main())


# Clocks.


def test_rows_54_and_55_a_jump_of_the_clock_lets_no_more_than_a_window_through() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.VirtualLoop)
        waiting = [asyncio.create_task(limiter.acquire(bulk=False)) for _ in range(200)]
        await settle_down()
        loop.jump(3600)
        await asyncio.sleep(0.1)
        assert sum(task.done() for task in waiting) == 60
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    virtual.run(main())


# What is told.


def test_a_wait_is_announced_before_it_begins() -> None:
    async def main() -> None:
        limiter, told = virtual_limiter(), list[Notice]()
        await fill(limiter)
        await paced(limiter, told=told).send(REQUEST)
        (notice,) = told
        assert isinstance(notice, WaitNotice)
        assert (notice.operation, notice.region, notice.reason) == ("get_session", "us", FULL)
        assert notice.wait == pytest.approx(60.25)

    virtual.run(main())


def test_a_pause_is_logged_once_with_why_and_until_when(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        limiter = virtual_limiter(Tier.PRO)
        await limiter.release(await limiter.acquire(bulk=False), RequestOutcome(429, 30.0))
        await asyncio.gather(*(limiter.acquire(bulk=False) for _ in range(1)))

    with caplog.at_level(logging.INFO, "isnotai_async"):
        virtual.run(main())
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(texts) == 2
    assert "429 from the API: all requests of this key pause for 30.0 s, until " in texts[0]
    assert "requests of this key wait for 30.0 s, until " in texts[1]
    assert PAUSED in texts[1]


def test_hundreds_of_waiters_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter)
        await asyncio.wait_for(asyncio.gather(*(paced(limiter).send(REQUEST) for _ in range(50))), 1000)

    with caplog.at_level(logging.INFO, "isnotai_async"):
        virtual.run(main())
    assert sum("the window is full (60 requests in 60 s, tier free)" in text for text in caplog.messages) == 1


def test_unknown_tiers_are_ignored_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    hostile = ["platinum", "PRO+", "", "pro, pro", "\udcff\x1b[31m", "9" * 5000]

    async def main() -> None:
        async def answer(request: Request) -> Response:
            return reply(request, x_isnotai_tier=hostile[len(sent) % len(hostile)])

        limiter, sent = virtual_limiter(), list[int]()
        transport = paced(limiter, answer)
        for number in range(20):
            await transport.send(REQUEST)
            sent.append(number)
        assert limiter.tier is Tier.FREE

    virtual.run(main())
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "unknown tier, 'platinum'" in record.getMessage()


def test_a_tier_is_told_when_it_is_another_one() -> None:
    async def main() -> None:
        tiers, told = iter(["pro", "pro", "free", "free", "pro"]), list[Notice]()

        async def answer(request: Request) -> Response:
            return reply(request, x_isnotai_tier=next(tiers))

        transport = paced(virtual_limiter(), answer, told=told)
        for _ in range(5):
            await transport.send(REQUEST)
        assert told == [
            TierNotice(region="us", tier=Tier.PRO, previous=None),
            TierNotice(region="us", tier=Tier.FREE, previous=Tier.PRO),
            TierNotice(region="us", tier=Tier.PRO, previous=Tier.FREE),
        ]

    virtual.run(main())


def test_an_error_in_the_callback_is_logged_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def answer(request: Request) -> Response:
            return reply(request, x_isnotai_tier="pro")

        def broken(_: Notice) -> None:
            raise ValueError("the progress bar is broken")

        transport = RateLimitedTransport(Function(answer), Unlimited(), Notifier("us", broken))
        assert (await transport.send(REQUEST)).status == 200

    virtual.run(main())
    assert "on_notice raised an error on a TierNotice" in caplog.text


# Limiters.


def test_health_needs_no_permit() -> None:
    async def main() -> None:
        limiter = virtual_limiter()
        await fill(limiter)
        await paced(limiter).send(Request("health", "/health", authenticated=False))

    virtual.run(main())


def test_a_limiter_is_told_of_everything_that_it_let_through() -> None:
    class Witness:
        def __init__(self) -> None:
            self.seen: list[tuple[int, RequestOutcome | None]] = []
            self.count = 0

        async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:  # noqa: ARG002
            self.count += 1
            return Permit(self.count + 100 * bulk)

        async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:
            self.seen.append((permit.number, answer))

    async def answer(request: Request) -> Response:
        if request is BULK:
            raise TransportError("the connection was lost")
        return reply(request, 429, retry_after="5", x_isnotai_tier="pro")

    async def main() -> None:
        witness = Witness()
        transport = paced(witness, answer)
        await transport.send(REQUEST)
        with pytest.raises(TransportError):
            await transport.send(BULK)
        assert witness.seen == [(1, RequestOutcome(429, 5.0, Tier.PRO)), (102, None)]

    virtual.run(main())


@pytest.mark.parametrize("wrong", [object(), LocalLimiter, 5])
def test_what_cannot_serve_as_a_limiter_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="must be an object with acquire"):
        check_limiter(wrong)


@pytest.mark.parametrize("window", [0, -1.0, float("inf"), float("nan"), "60", True])
def test_a_window_that_cannot_be_is_refused(window: Any) -> None:
    with pytest.raises(ConfigError, match="window must be seconds"):
        LocalLimiter(window=window)


def test_a_tier_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="free, pro, enterprise or None for finding out, not 'gold'"):
        LocalLimiter(tier="gold")


def test_a_limiter_shows_its_state() -> None:
    assert repr(LocalLimiter(tier="pro")) == "<LocalLimiter pro: 0 of 600 slots occupied, 0 under way, 0 waiting>"
    assert repr(Unlimited()) == "Unlimited()"


# One for each key.


def test_a_key_is_named_by_a_fingerprint_that_is_not_the_key() -> None:
    secret = "aik_v1_" + "k" * 40
    one = ApiKey(secret)
    assert re.fullmatch("[0-9a-f]{32}", one.fingerprint)
    assert one.fingerprint == ApiKey(secret).fingerprint != ApiKey(secret[:-1]).fingerprint
    assert one.fingerprint != hashlib.sha256(secret.encode()).hexdigest()[:32]


class User:
    """Somebody who can be referred to weakly."""


def test_clients_of_one_key_share_a_limiter_and_others_do_not() -> None:
    user = User()

    def find(url: str, print_: str) -> LocalLimiter:
        return share_limiter(Region("us", url), print_, user, tier=None)

    one = find("https://a", "f1")
    assert find("https://a", "f1") is one
    assert find("https://b", "f1") is not one
    assert find("https://a", "f2") is not one


def test_a_shared_limiter_outlives_its_clients_while_its_window_is_not_drained() -> None:
    def find() -> LocalLimiter:
        return share_limiter(Region("us", "https://outlive"), "f", User(), tier=None)

    async def main() -> None:
        limiter = find()
        limiter._clock = lambda: time
        time = 0.0
        await limiter.release(await limiter.acquire(bulk=False), OK)
        gc.collect()
        assert find() is limiter
        gc.collect()
        time = 61.0
        assert find() is not limiter

    virtual.run(main())


def test_a_shared_limiter_takes_the_tier_that_is_told_first() -> None:
    user = User()
    limiter = share_limiter(Region("us", "https://tier"), "f", user, tier=Tier.PRO)
    assert limiter.tier is Tier.PRO
    assert share_limiter(Region("us", "https://tier"), "f", user, tier=None).tier is Tier.PRO


def test_clients_of_one_key_have_one_quota() -> None:
    user, about = User(), (Region("us", "https://quota"), "f")
    limiter = share_limiter(*about, user, tier=None, quota=0.25)
    assert share_limiter(*about, user, tier=None, quota=1 / 4) is limiter
    for other in (0.5, 1.0):
        with pytest.raises(ConfigError, match=r"uses the same key with quota=0\.25"):
            share_limiter(*about, user, tier=None, quota=other)
    assert share_limiter(about[0], "g", user, tier=None, quota=0.5) is not limiter


def test_event_loops_in_several_threads_share_a_limiter() -> None:
    """Four loops, one window: none starves, and never are there more than the limit."""
    limiter = LocalLimiter(window=0.5)
    counts, sent, lock = [0] * 4, list[float](), threading.Lock()

    async def work(number: int) -> None:
        async def ask() -> None:
            for _ in range(10):
                permit = await limiter.acquire(bulk=False)
                with lock:
                    counts[number] += 1
                    sent.append(limiter._clock())
                await asyncio.sleep(0.001)
                await limiter.release(permit, OK)

        await asyncio.gather(*(ask() for _ in range(6)))

    threads = [threading.Thread(target=lambda number=number: asyncio.run(work(number))) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counts == [60] * 4
    sent.sort()
    assert all(later - earlier > 0.5 for earlier, later in zip(sent, sent[60:], strict=False))


def test_a_loop_that_was_closed_over_its_waiters_holds_nobody_up() -> None:
    limiter = LocalLimiter(window=0.3)
    asyncio.run(fill(limiter))
    loop = asyncio.new_event_loop()
    waiting = limiter.acquire(bulk=False)

    async def begin() -> None:
        waiting.send(None)

    loop.run_until_complete(begin())
    loop.close()
    asyncio.run(fill(limiter, 1))
    waiting.close()
    assert "0 under way, 0 waiting" in repr(limiter)
