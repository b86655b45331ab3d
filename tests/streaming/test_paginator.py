"""Following cursors: every record once, and a position that is true at any moment."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Final
from weakref import ReferenceType, ref

import anyio
import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Mark, Position
from isnotai_async._streaming.paginator import Paginator
from isnotai_async._streaming.walk import MAX_EMPTY_PAGES
from isnotai_async.errors import ConfigError, PaginationError, ServerError
from tests.examples import scaled

START = Position(operation="list_events", region="us", session_id="s")


@frozen
class Row:
    """A record as small as can be."""

    number: int


mark: Final = Mark[Row](lambda rows: [row.number for row in rows], lambda row: f"id-{row.number}")


class Source:
    """Pages of numbered rows behind cursors, and what was asked of them."""

    def __init__(self, *sizes: int, fail: Callable[[int], bool] = lambda call: False) -> None:
        self.asked: list[str | None] = []
        self.pages: dict[str | None, Page[Row]] = {}
        self._fail = fail
        number = 0
        for index, size in enumerate(sizes):
            rows = tuple(Row(number + i) for i in range(size))
            number += size
            more = index + 1 < len(sizes)
            cursor = f"c{index}" if index else None
            self.pages[cursor] = Page(rows, f"c{index + 1}" if more else None, more, 100, None, "us")
        self.rows = list(range(number))

    async def fetch(self, cursor: str | None) -> Page[Row]:
        self.asked.append(cursor)
        await anyio.lowlevel.checkpoint()
        if self._fail(len(self.asked)):
            raise ServerError("down", status=503)
        return self.pages[cursor]

    def walk(self, *, start: Position = START, max_items: int | None = None) -> Paginator[Row]:
        return Paginator(self.fetch, start=start, mark=mark, max_items=max_items)


async def numbers(walk: Paginator[Row]) -> list[int]:
    return [row.number async for row in walk]


async def test_awaiting_gives_the_first_page_and_leaves_the_walk_where_it_is() -> None:
    source = Source(2, 3)
    walk = source.walk()

    page = await walk

    assert [row.number for row in page.data] == [0, 1]
    assert (page.has_more, page.next_cursor) == (True, "c1")
    assert await numbers(walk) == source.rows


async def test_an_awaited_page_needs_no_position_and_an_error_has_one() -> None:
    asked = list[str]()

    def find_start() -> Position:
        asked.append("start")
        return START

    source = Source(2, fail=lambda call: call > 1)
    walk = Paginator(source.fetch, start=find_start, mark=mark)

    assert (await walk).data
    assert not asked
    with pytest.raises(ServerError) as caught:
        await walk

    assert caught.value.position == walk.position == START
    assert asked == ["start"]


async def test_iterating_gives_every_record_of_every_page() -> None:
    source = Source(2, 3, 1)

    assert await numbers(source.walk()) == source.rows
    assert source.asked == [None, "c1", "c2"]


async def test_pages_come_as_the_server_sent_them() -> None:
    source = Source(2, 3)

    assert [page async for page in source.walk().pages()] == list(source.pages.values())


async def test_an_empty_list_ends_at_once() -> None:
    source = Source(0)

    assert await numbers(source.walk()) == []
    assert [page async for page in source.walk().pages()] == []
    assert (await source.walk()).data == ()


async def test_an_empty_page_with_more_behind_it_is_passed_over() -> None:
    source = Source(1, 0, 0, 2)

    assert await numbers(source.walk()) == [0, 1, 2]


async def test_a_hundred_empty_pages_are_passed_over_and_one_more_is_an_error() -> None:
    assert await numbers(Source(1, *[0] * MAX_EMPTY_PAGES, 1).walk()) == [0, 1]

    with pytest.raises(PaginationError, match="100 empty pages in a row"):
        await numbers(Source(1, *[0] * (MAX_EMPTY_PAGES + 1), 1).walk())


@pytest.mark.parametrize("back_to", ["c1", "c2", "c3"])
async def test_a_cursor_met_before_is_an_error_and_never_a_quiet_end(back_to: str) -> None:
    source = Source(1, 1, 1, 1)
    source.pages["c3"] = evolve(source.pages["c3"], next_cursor=back_to, has_more=True)
    walk = source.walk()
    seen: list[int] = []

    with pytest.raises(PaginationError, match="round in a circle") as caught:
        async for row in walk:
            seen.append(row.number)

    assert seen == [0, 1, 2, 3]
    assert (caught.value.position, caught.value.region) == (walk.position, "us")


@pytest.mark.parametrize("back_to", ["c1", "c2", "c3"])
async def test_a_walk_that_resumes_where_a_cursor_was_wrong_once_has_each_record_once(back_to: str) -> None:
    source = Source(1, 1, 1, 2, 1)
    good = source.pages["c3"]
    source.pages["c3"] = evolve(good, next_cursor=back_to)
    walk, seen = source.walk(), list[int]()
    with pytest.raises(PaginationError, match="round in a circle"):
        async for row in walk:
            seen.append(row.number)

    source.pages["c3"] = good
    assert seen + await numbers(source.walk(start=walk.position)) == source.rows


async def test_a_walk_that_resumes_remembers_the_cursor_it_came_in_by() -> None:
    source = Source(1, 1, 1)
    source.pages["c2"] = evolve(source.pages["c2"], next_cursor="c1", has_more=True)

    with pytest.raises(PaginationError, match="round in a circle"):
        await numbers(source.walk(start=evolve(START, cursor="c1")))
    assert source.asked == ["c1", "c2"]


@pytest.mark.parametrize("max_items", [0, 1, 2, 3, 5, 6, 7, 100])
async def test_max_items_stops_the_walk_and_asks_for_no_page_too_many(max_items: int) -> None:
    source = Source(2, 3, 1)

    assert await numbers(source.walk(max_items=max_items)) == source.rows[:max_items]
    assert len(source.asked) == sum(max_items > before for before in (0, 2, 5))


async def test_max_items_cuts_the_last_page() -> None:
    source = Source(2, 3)
    pages = [page async for page in source.walk(max_items=3).pages()]

    assert [[row.number for row in page.data] for page in pages] == [[0, 1], [2]]
    assert [row.number for row in (await source.walk(max_items=1)).data] == [0]


@pytest.mark.parametrize("value", [-1, 1.5, True, "5"])
def test_max_items_that_is_no_count_is_refused(value: int) -> None:
    with pytest.raises(ConfigError, match="max_items"):
        Source(1).walk(max_items=value)


async def test_a_walk_that_raised_goes_on_where_it_was() -> None:
    source = Source(2, 3, 2, fail=lambda call: call in {1, 3, 4, 6})
    walk, failures = source.walk(), 0
    seen: list[int] = []

    for _ in range(10):
        try:
            async for row in walk:
                seen.append(row.number)
        except ServerError as error:
            assert error.position == walk.position
            failures += 1
        else:
            break

    assert seen == source.rows
    assert failures == 4


async def test_a_break_loses_nothing_and_repeats_nothing() -> None:
    source = Source(3, 2)
    walk = source.walk()
    seen: list[int] = []

    while len(seen) < len(source.rows):
        async for row in walk:
            seen.append(row.number)
            break

    assert seen == source.rows
    assert await numbers(walk) == []


async def test_records_and_pages_can_take_turns() -> None:
    source = Source(3, 2, 2)
    walk = source.walk()
    first = await anext(aiter(walk))
    rest = [[row.number for row in page.data] async for page in walk.pages()]

    assert [first.number, *rest] == [0, [1, 2], [3, 4], [5, 6]]


async def test_a_walk_can_be_closed_like_a_generator() -> None:
    async with aclosing(Source(2).walk()) as walk:
        assert [row.number async for row in walk] == [0, 1]
    async with aclosing(Source(2).walk().pages()) as pages:
        assert len((await anext(pages)).data) == 2


async def test_two_tasks_on_one_walk_are_told_so() -> None:
    walk = Source(1, 1).walk()
    failures = []

    async def iterate() -> None:
        try:
            await numbers(walk)
        except ConfigError as error:
            failures.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(iterate)
        group.start_soon(iterate)

    assert failures == ["another task is iterating this walk; give each task a walk of its own"]


async def test_a_cancelled_walk_goes_on_where_it_was() -> None:
    source = Source(1, 1, 1)
    walk = source.walk()
    seen: list[int] = []

    async for row in walk:
        seen.append(row.number)
        with anyio.CancelScope() as scope:
            scope.cancel()
            async for other in walk:
                seen.append(other.number)

    assert seen == source.rows


async def test_the_position_names_page_index_and_watermark() -> None:
    walk = Source(2, 2).walk()
    seen = [walk.position]
    async for _ in walk:
        seen.append(walk.position)

    assert [(position.cursor, position.index, position.watermark) for position in seen] == [
        (None, 0, None),
        (None, 1, (0, "id-0")),
        ("c1", 0, (1, "id-1")),
        ("c1", 1, (2, "id-2")),
        ("c1", 2, (3, "id-3")),
    ]
    assert repr(walk) == f"<Paginator at {walk.position!r}>"


@settings(max_examples=scaled(100))
@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6), stops=st.lists(st.integers(0, 6), max_size=8))
async def test_a_walk_resumed_from_json_at_any_record_gives_each_record_once(
    sizes: list[int], stops: list[int]
) -> None:
    source = Source(*sizes)
    seen: list[int] = []
    saved = START.to_json()

    for stop in [*stops, None]:
        walk = source.walk(start=Position.from_json(saved), max_items=stop)
        seen += await numbers(walk)
        saved = walk.position.to_json()

    assert seen == source.rows


async def test_resuming_finds_what_was_added_behind_the_end() -> None:
    walk = Source(2).walk()
    await numbers(walk)

    assert await numbers(Source(2).walk(start=walk.position)) == []
    assert await numbers(Source(4).walk(start=walk.position)) == [2, 3]


async def test_resuming_on_smaller_pages_skips_what_was_delivered() -> None:
    position = evolve(START, index=3, watermark=(2, "id-2"))
    source = Source(2, 2, 1)

    assert await numbers(source.walk(start=position)) == [3, 4]
    walk = source.walk(start=position)
    assert walk.position == position


async def test_an_error_while_skipping_leaves_a_position_that_is_as_good_as_before() -> None:
    position = evolve(START, index=3, watermark=(2, "id-2"))
    source = Source(2, 2, 1, fail=lambda call: call == 2)
    walk = source.walk(start=position)

    with pytest.raises(ServerError) as caught:
        await numbers(walk)

    assert caught.value.position == evolve(START, cursor="c1", index=1, watermark=(2, "id-2"))
    assert await numbers(source.walk(start=caught.value.position)) == [3, 4]
    assert await numbers(walk) == [3, 4]


@pytest.mark.parametrize(
    ("position", "says"),
    [
        (evolve(START, index=2, watermark=(7, "id-7")), "another record is in the place"),
        (evolve(START, index=4, watermark=(3, "id-3")), "had 4 records or more and now has 3"),
    ],
)
async def test_a_page_that_changed_since_is_an_error(position: Position, says: str) -> None:
    source = Source(3)

    with pytest.raises(PaginationError, match=says):
        await numbers(source.walk(start=position))
    with pytest.raises(PaginationError, match=says):
        await source.walk(start=position)


async def test_an_awaited_page_that_fails_says_where_it_would_have_begun() -> None:
    position = evolve(START, cursor="c1", index=1)

    with pytest.raises(ServerError) as caught:
        await Source(1, 2, fail=lambda call: True).walk(start=position)
    assert (caught.value.position, caught.value.region) == (position, "us")


async def test_awaiting_a_resumed_walk_gives_the_rest_of_its_page() -> None:
    source = Source(3)

    page = await source.walk(start=evolve(START, index=1, watermark=(0, "id-0")))

    assert [row.number for row in page.data] == [1, 2]


async def test_a_page_is_let_go_before_the_next_one_is_fetched() -> None:
    source, left = Source(3, 3, 3), list[bool]()
    alive: ReferenceType[Page[Row]] | None = None

    async def fetch(cursor: str | None) -> Page[Row]:
        if alive is not None:
            left.append(alive() is None)
        page = await source.fetch(cursor)
        return evolve(page, data=tuple(Row(row.number) for row in page.data))

    async for page in Paginator(fetch, start=START, mark=mark).pages():
        alive = ref(page)
        del page

    assert left == [True, True]
