"""Splitting one session: the union of its windows is one walk, and nothing is lost where plan and session differ."""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import StreamPosition
from isnotai_async._models.tiers import Tier
from isnotai_async.errors import (
    AuthenticationError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    TransportTimeoutError,
)
from tests.event_source import Source, details_of, events, ids, running_tasks, settle
from tests.examples import scaled


async def read(source: Source, sessions: Any = "s", **options: Any) -> list[Event]:
    async with source.stream(sessions, **options) as pages:
        return [event async for event in pages.events()]


def big(size: int = 400, **options: Any) -> Source:
    return Source({"s": events("s", range(0, size * 10, 10))}, limit=10, **options)


SPLITS = st.fixed_dictionaries(
    {
        "split": st.integers(1, 9) | st.just("auto"),
        "concurrency": st.integers(1, 9),
        "buffer": st.none() | st.integers(1, 20),
        "page_size": st.none() | st.integers(1, 12),
        "type": st.none() | st.integers(0, 2),
        "start_time": st.none() | st.integers(0, 60),
        "end_time": st.none() | st.integers(60, 130),
    }
)
# Few milliseconds and many events: ties, gaps and empty sessions come by themselves.
TIMES = st.lists(st.integers(0, 12) | st.integers(90, 120), max_size=80)


@settings(max_examples=scaled(100))
@given(times=TIMES, wrong=TIMES, lies=st.booleans(), ordered=st.booleans(), options=SPLITS, seed=st.integers(0, 99))
async def test_the_union_of_the_windows_is_one_walk(
    *, times: list[int], wrong: list[int], lies: bool, ordered: bool, options: dict[str, Any], seed: int
) -> None:
    if ordered:
        times = sorted(times)
    source = Source({"s": events("s", times)}, limit=7, random=Random(seed), pauses=4)
    if lies:
        source.details["s"] = details_of("s", events("s", wrong), buckets=seed % 5 + 1)
    filters = {name: options[name] for name in ("type", "start_time", "end_time")}

    seen = await read(source, ordered=ordered, **options)

    expected = source.rows(**filters)
    assert len(seen) == len(expected)
    assert set(ids(seen)) == set(ids(expected))
    if ordered:
        assert [row.timestamp for row in seen] == [row.timestamp for row in expected]
        assert seen == expected
    assert running_tasks() == []


async def test_rows_that_are_not_in_time_order_are_passed_on_as_they_come() -> None:
    times = [5, 3, 9, 1, 7] * 30
    source = Source({"s": events("s", times)}, limit=10)

    seen = await read(source, split=4, ordered=True)

    windows = {row.timestamp: row for row in seen}
    assert sorted(ids(seen)) == sorted(ids(source.rows()))
    assert len(windows) == 5
    for stamp in windows:  # within a millisecond, and so within a window, the order is the server's
        assert [row for row in seen if row.timestamp == stamp] == [r for r in source.rows() if r.timestamp == stamp]


@pytest.mark.parametrize("ordered", [False, True])
async def test_so_many_windows_are_read_at_once(ordered: bool) -> None:
    source = big()
    await read(source, split=4, concurrency=16, ordered=ordered)
    assert source.most_in_flight == 4

    source = big()
    await read(source, split=64, concurrency=5, ordered=ordered, page_size=10)
    assert source.most_in_flight == 5


async def test_unordered_there_is_one_window_for_each_reader() -> None:
    source = big()
    await read(source, split=4)

    assert source.asked_details == ["s"]
    assert [cursor for _, cursor in source.requests].count(None) == 4
    assert len(source.requests) <= 40 + 4


async def test_a_session_that_fits_on_a_page_is_not_cut() -> None:
    source = big(90)
    source.limit = 100

    await read(source, split=8)

    assert len(source.requests) == 1


async def test_ordered_no_window_starves_and_the_order_holds_with_a_slow_consumer() -> None:
    source = big(2_000)
    seen: list[Event] = []

    async with source.stream("s", split=8, ordered=True, buffer=16, concurrency=8) as pages:
        async for page in pages:
            seen += page.data
            await settle(60)
            assert source.fetched - len(seen) // 10 <= 16 + 8 + 8  # the last page of a window may be a short one

    assert seen == source.rows()


