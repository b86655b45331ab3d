"""Arrow tables: the columns and types of an export, without a record each, and taken as they are by data frames."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

import isnotai_async as isnotai
from isnotai_async._arrow import BatchBuilder, schema_of
from isnotai_async.sandbox import Fault


@pytest.fixture
async def client() -> AsyncIterator[isnotai.Client]:
    async with (
        isnotai.Sandbox(rate_limit=None) as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited()) as client,
    ):
        yield client


def types_of(schema: pa.Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema}


async def test_a_table_has_the_columns_types_and_rows_of_an_export(client: isnotai.Client, tmp_path: Path) -> None:
    ids = ["big-250", "big-3", "big-0"]
    await isnotai.export_events(client, ids, tmp_path / "events.parquet", concurrency=1)
    exported = parquet.read_table(tmp_path / "events.parquet")
    table = await client.stream_events(ids, concurrency=1).to_arrow()

    assert types_of(table.schema) == types_of(exported.schema)
    key = [("session_id", "ascending"), ("timestamp", "ascending"), ("event_id", "ascending")]
    assert table.sort_by(key).to_pylist() == exported.sort_by(key).to_pylist()


async def test_a_table_of_a_walk_has_its_events_in_order(client: isnotai.Client) -> None:
    events = [event async for event in client.list_events("big-250", type="keypress")]
    table = await client.list_events("big-250", type="keypress").to_arrow()

    assert table["event_id"].to_pylist() == [event.event_id for event in events]
    assert table["timestamp"].to_pylist() == [event.time for event in events]
    assert set(table["region"].to_pylist()) == {"us"}
    assert set(table["session_id"].to_pylist()) == {"big-250"}


async def test_tables_of_sessions_and_users_have_a_column_a_field(client: isnotai.Client) -> None:
    sessions = [session async for session in client.list_sessions()]
    table = await client.list_sessions().to_arrow()
    users = await client.list_users().to_arrow()

    assert table["id"].to_pylist() == [session.id for session in sessions]
    assert table["detection_flags"].to_pylist() == [list(session.detection_flags) for session in sessions]
    assert table["bot_score"].to_pylist() == [session.bot_score for session in sessions]
    for read, session in zip(table["created_at"].to_pylist(), sessions, strict=True):
        assert timedelta(0) <= session.created_at - read < timedelta(milliseconds=1)
    assert types_of(table.schema)["created_at"] == "timestamp[ms, tz=UTC]"
    assert types_of(users.schema) | {
        "region": "string",
        "session_count": "int32",
        "average_bot_score": "double",
        "last_seen": "timestamp[ms, tz=UTC]",
        "sparkline": "list<item: int32>",
    } == types_of(users.schema)
    assert users.num_rows > 5


async def test_a_table_of_a_list_a_stream_and_batches_has_all_rows(client: isnotai.Client) -> None:
    assert (await client.list_events("big-250").to_arrow()).num_rows == 250
    assert (await client.stream_events(["big-250", "big-9"]).to_arrow()).num_rows == 259
    async with client.stream_events("big-250", split=4) as stream:
        assert [batch.num_rows async for batch in stream.batches(rows=99)] == [99, 99, 52]
        assert stream.position.unfinished == ()


async def test_a_table_too_large_for_its_bound_is_an_error_that_says_how_to_raise_it(client: isnotai.Client) -> None:
    with pytest.raises(isnotai.ConfigError, match=r"more than 249 rows; pass max_rows= for a larger one"):
        await client.list_events("big-250").to_arrow(max_rows=249)
    with pytest.raises(isnotai.ConfigError, match=r"stream\.batches\(\), or export_events to Parquet"):
        await client.stream_events(["big-250", "big-9"]).to_arrow(max_rows=258)

    assert (await client.list_events("big-250").to_arrow(max_rows=250)).num_rows == 250
    assert (await client.list_events("big-250").to_arrow(max_rows=None)).num_rows == 250


async def test_an_empty_list_is_a_table_without_rows(client: isnotai.Client) -> None:
    table = await client.list_events("big-0").to_arrow()

    assert table.num_rows == 0
    assert types_of(table.schema)["timestamp"] == "timestamp[ms, tz=UTC]"
    assert (await client.stream_events([]).to_arrow()).schema == table.schema


async def test_a_stream_in_its_block_gives_a_table_of_the_rest(client: isnotai.Client) -> None:
    async with client.stream_events("big-250") as stream:
        first = await anext(stream)
        table = await stream.to_arrow()

    assert len(first.data) + table.num_rows == 250


async def test_courses_have_no_columns(client: isnotai.Client) -> None:
    with pytest.raises(isnotai.ConfigError, match="no public schema"):
        await client.list_courses().to_arrow()


async def test_without_pyarrow_the_extra_is_named(client: isnotai.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    schema_of.cache_clear()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(isnotai.ConfigError, match=r"pip install 'isnotai-async\[arrow\]'"):
        await client.list_events("big-3").to_arrow()


async def test_data_frames_take_a_table_as_it_is(client: isnotai.Client) -> None:
    import duckdb
    import polars as pl

    events = await client.list_events("big-250").to_arrow()
    first = events["timestamp"][0].as_py()

    frame = events.to_pandas()
    assert str(frame["timestamp"].dtype) == "datetime64[ms, UTC]"
    assert frame["timestamp"].iloc[0].to_pydatetime() == first
    assert pl.DataFrame(events)["timestamp"][0] == first
    query = "select event_type_name, count(*) from events group by all"
    counted = duckdb.connect().execute(query).fetchall()
    assert sum(count for _, count in counted) == 250
    assert sum(count for _, count in counted) == len(frame)


def test_times_of_64_bits_fit_into_a_table() -> None:
    builder = BatchBuilder(isnotai.Event)
    times = [-(2**63), -1, 0, 2**63 - 1]
    builder.add([isnotai.Event("e", 1, "key", at, 0) for at in times], region="us", session_id="s")

    assert builder.take()["timestamp"].cast(pa.int64()).to_pylist() == times
    assert builder.take().num_rows == 0


async def test_an_error_in_the_midst_makes_no_table_and_says_how_many_rows_are_dropped() -> None:
    async with (
        isnotai.Sandbox(rate_limit=None) as sandbox,
        isnotai.Client(
            sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited(), retry=isnotai.Retry(attempts=1)
        ) as client,
    ):
        walk = client.list_events("big-1000")
        pages = 0
        async for _ in walk.pages():
            pages += 1
            if pages == 3:
                sandbox.inject(Fault.status(503))
                break
        with pytest.raises(isnotai.ServerError) as nothing:  # no row was read by this call
            await walk.to_arrow()
        assert not hasattr(nothing.value, "__notes__")

        stream = client.stream_events(["big-250", "no-such-session"], concurrency=1)
        with pytest.raises(isnotai.NotFoundError) as half:
            await stream.to_arrow()
        assert half.value.__notes__[0].startswith("no table was made: the 250 rows before this error are dropped")

        assert (await client.list_events("big-1000").to_arrow()).num_rows == 1000
