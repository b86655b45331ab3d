"""A saved cursor that is refused: the walk begins again, and every row is given once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position, mark_event
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event
from isnotai_async._streaming.paginator import FetchPage, Paginator
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    InvalidCursorError,
    InvalidRequestError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
)
from tests.event_source import Source, events, ids
from tests.examples import scaled

QUERY = EventQuery(session_id="s")
ERRORS: dict[int, type[APIError]] = {
    400: InvalidRequestError,
    404: NotFoundError,
    410: APIError,
    422: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    408: APIError,
    425: APIError,
    429: RateLimitedError,
    503: ServerError,
}
# An order that rises for many rows and falls later cannot be told from one that rises; a shuffled one does not.
RISING = st.lists(st.integers(0, 12), min_size=1, max_size=60).map(sorted)
SHUFFLED = st.integers(1, 60).flatmap(
    lambda size: st.integers().map(lambda seed: Random(seed).sample(range(99), size))
)


def walk_over(source: Source, resume: Position | None = None) -> Paginator[Event]:
    def since(start_time: int) -> FetchPage[Event]:
        return partial(source.fetch_page, evolve(QUERY, start_time=start_time))

    start = resume or Position.start("list_events", "us", QUERY)
    return Paginator(partial(source.fetch_page, QUERY), start=start, mark=mark_event, since=since)


async def take(source: Source, count: int) -> tuple[list[Event], Position]:
    walk = walk_over(source)
    rows: list[Event] = []
    async for row in walk:
        rows.append(row)
        if len(rows) == count:
            break
    return rows, Position.from_json(walk.position.to_json())


def refuse(source: Source, cursor: str | None, error: APIError) -> None:
    """Refuse one cursor once; a real server would refuse it for ever, and give others."""
    left = [error]

    def fail(_: str, asked: str | None) -> None:
        if asked == cursor and left:
            raise left.pop()

    source.fail = fail


def expired(status: int = 400) -> APIError:
    return ERRORS[status]("The continuation token has expired.", status=status, code="X")


def make(times: Sequence[int], limit: int = 10) -> Source:
    return Source({"s": events("s", times)}, limit=limit)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_rising_rows_begin_again_at_the_watermarks_millisecond(status: int) -> None:
    source = make([n // 3 for n in range(45)])
    rows, saved = await take(source, 25)
    refuse(source, saved.cursor, expired(status))
    source.requests.clear()

    rows += await walk_over(source, saved).to_list()

    assert ids(rows) == ids(source.sessions["s"])
    assert [cursor for _, cursor in source.requests] == ["20", None, "10", "20"]


async def test_a_position_of_the_walk_that_began_again_can_be_saved_too() -> None:
    source = make([n // 7 for n in range(60)], limit=5)
    rows, saved = await take(source, 23)
    refuse(source, saved.cursor, expired())
    walk = walk_over(source, saved)
    async for row in walk:
        rows.append(row)
        if len(rows) == 36:
            break
    again = Position.from_json(walk.position.to_json())
    assert again.since is not None
    assert again.given == 36

    rows += await walk_over(source, again).to_list()

    assert ids(rows) == ids(source.sessions["s"])


async def test_falling_rows_begin_again_at_the_start_by_count() -> None:
    source = make([100 - n for n in range(45)])
    rows, saved = await take(source, 25)
    assert not saved.rising
    refuse(source, saved.cursor, expired())

    rows += await walk_over(source, saved).to_list()

    assert ids(rows) == ids(source.sessions["s"])


async def test_many_rows_of_one_millisecond_begin_again_by_count() -> None:
    source = make([7] * 350, limit=50)
    rows, saved = await take(source, 225)
    assert (saved.rising, saved.ids) == (True, ())
    refuse(source, saved.cursor, expired())

    rows += await walk_over(source, saved).to_list()

    assert ids(rows) == ids(source.sessions["s"])


async def test_another_order_is_noticed() -> None:
    source = make([100 - n for n in range(45)])
    _, saved = await take(source, 25)
    source.sessions = {"s": list(reversed(source.sessions["s"]))}
    refuse(source, saved.cursor, expired())

    with pytest.raises(PaginationError, match=r"order has changed.*start over"):
        await walk_over(source, saved).to_list()


async def test_the_same_status_again_is_the_sessions_answer_and_the_position_stays() -> None:
    source = make(range(45))
    _, saved = await take(source, 25)

    def fail(session_id: str, cursor: str | None) -> None:
        raise NotFoundError("gone", status=404)

    source.fail, walk = fail, walk_over(source, saved)
    source.requests.clear()
    with pytest.raises(NotFoundError) as caught:
        await walk.to_list()

    assert caught.value.position == walk.position == saved
    assert len(source.requests) == 2


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 503])
async def test_what_is_never_about_a_cursor_is_the_answer_at_once(status: int) -> None:
    source = make(range(45))
    _, saved = await take(source, 25)
    refuse(source, saved.cursor, expired(status))
    source.requests.clear()

    with pytest.raises(APIError) as caught:
        await walk_over(source, saved).to_list()

    assert caught.value.status == status
    assert len(source.requests) == 1


async def test_a_cursor_that_was_not_saved_is_not_begun_again() -> None:
    source = make(range(45))
    refuse(source, "20", InvalidCursorError("altered", status=400))

    with pytest.raises(InvalidCursorError):
        await walk_over(source).to_list()


async def test_a_walk_whose_cursor_expired_continues_when_it_is_iterated_again() -> None:
    source = make(range(45))
    refuse(source, "20", InvalidCursorError("expired", status=400))
    walk = walk_over(source)

    given: list[str] = []
    with pytest.raises(InvalidCursorError):
        async for event in walk:
            given.append(event.event_id)
    rest = [event.event_id async for event in walk]

    assert 0 < len(given) < 45
    assert given + rest == [event.event_id for event in await walk_over(make(range(45))).to_list()]


async def test_a_position_of_version_1_cannot_begin_again() -> None:
    source = make(range(45))
    _, saved = await take(source, 25)
    refuse(source, saved.cursor, expired())

    with pytest.raises(PaginationError, match=r"older version.*start over"):
        await walk_over(source, evolve(saved, given=None, rising=False, ids=())).to_list()


async def test_reading_ahead_begins_again_too() -> None:
    source = make([n // 3 for n in range(45)])
    rows, saved = await take(source, 25)
    refuse(source, saved.cursor, expired())

    async with walk_over(source, saved).prefetch(2) as pages:
        async for page in pages:
            rows += page.data

    assert ids(rows) == ids(source.sessions["s"])


async def test_a_stream_begins_its_sessions_again() -> None:
    source = make([n // 3 for n in range(45)])
    seen: list[Event] = []
    async with source.stream(["s"], concurrency=1) as stream:
        async for event in stream.events():
            seen.append(event)
            if len(seen) == 25:
                break
    saved = stream.position
    refuse(source, "20", expired())
    async with source.stream(["s"], concurrency=1, resume=saved) as stream:
        seen += [event async for event in stream.events()]

    assert ids(seen) == ids(source.sessions["s"])


@pytest.mark.parametrize("times", [[1, 0], [5, 5, 4], [3, 7, 1], [*range(1, 15), 0]])
async def test_a_few_rows_that_rise_do_not_show_that_the_order_rises(times: list[int]) -> None:
    source = make(times, limit=len(times) - 1)
    rows, saved = await take(source, len(times) - 1)
    assert saved.rising
    refuse(source, saved.cursor, expired())

    rows += await walk_over(source, saved).to_list()

    assert ids(rows) == ids(source.sessions["s"])


@settings(max_examples=scaled(40))
@given(
    times=RISING | SHUFFLED,
    limit=st.integers(1, 7),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    seed=st.integers(0, 9),
)
async def test_in_every_stable_order_each_row_is_given_once_however_often_it_breaks_off(
    times: list[int], limit: int, cuts: list[int], seed: int
) -> None:
    random = Random(seed)
    source = make(times, limit=limit)
    rows: list[Event] = []
    saved: Position | None = None
    for count in cuts:
        if saved is not None and saved.cursor is not None and random.random() < 0.8:
            refuse(source, saved.cursor, expired())
        walk = walk_over(source, saved)
        taken = 0
        async for row in walk:
            rows.append(row)
            taken += 1
            if taken == count:
                break
        saved = Position.from_json(walk.position.to_json())
        assert saved.given == len(rows)
        source.fail = lambda session_id, cursor: None
    rows += await walk_over(source, saved).to_list()

    assert sorted(ids(rows)) == sorted(ids(source.sessions["s"]))


def test_an_empty_page_is_no_trail() -> None:
    position = Position.start("list_events", "us", QUERY)
    page: Page[Event] = Page((), None, False, 10, None, "us")

    assert position.trail.follow(page.data, mark_event, passed=0) == position.trail
