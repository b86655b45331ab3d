"""Arrow batches of a stream: every event once, and a position that stands behind the batch that was given."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event
from isnotai_async.errors import ConfigError, ServerError
from tests.event_source import Source, events, ids, running_tasks
from tests.examples import scaled


def some(*sizes: int, limit: int = 10, **options: Any) -> Source:
    return Source({f"s{n}": events(f"s{n}", range(size)) for n, size in enumerate(sizes)}, limit=limit, **options)


def ids_in(batch: Any) -> list[str]:
    return batch.column("event_id").to_pylist()  # type: ignore[no-any-return]


@given(st.lists(st.integers(0, 35), max_size=6), st.integers(1, 40))
@settings(max_examples=scaled(40), deadline=None)
def test_batches_have_the_rows_asked_for_and_every_event_once(sizes: list[int], rows: int) -> None:
    async def run() -> None:
        source, seen = some(*sizes), list[Any]()
        async with source.stream(concurrency=3) as stream:
            async for batch in stream.batches(rows=rows):
                seen.append(batch)

        assert sorted(key for batch in seen for key in ids_in(batch)) == sorted(ids(source.rows()))
        assert all(batch.num_rows == rows for batch in seen[:-1])
        assert stream.position.unfinished == ()

    asyncio.run(run())


@given(st.integers(1, 23), st.integers(1, 6))
@settings(max_examples=scaled(40), deadline=None)
def test_a_stream_resumes_behind_any_batch(rows: int, batches: int) -> None:
    async def run() -> None:
        source, first, rest = some(25, 0, 31, 9), list[str](), list[str]()
        async with source.stream(concurrency=2) as stream:
            async for batch in stream.batches(rows=rows):
                first += ids_in(batch)
                batches_left = batches - len(first) // rows
                if batches_left <= 0:
                    break
            saved = stream.position
        async with source.stream(concurrency=2, resume=saved) as stream:
            async for batch in stream.batches(rows=100):
                rest += ids_in(batch)

        assert sorted(first + rest) == sorted(ids(source.rows()))

    asyncio.run(run())


async def test_an_error_comes_after_the_batch_of_the_events_before_it() -> None:
    def fail(session_id: str, cursor: str | None) -> None:
        if cursor == "20":
            raise ServerError("down", status=503)

    source, seen = some(30, fail=fail), list[str]()
    async with source.stream() as stream:
        with pytest.raises(ServerError):
            async for batch in stream.batches(rows=50):
                seen += ids_in(batch)

    assert seen == [f"s0-{n}" for n in range(20)]
    assert stream.position.unfinished[0].walks[0].cursor == "20"


async def test_what_was_read_ahead_of_a_cancelled_batch_is_not_lost() -> None:
    gate = asyncio.Event()

    class Gated(Source):
        async def fetch_page(self, query: EventQuery, cursor: str | None) -> Page[Event]:
            if cursor == "20":
                await gate.wait()
            return await super().fetch_page(query, cursor)

    async def take(stream: Any) -> list[str]:
        return [key async for batch in stream.batches(rows=25) for key in ids_in(batch)]

    source, seen = Gated({"s0": events("s0", range(40))}, limit=10), list[str]()
    async with source.stream(concurrency=1, buffer=1) as stream:
        task = asyncio.create_task(take(stream))
        while ("s0", "10") not in source.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.position.unfinished[0].walks[0].index == 0
        gate.set()
        async for page in stream:
            seen += ids(page.data)

    assert seen == ids(source.rows())
    assert running_tasks() == []


async def test_events_and_batches_take_turns_within_a_page() -> None:
    source, seen = some(30), list[Event]()
    async with source.stream() as stream:
        async for event in stream.events():
            seen.append(event)
            if len(seen) == 7:
                break
        batch = await anext(stream.batches(rows=15))
        rest = [event async for event in stream.events()]

    assert [*ids(seen), *ids_in(batch), *ids(rest)] == ids(source.rows())


async def test_failed_sessions_are_collected_between_batches() -> None:
    def fail(session_id: str, cursor: str | None) -> None:
        if session_id == "s1":
            raise ServerError("down", status=503)

    source = some(5, 5, 5, fail=fail)
    async with source.stream(on_error="collect") as stream:
        rows = [batch.num_rows async for batch in stream.batches()]

    assert rows == [10]
    assert list(stream.failures) == ["s1"]


@pytest.mark.parametrize("rows", [0, -1, 10_000_001, 1.5])
async def test_a_batch_of_an_impossible_size_is_rejected(rows: Any) -> None:
    async with some(3).stream() as stream:
        with pytest.raises(ConfigError, match="rows"):
            await anext(stream.batches(rows=rows))


async def test_batches_are_taken_within_the_block() -> None:
    with pytest.raises(ConfigError, match="not open"):
        await anext(some(3).stream().batches())
