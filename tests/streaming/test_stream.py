"""Many sessions at once: every event once, bounded, resumable, and nothing left behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from random import Random
from typing import Any
from weakref import ReferenceType, ref

import anyio
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event, Session
from isnotai_async._models.stream_positions import StreamPosition, UnfinishedSession
from isnotai_async._streaming.options import StreamOptions
from isnotai_async._streaming.readers import room_of
from isnotai_async._streaming.stream import EventStream
from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    IsNotAIError,
    NotFoundError,
    ServerError,
)
from tests.event_source import EPOCH, Source, events, ids, running_tasks, settle
from tests.examples import scaled


def many(count: int = 30, size: int = 7, **options: object) -> Source:
    return Source({f"s{n}": events(f"s{n}", range(n % size * 10)) for n in range(count)}, limit=10, **options)  # type: ignore[arg-type]


def down(session_id: str, at: str | None = None) -> object:
    def fail(asked: str, cursor: str | None) -> None:
        if (asked, cursor) == (session_id, at):
            raise ServerError(f"{session_id} is down", status=503)

    return fail


async def take(stream: EventStream, into: list[Event]) -> None:
    async with stream as pages:
        async for page in pages:
            into += page.data


async def test_every_event_of_every_session_comes_once() -> None:
    source, seen = many(), list[Event]()

    await take(source.stream(concurrency=4), seen)

    assert sorted(ids(seen)) == sorted(ids(source.rows()))
    assert source.most_in_flight == 4
    assert running_tasks() == []


async def test_the_pages_of_one_session_come_in_its_order_and_tagged() -> None:
    source, seen = many(), dict[str, list[Event]]()

    async with source.stream() as pages:
        async for page in pages:
            assert (page.region, page.session_id) == ("us", page.data[0].event_id.split("-")[0])
            seen.setdefault(page.session_id or "", []).extend(page.data)

    assert seen == {name: rows for name, rows in source.sessions.items() if rows}


async def record_source() -> AsyncIterator[Session | str]:
    for name in ("s1", "s2"):
        yield Session(id=name, created_at=EPOCH, updated_at=EPOCH, status="closed", detection_flags=())
    yield "s3"


@pytest.mark.parametrize("kind", ["id", "record", "list", "generator", "async"])
async def test_sessions_may_be_one_or_any_source_of_ids_or_records(kind: str) -> None:
    record = await anext(aiter(record_source()))
    sources = {
        "id": ("s1", ["s1"]),
        "record": (record, ["s1"]),
        "list": (["s1", record], ["s1", "s1"]),
        "generator": ((name for name in ("s1", "s2")), ["s1", "s2"]),
        "async": (record_source(), ["s1", "s2", "s3"]),
    }
    sessions, names = sources[kind]
    source, seen = many(), list[Event]()

    await take(source.stream(sessions), seen)

    assert sorted(ids(seen)) == sorted(ids(source.rows(*names)))


@pytest.mark.parametrize("sessions", [b"s1", 7, None, [7], [("us", "s1")]])
async def test_what_is_no_source_of_sessions_is_refused(sessions: object) -> None:
    source = many()

    with pytest.raises(ConfigError, match="sessions must be"):
        await take(source.stream([] if sessions is None else sessions), [])  # type: ignore[arg-type]
        if sessions is None:
            raise ConfigError("sessions must be there; none at all is an empty stream")
    assert source.requests == []


async def test_an_id_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="session_id"):
        await take(many().stream(["s1", ".."]), [])


async def test_the_source_is_read_only_as_sessions_are_needed() -> None:
    source, read = many(), 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "s5"

    async with source.stream(endless(), concurrency=3, buffer=4) as pages:
        for taken in range(1, 40):
            await anext(pages)
            await settle(50)
            assert read <= taken + 3 + 4 + 1


@pytest.mark.parametrize(("concurrency", "buffer"), [(1, 1), (3, 1), (4, 9), (64, 128)])
async def test_a_slow_consumer_stops_the_fetching(concurrency: int, buffer: int) -> None:
    source = Source({f"s{n}": events(f"s{n}", range(50)) for n in range(200)}, limit=10)
    taken = 0

    async with source.stream(concurrency=concurrency, buffer=buffer) as pages:
        async for _ in pages:
            taken += 1
            await settle(500)
            assert source.fetched - taken <= buffer + concurrency
            if taken == 25:
                break
    assert source.fetched - taken == buffer + concurrency
    assert running_tasks() == []


@pytest.mark.parametrize("split", [None, 4])
async def test_a_consumer_that_does_not_come_at_all_stops_the_fetching(split: int | None) -> None:
    source = Source({f"s{n}": events(f"s{n}", [1] * (n % 30)) for n in range(500)}, limit=10)

    async with source.stream(concurrency=5, buffer=3, split=split, ordered=True):
        await settle(2_000)
        assert source.fetched <= 8
    assert running_tasks() == []


async def test_events_can_be_had_one_by_one() -> None:
    source = many()

    async with source.stream(concurrency=3) as pages:
        seen = [event async for event in pages.events()]

    assert sorted(ids(seen)) == sorted(ids(source.rows()))


async def test_events_and_pages_can_take_turns() -> None:
    source, seen = Source({"s": events("s", range(30))}, limit=10), list[Event]()

    async with source.stream("s") as pages:
        async with aclosing(pages.events()) as rows:
            async for event in rows:
                seen.append(event)
                if len(seen) == 4:
                    break
        seen += (await anext(pages)).data
        assert len(seen) == 10
        seen += [event async for event in pages.events()]

    assert seen == source.rows()


async def test_the_first_error_arrives_as_itself_behind_what_was_ready() -> None:
    source = Source({"s": events("s", range(40))}, limit=10, fail=down("s", "20"))  # type: ignore[arg-type]
    seen: list[Event] = []

    async with source.stream("s") as pages:
        await settle()
        with pytest.raises(ServerError, match="s is down") as caught:
            async for page in pages:
                seen += page.data
        with pytest.raises(ServerError, match="s is down"):  # and it does not pretend to be over afterwards
            await anext(pages)

    position = caught.value.position
    assert position is not None
    assert (position.session_id, position.region, position.cursor) == ("s", "us", "20")
    assert len(seen) == 20
    assert [walk for work in pages.position.unfinished for walk in work.walks] == [position]


async def test_the_first_error_stops_the_others() -> None:
    source = many(1_000, fail=down("s20"))

    with pytest.raises(ServerError):
        await take(source.stream(concurrency=4), [])
    asked = len(source.requests)
    await settle()

    assert len(source.requests) == asked < 200
    assert running_tasks() == []


async def test_errors_can_be_collected() -> None:
    def fail(session_id: str, cursor: str | None) -> None:
        if session_id in {"s4", "s16"} and cursor == "10":
            raise ServerError("down", status=503)

    source, seen = many(fail=fail), list[Event]()
    stream = source.stream([*many().sessions, "missing", ".."], concurrency=3, on_error="collect")

    await take(stream, seen)

    failures = stream.failures
    assert {name: type(error) for name, error in failures.items()} == {
        "s4": ServerError,
        "s16": ServerError,
        "missing": NotFoundError,
        "..": ConfigError,
    }
    position = failures["s4"].position
    assert position is not None
    assert (position.session_id, position.cursor) == ("s4", "10")
    lost = [row for name in ("s4", "s16") for row in source.sessions[name][10:]]
    assert sorted(ids(seen)) == sorted(set(ids(source.rows())) - set(ids(lost)))

    healthy = many()
    await take(healthy.stream([*many().sessions, "missing", ".."], resume=stream.position, on_error="collect"), seen)
    assert sorted(ids(seen)) == sorted(ids(source.rows()))


async def test_a_refused_key_is_not_tried_for_every_session() -> None:
    def fail(session_id: str, cursor: str | None) -> None:
        raise AuthenticationError("no", status=401)

    source = many(500, fail=fail)
    stream = source.stream(concurrency=4, on_error="collect")

    await take(stream, [])

    assert 1 <= len(source.requests) <= 4  # not more than there are readers
    assert len(stream.failures) == 500
    assert len(stream.position.unfinished) == 500


class OursError(Exception):
    """An error of the program that uses the stream."""


@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_an_error_of_the_source_arrives_as_itself(on_error: str) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "s3"
        raise OursError

    seen: list[Event] = []
    with pytest.raises(OursError):
        await take(many().stream(broken(), on_error=on_error), seen)
    assert running_tasks() == []


@pytest.mark.parametrize("error", [OursError(), KeyboardInterrupt(), StopAsyncIteration(), SystemExit()])
async def test_an_exception_of_the_consumer_arrives_as_itself(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        async with many().stream(concurrency=3) as pages:
            async for _ in pages:
                raise error
    assert caught.value is error
    assert running_tasks() == []


async def test_a_cancelled_consumer_leaves_nothing_running_and_loses_nothing() -> None:
    source, seen = many(), list[Event]()
    stream = source.stream(concurrency=3, buffer=2)

    with anyio.CancelScope() as scope:
        async with stream as pages:
            async for page in pages:
                seen += page.data
                if len(seen) > 40:
                    scope.cancel()

    assert scope.cancelled_caught
    assert running_tasks() == []
    await take(source.stream(resume=stream.position), seen)
    assert sorted(ids(seen)) == sorted(ids(source.rows()))


async def test_a_task_that_is_cancelled_twice_still_leaves_nothing_running() -> None:
    closed = False

    async def slow_to_close() -> AsyncIterator[str]:
        nonlocal closed
        try:
            yield "s1"
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await settle(20)
            closed = True

    task = asyncio.create_task(take(many().stream(slow_to_close()), []))
    await settle(50)
    task.cancel()
    await settle(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert closed
    assert running_tasks() == []


async def test_a_page_that_nobody_came_for_in_time_is_the_next_one() -> None:
    source, seen = many(), list[Event]()

    async with source.stream(concurrency=3) as pages:
        while True:
            task = asyncio.ensure_future(anext(pages, None))
            await settle(source.random.randint(0, 3))
            task.cancel()
            try:
                page = await task
            except asyncio.CancelledError:
                continue
            if page is None:
                break
            seen += page.data

    assert sorted(ids(seen)) == sorted(ids(source.rows()))


async def test_each_step_may_run_in_another_task() -> None:
    source, seen = many(), list[Event]()

    async def body() -> AsyncIterator[tuple[Event, ...]]:
        async with source.stream(concurrency=3) as pages:
            async for page in pages:
                yield page.data

    steps = body()
    while True:
        rows = await asyncio.create_task(anext(steps, None))
        if rows is None:
            break
        seen += rows

    assert sorted(ids(seen)) == sorted(ids(source.rows()))
    assert running_tasks() == []


async def test_an_abandoned_generator_cleans_up_behind_itself() -> None:
    source = many()

    async def body() -> AsyncIterator[tuple[Event, ...]]:
        async with source.stream(concurrency=3) as pages:
            async for page in pages:
                yield page.data

    steps = body()
    await anext(steps)
    del steps  # the event loop closes it, in a task of its own
    await settle()

    assert running_tasks() == []


async def test_a_stream_works_within_a_task_group_and_passes_a_deadline() -> None:
    source, seen = many(), list[list[Event]]()

    async def consume() -> None:
        rows: list[Event] = []
        seen.append(rows)
        await take(source.stream(concurrency=3), rows)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(consume)
    assert [sorted(ids(rows)) for rows in seen] == [sorted(ids(source.rows()))] * 3

    with anyio.move_on_after(0):
        await take(source.stream(), [])
    assert running_tasks() == []


async def test_a_stream_is_used_in_its_block_and_opened_once() -> None:
    stream = many().stream()

    with pytest.raises(ConfigError, match="not open"):
        await anext(stream)
    await take(stream, [])
    with pytest.raises(ConfigError, match="closed"):
        await anext(stream)
    with pytest.raises(ConfigError, match="opened once"):
        await take(stream, [])
    assert repr(stream) == "<EventStream: closed, 30 sessions taken, 0 of them unfinished, 0 failed>"


async def test_two_tasks_that_take_from_one_stream_are_told_so() -> None:
    async with many().stream() as pages:
        first = asyncio.create_task(anext(pages))
        await asyncio.sleep(0)
        with pytest.raises(ConfigError, match="another task"):
            await anext(pages)
        await first


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"buffer": 0},
        {"buffer": 2.5},
        {"split": 0},
        {"split": "always"},
        {"split": True},
        {"ordered": 1},
        {"on_error": "ignore"},
        {"page_size": 0},
        {"start_time": 5, "end_time": 3},
    ],
)
def test_an_option_that_cannot_work_is_refused_at_the_call(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        many().stream(**options)


def test_the_room_for_pages_grows_with_what_has_to_be_held_back() -> None:
    assert room_of(StreamOptions()) == 32
    assert room_of(StreamOptions(buffer=1)) == 1
    assert room_of(StreamOptions(split=8, ordered=True)) == 80
    assert (
        room_of(StreamOptions(split=800, ordered=True)) == room_of(StreamOptions(split="auto", ordered=True)) == 160
    )


async def resume_all(source: Source, saved: str, sessions: list[str], seen: list[Event], **options: object) -> None:
    await take(source.stream(sessions, resume=StreamPosition.from_json(saved), **options), seen)


@settings(max_examples=scaled(75))
@given(
    seed=st.integers(0, 2**32),
    broken=st.sets(st.integers(1, 60), max_size=6),  # requests that fail
    stops=st.lists(st.integers(1, 30), max_size=4),  # events after which the consumer goes away
    sizes=st.lists(st.integers(0, 25), max_size=12),
    concurrency=st.integers(1, 5),
    buffer=st.integers(1, 6),
    split=st.sampled_from([None, 2, 3, "auto"]),
    ordered=st.booleans(),
)
async def test_delivered_and_resumed_is_everything_once(
    *,
    seed: int,
    broken: set[int],
    stops: list[int],
    sizes: list[int],
    concurrency: int,
    buffer: int,
    split: object,
    ordered: bool,
) -> None:
    random, calls = Random(seed), 0

    def fail(session_id: str, cursor: str | None) -> None:
        nonlocal calls
        calls += 1
        if calls in broken:
            raise ServerError("down", status=503)

    sessions = {f"s{n}": events(f"s{n}", sorted(random.choices(range(30), k=size))) for n, size in enumerate(sizes)}
    source = Source(sessions, limit=3, fail=fail, random=random)
    names = [*sessions, *sessions]  # an id may come twice
    options = {"concurrency": concurrency, "buffer": buffer, "split": split, "ordered": ordered}
    seen: list[Event] = []
    saved: StreamPosition | None = None

    while saved is None or saved.unfinished or saved.taken < len(names):
        stop = stops.pop() if stops else 10_000
        stream = source.stream(iter(names), resume=saved, **options)
        try:
            with anyio.CancelScope() as scope:
                async with stream as pages, aclosing(pages.events()) as rows:
                    async for event in rows:
                        seen.append(event)
                        stop -= 1
                        if stop == 0 and len(stops) % 2:
                            break
                        if stop <= 0:
                            scope.cancel()
        except IsNotAIError as error:
            assert error.position is not None
            walks = [walk for work in stream.position.unfinished for walk in work.walks]
            assert error.position.session_id in {walk.session_id for walk in walks}
        assert running_tasks() == []
        saved = StreamPosition.from_json(stream.position.to_json())

    assert sorted(ids(seen)) == sorted(ids(source.rows(*names)))


async def test_a_stream_can_be_left_again_and_again_within_one_page() -> None:
    source, seen, saved = Source({"s": events("s", range(25))}, limit=10), list[Event](), None

    while len(seen) < 25:
        stream = source.stream("s", resume=saved)
        async with stream as pages, aclosing(pages.events()) as rows:
            for _ in range(3):
                if (event := await anext(rows, None)) is not None:
                    seen.append(event)
        saved = stream.position

    assert seen == source.rows()


async def test_the_source_is_closed_with_the_stream() -> None:
    closed = False

    async def read() -> AsyncIterator[str]:
        nonlocal closed
        try:
            for name in many().sessions:
                yield name
        finally:
            closed = True

    sessions = read()
    async with many().stream(sessions, concurrency=1) as pages:
        await anext(pages)
    assert closed


async def test_a_position_is_as_small_as_what_is_under_way() -> None:
    source = Source({f"s{n}": events(f"s{n}", range(5)) for n in range(2_000)}, limit=10)

    async with source.stream(concurrency=4, buffer=4) as pages:
        async for _ in pages:
            assert len(pages.position.unfinished) <= 4 + 4 + 2


async def test_resuming_refuses_another_source_and_says_how() -> None:
    source = many()
    stream = source.stream(concurrency=1)
    async with stream as pages:
        await anext(pages)
        await settle()
    saved = stream.position
    names = list(source.sessions)

    with pytest.raises(ConfigError, match="has only 2 sessions; pass the same sessions"):
        await take(source.stream(names[:2], resume=saved), [])
    with pytest.raises(ConfigError, match="they are other sessions, or come in another order"):
        await take(source.stream(names[::-1], resume=saved), [])


async def test_a_position_is_whole_while_the_source_is_skipped() -> None:
    source, seen = many(), list[Event]()
    stream = source.stream(concurrency=2)
    async with stream as pages:
        for _ in range(5):
            seen += (await anext(pages)).data
    saved = stream.position

    async def slow() -> AsyncIterator[str]:
        for name in source.sessions:
            yield name
            await settle(5)

    again = source.stream(slow(), resume=saved)
    async with again:
        await settle(7)
    assert again.position == saved
    await take(source.stream(resume=again.position), seen)
    assert sorted(ids(seen)) == sorted(ids(source.rows()))


async def test_resuming_refuses_other_filters() -> None:
    stream = many().stream("s6", type=1, page_size=5)
    async with stream as pages:
        await anext(pages)

    many().stream("s6", type=1, page_size=5, resume=stream.position)
    for filters in ({}, {"type": 1}, {"type": 2, "page_size": 5}, {"type": 1, "page_size": 5, "start_time": 3}):
        with pytest.raises(ConfigError, match="filters"):
            many().stream("s6", resume=stream.position, **filters)


async def saved_text() -> str:
    stream = many().stream("s6", page_size=5, start_time=2)
    async with stream as pages:
        await anext(pages)
    return stream.position.to_json()


@pytest.mark.parametrize("resume", ["{}", {}, Position.start("list_events", "us", EventQuery(session_id="s1"))])
def test_resuming_refuses_what_is_no_position_of_a_stream(resume: Any) -> None:
    with pytest.raises(ConfigError, match=r"use StreamPosition\.from_json"):
        many().stream(["s1"], resume=resume)


async def test_a_position_comes_back_from_json() -> None:
    text = await saved_text()

    assert StreamPosition.from_json(text).to_json() == text
    assert StreamPosition.from_json(text.encode()).unfinished[0].walks[0].watermark == (6, "s6-6")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("taken", -1),
        ("taken", True),
        ("digest", "x" * 32),
        ("digest", None),
        ("filters", []),
        ("filters", {"page_size": None}),
        ("unfinished", {}),
        ("unfinished", [1]),
        ("unfinished", [{"name": "us"}]),
        ("unfinished", [{"name": "us", "walks": []}]),
        ("unfinished", [{"name": 1, "walks": [{}]}]),
        ("more", 1),
    ],
)
async def test_a_position_that_was_altered_is_refused(place: str, value: object) -> None:
    data = json.loads(await saved_text())
    with pytest.raises(ConfigError, match=place):
        StreamPosition.from_json(json.dumps({**data, place: value}))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"v": 1}', '{"v": 2, "kind": "stream"}', "[" * 100_000])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="position"):
        StreamPosition.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"region": "eu"},
        {"operation": "list_sessions"},
        {"session_id": None},
        {"session_id": ".."},
        {"filters": {"page_size": 6, "start_time": 2}},
        {"filters": {"page_size": 5, "start_time": 1}},
        {"filters": {"page_size": 5}},
        {"filters": {"page_size": 5, "start_time": 2, "status": "closed"}},
        {"filters": {"page_size": 5, "start_time": "2"}},
    ],
)
async def test_a_position_with_a_walk_of_something_else_is_refused(change: dict[str, object]) -> None:
    data = json.loads(await saved_text())
    data["unfinished"][0]["walks"][0].update(change)

    with pytest.raises(ConfigError):
        many().stream("s6", page_size=5, start_time=2, resume=StreamPosition.from_json(json.dumps(data)))


def test_a_session_without_a_walk_is_refused() -> None:
    position = evolve(many().stream("s6").position, unfinished=(UnfinishedSession("us", ()),))

    with pytest.raises(ConfigError, match="without a walk"):
        many().stream("s6", resume=position)


async def test_a_position_does_not_mix_sessions() -> None:
    data = json.loads(await saved_text())
    walk = data["unfinished"][0]["walks"][0]
    data["unfinished"][0]["walks"].append({**walk, "session_id": "s5"})

    with pytest.raises(ConfigError, match="mixes"):
        StreamPosition.from_json(json.dumps(data))


async def test_readers_start_one_in_each_round_of_the_loop() -> None:
    """Each may have to open a connection, and all at once they would hold the loop."""
    started, rounds = list[int](), [0]

    def count() -> None:
        rounds[0] += 1
        asyncio.get_running_loop().call_soon(count)

    def note(_: str, cursor: str | None) -> None:
        if cursor is None:
            started.append(rounds[0])

    asyncio.get_running_loop().call_soon(count)
    await take(many(20, fail=note, pauses=1).stream(concurrency=20), [])

    assert len(started) == len(set(started)) == 20, started


async def test_a_reader_that_waits_keeps_no_page_alive() -> None:
    """With many readers that would be thousands of records, which the garbage collector goes through each time."""
    source = many(8, 5, pauses=1_000)  # a long way off, so that readers do wait
    seen = list[ReferenceType[Page[Event]]]()
    async with source.stream(concurrency=4, buffer=1) as pages:
        async for page in pages:
            seen.append(ref(page))
            del page
            await settle(20)
            assert sum(one() is not None for one in seen[:-1]) == 0
    assert len(seen) > 8
