"""Work behind a block ends with it, and a pool is never larger than it may be."""

import asyncio

import anyio
import pytest

from isnotai_async._streaming.tasks import TaskPool, run_behind
from tests.event_source import running_tasks, settle


async def test_a_mistake_in_the_work_is_raised_when_the_block_ends() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with run_behind(broken()):
            await settle()


async def test_the_work_ends_with_the_block() -> None:
    async with run_behind(anyio.sleep_forever()):
        assert len(running_tasks()) == 1
    assert running_tasks() == []


async def test_jobs_run_so_many_at_a_time_and_in_their_order() -> None:
    running, most, order = 0, 0, list[int]()

    async def job(number: int) -> None:
        nonlocal running, most
        order.append(number)
        running += 1
        most = max(most, running)
        await settle(5)
        running -= 1

    async with anyio.create_task_group() as group:
        pool = TaskPool(3, group)
        assert pool.free == 3
        for number in range(10):
            pool.start(lambda number=number: job(number))  # type: ignore[misc]
        assert pool.free == 0
        await pool.idle()
        assert len(order) == 10
        assert pool.free > 0

    assert most == 3
    assert order == list(range(10))


async def test_who_waits_for_an_idle_crew_comes_after_jobs_that_were_started() -> None:
    order: list[str] = []

    async def job(name: str) -> None:
        order.append(name)
        await settle(3)

    async with anyio.create_task_group() as group:
        pool = TaskPool(1, group)

        async def fetcher() -> None:
            await pool.idle()
            pool.start(lambda: job("new"))

        async def begin() -> None:
            await job("begun")
            pool.start(lambda: job("part of it"))

        pool.start(begin)
        group.start_soon(fetcher)

    assert order == ["begun", "part of it", "new"]


async def test_a_block_that_is_cancelled_while_it_ends_waits_for_the_end_all_the_same() -> None:
    ended = False

    async def stubborn() -> None:
        nonlocal ended
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await settle(20)
            ended = True

    async def block() -> None:
        async with run_behind(stubborn()):
            await settle(2)

    task = asyncio.create_task(block())
    await settle(6)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended
