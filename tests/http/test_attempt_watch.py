"""Bounds of an attempt: what is silent for too long is ended, and one timer is enough for all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any
from weakref import ReferenceType, ref

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._http.http_session import AttemptWatch
from tests import virtual


async def attempt(watch: AttemptWatch, work: Callable[[], Awaitable[object]]) -> float | str:
    """Make an attempt; returns when it was ended, or what came of it."""
    try:
        with watch.begin(asyncio.get_running_loop(), virtual.now()):
            await work()
    except TimeoutError:
        return virtual.now()
    return "done"


def silent(seconds: float) -> Callable[[], Awaitable[object]]:
    return lambda: virtual.sleep(seconds)


def test_an_attempt_is_ended_in_time() -> None:
    async def main() -> None:
        begun = virtual.now()
        assert await attempt(AttemptWatch(30.0), silent(3_600)) == begun + 30
        assert await attempt(AttemptWatch(30.0), silent(29)) == "done"

    virtual.run(main())


def test_without_a_bound_nothing_is_ended() -> None:
    async def main() -> None:
        assert await attempt(AttemptWatch(None), silent(86_400)) == "done"

    virtual.run(main())


def test_what_is_watched_no_longer_is_not_ended() -> None:
    async def main() -> None:
        watch = AttemptWatch(30.0)
        with watch.begin(asyncio.get_running_loop(), virtual.now()):
            await virtual.sleep(29)
        await virtual.sleep(3_600)

    virtual.run(main())


def test_without_a_task_there_is_nothing_to_end() -> None:
    caught = list[BaseException]()

    def call_back(loop: asyncio.AbstractEventLoop) -> None:
        with pytest.raises(RuntimeError, match="within a task") as refused:
            AttemptWatch(30.0).begin(loop, loop.time())
        caught.append(refused.value)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(call_back, loop)
        await virtual.sleep(1)

    virtual.run(main())
    assert caught


@settings(max_examples=60)
@given(
    delays=st.lists(st.tuples(st.floats(0, 50), st.floats(0, 60)), min_size=1, max_size=30),
    bound=st.floats(0.5, 45),
)
def test_each_of_many_attempts_is_ended_in_its_own_time(delays: list[tuple[float, float]], bound: float) -> None:
    async def main() -> None:
        watch = AttemptWatch(bound)

        async def one(wait: float, work: float) -> None:
            await virtual.sleep(wait)
            begun = virtual.now()
            result = await attempt(watch, silent(work))
            if work < bound:
                assert result == "done"
            elif work > bound:
                assert result == pytest.approx(begun + bound)

        await asyncio.gather(*(one(wait, work) for wait, work in delays))

    virtual.run(main())


def test_a_cancellation_from_outside_stays_one() -> None:
    async def main() -> None:
        task = asyncio.create_task(attempt(AttemptWatch(60.0), silent(10)))
        await virtual.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual.run(main())


def test_a_cancellation_from_outside_in_the_same_instant_wins() -> None:
    async def main() -> None:
        task = asyncio.create_task(attempt(AttemptWatch(60.0), silent(3_600)))
        await virtual.sleep(0)
        asyncio.get_running_loop().call_at(virtual.now() + 60, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual.run(main())


def test_a_cancellation_that_was_asked_for_before_stays_one() -> None:
    async def main() -> None:
        watch = AttemptWatch(60.0)

        async def stubborn() -> float | str:
            with contextlib.suppress(asyncio.CancelledError):
                await virtual.sleep(100)
            return await attempt(watch, silent(3_600))  # as a clean-up may, after its task was cancelled

        task = asyncio.create_task(stubborn())
        await virtual.sleep(1)
        task.cancel()
        begun = virtual.now()
        assert await task == begun + 60
        assert task.cancelling() == 1

    virtual.run(main())


def test_an_error_of_the_work_that_is_ended_stays_that_error() -> None:
    async def main() -> None:
        async def fail() -> None:
            try:
                await virtual.sleep(3_600)
            finally:
                raise OSError("the clean-up failed")

        with pytest.raises(OSError, match="the clean-up failed"):
            await attempt(AttemptWatch(30.0), fail)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling(), "the watch has taken back its own wish"
        await virtual.sleep(1)

    virtual.run(main())


@pytest.mark.parametrize("seconds", [10, 30, 50])
def test_a_cancel_scope_around_an_attempt_ends_it_in_its_own_time(seconds: float) -> None:
    async def main() -> None:
        begun, result = virtual.now(), None
        with anyio.move_on_after(seconds) as scope:
            result = await attempt(AttemptWatch(30.0), silent(3_600))
        if seconds > 30:
            assert result == begun + 30
        else:
            assert scope.cancelled_caught
        assert virtual.now() == begun + min(seconds, 30)

    virtual.run(main())


def test_answers_in_time_set_one_timer_which_goes_with_the_client() -> None:
    async def main() -> None:
        watch, timers = AttemptWatch(60.0), list[asyncio.TimerHandle]()
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def note(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
            timers.append(call_at(*arguments, **options))
            return timers[-1]

        loop.call_at = note  # type: ignore[method-assign, assignment]
        for _ in range(100):
            assert await attempt(watch, lambda: asyncio.sleep(0)) == "done"
        assert len(timers) == 1
        assert not timers[0].cancelled()
        assert not watch._begun

        watch.stop()
        assert timers[0].cancelled()

    virtual.run(main())


def test_the_timer_keeps_no_context_of_a_request_alive() -> None:
    class Span:
        pass

    current = ContextVar[Span | None]("current", default=None)

    async def main() -> None:
        watch = AttemptWatch(60.0)

        async def request() -> ReferenceType[Span]:
            span = Span()
            current.set(span)
            assert await attempt(watch, lambda: asyncio.sleep(0)) == "done"
            return ref(span)

        task = asyncio.create_task(request())
        span = await task
        del task
        await asyncio.sleep(0)
        assert watch._timer is not None
        assert span() is None

    virtual.run(main())
