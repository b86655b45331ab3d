"""Reading ahead: the same walk, only sooner."""

from contextlib import aclosing
from random import Random

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError, PaginationError, ServerError
from tests.event_source import running_tasks, settle
from tests.examples import scaled
from tests.streaming.test_paginator import START, Row, Source, mark, numbers


async def pages_of(walk: Paginator[Row], count: int = 2) -> list[int]:
    async with walk.prefetch(count) as pages:
        return [row.number async for page in pages for row in page.data]


async def test_reading_ahead_gives_what_the_walk_gives() -> None:
    source = Source(2, 3, 0, 1)

    assert await pages_of(source.walk()) == source.rows
    assert source.asked == [None, "c1", "c2", "c3"]
    assert running_tasks() == []


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_it_is_so_many_pages_ahead_and_no_more(count: int) -> None:
    source = Source(*[1] * 20)
    taken = 0

    async with source.walk().prefetch(count) as pages:
        await settle()
        assert source.asked == []  # nobody has asked for the first page yet
        async for _ in pages:
            taken += 1
            await settle()
            assert len(source.asked) == min(20, taken + count)
            if taken == 15:
                break
    assert running_tasks() == []


async def test_the_position_is_that_of_what_was_handed_out() -> None:
    source = Source(2, 2, 2, 2)
    walk = source.walk()

    async with walk.prefetch(3) as pages:
        await anext(pages)
        await settle()
        assert len(source.asked) == 4
        assert (walk.position.cursor, walk.position.watermark) == ("c1", (1, "id-1"))

    assert await numbers(source.walk(start=Position.from_json(walk.position.to_json()))) == [2, 3, 4, 5, 6, 7]
    assert await numbers(walk) == [2, 3, 4, 5, 6, 7]


async def test_an_error_comes_behind_the_pages_before_it_and_the_walk_goes_on() -> None:
    source = Source(1, 1, 1, 1, fail=lambda call: call == 3)
    walk, seen = source.walk(), list[int]()

    async with walk.prefetch(5) as pages:
        await settle()
        with pytest.raises(ServerError) as caught:
            async for page in pages:
                await settle()
                seen += [row.number for row in page.data]
        assert seen == [0, 1]
        assert caught.value.position == walk.position
        seen += [row.number async for page in walk.pages() for row in page.data]

    assert seen == source.rows


async def test_a_cursor_met_before_is_still_an_error() -> None:
    source = Source(1, 1)
    source.pages["c1"] = Page((Row(1),), "c1", True, 1, None, "us")

    with pytest.raises(PaginationError, match="round in a circle"):
        await pages_of(source.walk(), 10)


@pytest.mark.parametrize("max_items", [0, 1, 2, 3, 5, 6, 100])
async def test_max_items_asks_for_no_page_too_many(max_items: int) -> None:
    source = Source(2, 3, 1)

    assert await pages_of(source.walk(max_items=max_items), 3) == source.rows[:max_items]
    assert len(source.asked) == sum(max_items > before for before in (0, 2, 5))


async def test_records_and_single_pages_can_be_had_within_the_block() -> None:
    source = Source(2, 2, 2)
    walk = source.walk()

    async with walk.prefetch(1):
        first = await anext(aiter(walk))
        page = await walk
        assert (first.number, [row.number for row in page.data]) == (0, [0, 1])
        assert await numbers(walk) == [1, 2, 3, 4, 5]


async def test_what_was_not_taken_is_fetched_again_afterwards() -> None:
    source = Source(1, 1, 1)
    walk = source.walk()

    async with walk.prefetch(2) as pages:
        await anext(pages)
        await settle()

    assert await numbers(walk) == [1, 2]
    assert source.asked == [None, "c1", "c2", "c1", "c2"]


async def test_exceptions_and_cancellation_leave_nothing_running() -> None:
    walk = Source(1, 1, 1).walk()

    with pytest.raises(KeyError):
        async with walk.prefetch(2) as pages:
            await anext(pages)
            raise KeyError
    with anyio.CancelScope() as scope:
        async with walk.prefetch(2) as pages:
            scope.cancel()
            await anext(pages)

    assert running_tasks() == []
    assert await pages_of(walk) == [1, 2]


async def test_a_walk_reads_ahead_once_at_a_time() -> None:
    walk = Source(1, 1).walk()

    async with walk.prefetch():
        with pytest.raises(ConfigError, match="reads ahead already"):
            async with walk.prefetch():
                pass
    assert await pages_of(walk) == [0, 1]


@pytest.mark.parametrize("count", [0, -1, True, 1.5, 1_001])
def test_a_count_that_cannot_be_is_refused_at_the_call(count: int) -> None:
    with pytest.raises(ConfigError, match="count"):
        Source(1).walk().prefetch(count)


@settings(max_examples=scaled(75))
@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    count=st.integers(1, 4),
    broken=st.sets(st.integers(1, 15), max_size=4),
    stops=st.lists(st.integers(1, 4), max_size=5),
    max_items=st.none() | st.integers(0, 20),
    seed=st.integers(0, 99),
)
async def test_cut_off_anywhere_it_gives_each_record_once(
    *, sizes: list[int], count: int, broken: set[int], stops: list[int], max_items: int | None, seed: int
) -> None:
    source, random = Source(*sizes, fail=lambda call: call in broken), Random(seed)
    walk = Paginator(source.fetch, start=START, mark=mark, max_items=max_items)
    seen: list[int] = []

    for stop in [*stops, *[100] * 5]:
        try:
            with anyio.CancelScope() as scope:
                async with walk.prefetch(count) as pages, aclosing(pages):
                    async for page in pages:
                        seen += [row.number for row in page.data]
                        await settle(random.randint(0, 4))
                        stop -= 1
                        if not stop:
                            scope.cancel()
        except ServerError as error:
            assert error.position == walk.position
        assert running_tasks() == []

    assert seen == source.rows[:max_items]