async def test_all_readers_of_an_ordered_split_are_busy() -> None:
    source = big(2_000)
    rounds = 0

    async def tick() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    source.pauses = 40
    ticking = asyncio.create_task(tick())
    assert await read(source, page_size=10) == source.rows()
    alone, rounds = rounds, 0
    assert await read(source, split=16, ordered=True, page_size=10) == source.rows()
    ticking.cancel()

    assert rounds * 4 < alone  # turns of the loop, of which the consumer takes some too


async def test_a_growing_session_is_read_to_its_end() -> None:
    source = big()
    rows = list(source.sessions["s"])
    source.sessions = {"s": rows}

    def grow(session_id: str, cursor: str | None) -> None:
        if len(rows) < 600:
            rows.append(Event(f"s-{len(rows)}", 0, "kind0", rows[-1].timestamp + 5, 0))

    source.fail = grow
    seen = await read(source, split=4, ordered=True)

    assert seen[:400] == rows[:400]
    assert len(set(ids(seen))) == len(seen) > 420
    assert seen == rows[: len(seen)]


@pytest.mark.parametrize(
    "missing", [NotFoundError("none", status=404), ServerError("later", status=503), DecodeError("html")]
)
@pytest.mark.parametrize("split", [4, "auto"])
async def test_without_details_it_is_one_walk_with_a_note(
    missing: Exception, split: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = big(details={"s": missing})
    with caplog.at_level(logging.INFO, "isnotai_async"):
        assert await read(source, split=split) == source.rows()

    assert "session 's' is read in one walk, because its details are missing" in caplog.text
    assert len(source.requests) == 40


@pytest.mark.parametrize("split", [4, "auto", None])
async def test_a_session_that_is_not_there_says_so(split: Any) -> None:
    source = big(details={"other": NotFoundError("no details", status=404)})

    with pytest.raises(NotFoundError, match="no such session") as caught:
        await read(source, "other", split=split)
    assert caught.value.position is not None
    assert caught.value.position.session_id == "other"


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no", status=401),
        PermissionDeniedError("no", status=403),
        TransportTimeoutError("late"),
    ],
)
async def test_other_trouble_with_the_details_is_an_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        await read(big(details={"s": error}), split=4)


async def test_auto_splits_a_large_session_where_that_pays() -> None:
    source = big()
    assert sorted(ids(await read(source, split="auto"))) == sorted(ids(source.rows()))
    assert source.most_in_flight == 9  # what the quota feeds at this round trip
    assert source.asked_details == ["s"]

    source = big()
    assert await read(source, split="auto", ordered=True) == source.rows()
    assert source.most_in_flight == 9


