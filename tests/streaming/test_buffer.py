"""The queue between readers and consumer: bounded, in order, and it loses nothing."""

import asyncio
from collections import deque
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._streaming.buffer import OrderedLane, PageBuffer
from tests.event_source import running_tasks, settle
from tests.examples import scaled


async def drain(buffer: PageBuffer[int]) -> list[int]:
    seen = []
    while (item := await buffer.get()) is not None:
        seen.append(item)
    return seen


async def test_items_come_in_the_order_they_were_put() -> None:
    buffer = PageBuffer[int](3)
    for number in (1, 2, 3):
        await buffer.put(number)
    fourth = asyncio.create_task(buffer.put(4))
    await settle()
    assert not fourth.done()

    assert await buffer.get() == 1
    await fourth
    buffer.close()

    assert await drain(buffer) == [2, 3, 4]
    assert await buffer.get() is None


async def test_who_waits_longest_is_let_in_first() -> None:
    buffer = PageBuffer[int](1)
    puts = [asyncio.create_task(buffer.put(number)) for number in range(5)]
    await settle()
    puts[1].cancel()
    await settle()

    assert [await buffer.get() for _ in range(4)] == [0, 2, 3, 4]
    assert puts[1].cancelled()


async def test_a_place_that_was_given_to_a_cancelled_task_goes_to_the_next() -> None:
    buffer = PageBuffer[int](1)
    await buffer.put(0)
    first, second = asyncio.create_task(buffer.put(1)), asyncio.create_task(buffer.put(2))
    await settle()

    assert await buffer.get() == 0
    first.cancel()  # it has its place and has not run yet
    await settle()

    assert first.cancelled()
    assert second.done()
    assert await buffer.get() == 2


async def test_a_getter_that_is_cancelled_takes_nothing_with_it() -> None:
    buffer = PageBuffer[int](1)
    getter = asyncio.create_task(buffer.get())
    await settle()

    await buffer.put(1)
    getter.cancel()
    await settle()

    assert getter.cancelled()
    assert await buffer.get() == 1


async def test_the_loop_runs_after_every_two_ready_items() -> None:
    buffer, taken, rounds = PageBuffer[int](10), list[int](), list[int]()
    for number in range(10):
        await buffer.put(number)
    buffer.close()

    async def consume() -> None:
        while (item := await buffer.get()) is not None:
            taken.append(item)

    consumer = asyncio.create_task(consume())
    while not consumer.done():
        await asyncio.sleep(0)
        rounds.append(len(taken))

    assert rounds[:5] == [2, 4, 6, 8, 10]


async def test_lanes_come_out_one_after_the_other() -> None:
    buffer, line = PageBuffer[int](10), deque[OrderedLane[int]]()
    first, second, third = (OrderedLane.open(line) for _ in range(3))

    await buffer.put(30, third)
    await buffer.put(20, second)
    await buffer.put(10, first)
    await buffer.put(99)
    buffer.fill(second)
    await buffer.put(11, first)
    buffer.fill(first)
    await buffer.put(31, third)
    buffer.fill(third)
    buffer.close()

    assert await drain(buffer) == [10, 99, 11, 20, 30, 31]


async def test_the_foremost_lane_always_gets_on() -> None:
    buffer, line = PageBuffer[int](2), deque[OrderedLane[int]]()
    first, second = OrderedLane.open(line), OrderedLane.open(line)
    await buffer.put(20, second)
    waiting = asyncio.create_task(buffer.put(21, second))
    await settle()

    for number in range(5):
        await buffer.put(number, first)
        assert await buffer.get() == number
        assert not waiting.done()
    buffer.fill(first)
    await waiting

    assert [await buffer.get(), await buffer.get()] == [20, 21]


@settings(max_examples=scaled(100))
@given(
    sizes=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5), min_size=1, max_size=3),
    capacity=st.integers(1, 6),
    readers=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
async def test_many_lines_through_one_buffer_keep_their_order_and_the_bound(
    *, sizes: list[list[int]], capacity: int, readers: int, seed: int
) -> None:
    buffer, random = PageBuffer[tuple[int, int, int]](capacity), Random(seed)
    lines = [(deque[OrderedLane[tuple[int, int, int]]](), list(enumerate(line))) for line in sizes]
    put = got = 0

    async def read() -> None:
        nonlocal put
        for number, (line, lanes) in enumerate(lines):
            while lanes:
                index, size = lanes.pop(0)
                lane = OrderedLane.open(line)
                for item in range(size):
                    await settle(random.randint(0, 3))
                    await buffer.put((number, index, item), lane)
                    put += 1
                buffer.fill(lane)

    async with asyncio.timeout(10):
        tasks = [asyncio.create_task(read()) for _ in range(readers)]
        seen = []
        for _ in range(sum(map(sum, sizes))):
            await settle(random.randint(0, 9))
            assert put - got <= capacity
            item = await buffer.get()
            assert item is not None
            seen.append(item)
            got += 1
        await asyncio.gather(*tasks)

    assert running_tasks() == []
    assert sorted(seen) == [
        (number, index, item)
        for number, line in enumerate(sizes)
        for index, size in enumerate(line)
        for item in range(size)
    ]
    for number in range(len(sizes)):
        assert [item for item in seen if item[0] == number] == sorted(item for item in seen if item[0] == number)
