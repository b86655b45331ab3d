"""Bounds of an attempt: what is silent for too long is ended, and one timer is enough for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async.attempt_watch import AttemptWatch
from tests import virtual


async def attempt(watch: AttemptWatch, work: Callable[[asyncio.Timeout], Awaitable[object]]) -> float | str:
    """Make an attempt; returns when it was ended, or what came of it."""
    scope = watch.begin(asyncio.get_running_loop())
    try:
        async with scope:
            await work(scope)
    except TimeoutError:
        return virtual.now()
    finally:
        watch.end(scope)
    return "done"


def silent(seconds: float) -> Callable[[object], Awaitable[object]]:
    return lambda _: virtual.sleep(seconds)


@pytest.mark.parametrize(("timeout", "ended_after"), [(60.0, 30.0), (5.0, 5.0), (30.0, 30.0)])
def test_row_8_silence_ends_after_half_a_minute_or_the_timeout_if_that_is_shorter(
    timeout: float, ended_after: float
) -> None:
    async def main() -> None:
        begun = virtual.now()
        assert await attempt(AttemptWatch(timeout), silent(3_600)) == begun + ended_after

    virtual.run(main())


def test_without_a_timeout_nothing_is_ended() -> None:
    async def main() -> None:
        watch = AttemptWatch(None)
        assert await attempt(watch, silent(86_400)) == "done"

        async def slowly(scope: asyncio.Timeout) -> None:
            watch.hand_over(scope)
            await virtual.sleep(86_400)

        assert await attempt(watch, slowly) == "done"

    virtual.run(main())


def test_what_has_begun_to_come_may_take_the_whole_timeout() -> None:
    async def main() -> None:
        watch, begun = AttemptWatch(60.0), virtual.now()

        async def begin_late(scope: asyncio.Timeout) -> None:
            await virtual.sleep(29)
            watch.hand_over(scope)
            await virtual.sleep(3_600)

        assert await attempt(watch, begin_late) == begun + 60

    virtual.run(main())


@settings(max_examples=60)
@given(
    delays=st.lists(st.tuples(st.floats(0, 50), st.floats(0, 60)), min_size=1, max_size=30),
    timeout=st.floats(0.5, 90),
)
def test_each_of_many_attempts_is_ended_in_its_own_time(delays: list[tuple[float, float]], timeout: float) -> None:
    async def main() -> None:
        watch, bound = AttemptWatch(timeout), min(timeout, 30.0)

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


def test_answers_in_time_leave_one_timer_behind_and_no_attempt() -> None:
    async def main() -> None:
        watch, timers = AttemptWatch(60.0), list[float]()
        loop = asyncio.get_running_loop()
        call_at = loop.call_at
        loop.call_at = lambda when, *rest, **more: timers.append(when) or call_at(when, *rest, **more)  # type: ignore[method-assign,func-returns-value]
        for _ in range(100):
            assert await attempt(watch, lambda _: asyncio.sleep(0)) == "done"
        assert len(timers) == 1
        assert not watch._begun

    virtual.run(main())