@pytest.mark.parametrize(
    "source",
    [
        big(tier=Tier.FREE),
        big(tier=Tier.PRO),
        big(tier=None),
        big(round_trip=0.005),
        big(10),
        Source({"s": []}),
    ],
    ids=["free", "pro", "unknown tier", "short round trip", "one page", "empty"],
)
async def test_auto_wastes_no_request_where_a_split_does_not_pay(source: Source) -> None:
    assert await read(source, split="auto") == source.rows()

    assert source.asked_details == []
    assert len(source.requests) == max(1, len(source.rows()) // 10)


async def test_auto_keeps_the_page_it_decided_by() -> None:
    source = big(60)

    assert await read(source, split="auto") == source.rows()

    assert source.asked_details == ["s"]
    assert len(source.requests) == 6


async def test_auto_leaves_many_sessions_to_one_reader_each() -> None:
    source = Source({f"s{n}": events(f"s{n}", range(200)) for n in range(40)}, limit=10)

    await read(source, list(source.sessions), split="auto", concurrency=8)

    assert len(source.requests) <= 1.05 * 40 * 20


async def test_each_of_several_sessions_is_split() -> None:
    source = Source({f"s{n}": events(f"s{n}", range(n * 30)) for n in range(12)}, limit=10)

    seen = await read(source, list(source.sessions), split=4, concurrency=6, ordered=True)

    for name, rows in source.sessions.items():
        assert [row for row in seen if row.event_id.startswith(f"{name}-")] == rows


async def test_windows_of_a_begun_session_go_before_new_sessions() -> None:
    source = Source({f"s{n}": events(f"s{n}", range(100)) for n in range(50)}, limit=10)

    async with source.stream(split=4, concurrency=4) as pages:
        async for _ in pages:
            assert len(pages.position.unfinished) <= 4 + 8  # readers, and a buffer of 8


async def test_a_split_session_is_planned_anew_for_what_is_not_begun() -> None:
    source = big(2_000)
    async with source.stream("s", split=8, ordered=True) as pages:
        seen = [event for _ in range(5) for event in (await anext(pages)).data]
    (unfinished,) = pages.position.unfinished
    assert len(unfinished.walks) <= 2

    seen += await read(source, split=8, ordered=True, resume=pages.position)

    assert seen == source.rows()
    assert source.asked_details == ["s", "s"]


async def test_windows_that_were_handed_out_between_others_are_not_read_again() -> None:
    source, fetch_page = big(), Source.fetch_page

    class Stuck(Source):
        async def fetch_page(self, query: EventQuery, cursor: str | None) -> Page[Event]:
            if query.start_time is None or query.start_time == 3_000:  # the first and the last of four windows
                await anyio.sleep_forever()
            return await fetch_page(self, query, cursor)

    stuck, seen = Stuck(source.sessions, limit=10), list[Event]()
    async with stuck.stream("s", split=4) as pages:
        while len(seen) < 200:
            seen += (await anext(pages)).data
    (unfinished,) = pages.position.unfinished
    assert [walk.filters for walk in unfinished.walks] == [{"end_time": 999}, {"start_time": 3_000}]

    seen += await read(source, split=4, resume=pages.position)
    assert sorted(ids(seen)) == sorted(ids(source.rows()))


async def test_the_position_of_an_error_is_what_was_handed_out_of_its_window() -> None:
    source, fetch_page = big(), Source.fetch_page

    class Failing(Source):
        async def fetch_page(self, query: EventQuery, cursor: str | None) -> Page[Event]:
            if query.start_time is None:  # the first window, which is slow, so nothing of the second is handed out
                await settle(50)
            elif cursor is not None:
                raise ServerError("down", status=503)
            return await fetch_page(self, query, cursor)

    with pytest.raises(ServerError) as caught:
        await read(Failing(source.sessions, limit=10), split=2, ordered=True)
    position = caught.value.position
    assert position is not None
    assert position.filters["start_time"]
    assert (position.cursor, position.index, position.watermark) == (None, 0, None)


def fail_once(number: int) -> Callable[[str, str | None], None]:
    """Return a function that fails at one of its calls."""
    calls = count(1)

    def fail(session_id: str, cursor: str | None) -> None:
        if next(calls) == number:
            raise ServerError("down", status=503)

    return fail


@pytest.mark.parametrize("failing", [1, 5, 20, 33])
async def test_where_one_window_fails_the_session_has_failed_and_resumes_in_order(failing: int) -> None:
    source = big(fail=fail_once(failing))
    stream = source.stream("s", split=4, ordered=True, on_error="collect")
    async with stream as pages:
        seen = [event async for event in pages.events()]
    assert list(stream.failures) == ["s"]
    assert len(seen) < 400

    source.fail = big().fail
    seen += await read(source, split=4, ordered=True, resume=stream.position)
    assert ids(seen) == ids(source.rows())


@pytest.mark.parametrize("failing", range(2, 40, 3))
async def test_where_the_error_of_a_window_ends_the_stream_it_resumes_in_order(failing: int) -> None:
    source, seen = big(fail=fail_once(failing)), list[Event]()
    stream = source.stream("s", split=4, ordered=True)
    with pytest.raises(ServerError):
        async with stream as pages:
            async for event in pages.events():
                seen.append(event)

    source.fail = big().fail
    seen += await read(source, split=4, ordered=True, resume=stream.position)
    assert ids(seen) == ids(source.rows())


@pytest.mark.parametrize("begin", [-5_000, 10**9], ids=["before 1970", "as large as seconds"])
async def test_windows_are_cut_and_resumed_wherever_in_time_the_session_lies(begin: int) -> None:
    source = Source({"s": events("s", range(begin, begin + 4_000, 10))}, limit=10)
    async with source.stream("s", split=4, ordered=True) as pages:
        seen = [event for _ in range(15) for event in (await anext(pages)).data]
    saved = StreamPosition.from_json(pages.position.to_json())

    seen += await read(source, split=4, ordered=True, resume=saved)

    assert seen == source.rows()
    assert len(source.asked_details) == 2
