"""Spark and other engines read events in partitions of sessions, each row once; no option holds a key."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from isnotai_async import ConfigError, NotFoundError
from isnotai_async.integrations._spark_job import SparkJob
from isnotai_async.integrations.spark import IsNotAIDataSource, read_batches
from tests.export.sync_world import KEY, World
from tests.integrations.delta_processes import make_world

needs_spark = pytest.mark.skipif(
    find_spec("pyspark") is None or which("java") is None,
    reason="pyspark or Java is not installed: uv run --group engines pytest -n 0 tests/integrations/test_spark.py",
)


@pytest.fixture
def world() -> World:
    return make_world(sessions=7, rows=25)


@pytest.fixture
async def base_url(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    runner = await world.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("ISNOTAI_API_KEY", KEY)
    monkeypatch.setenv("ISNOTAI_BASE_URL", url)
    yield url
    await runner.cleanup()


def rows_of(batches: Iterator[Any]) -> list[Any]:
    rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    return sorted((*row[:5], round(row[5].timestamp() * 1000), row[6]) for row in rows)


@pytest.mark.usefixtures("base_url")
async def test_the_partitions_of_a_listing_have_each_row_once(world: World) -> None:
    job = SparkJob.from_options({"since": "2020-01-01", "quota": "1/2", "partition_sessions": "3"})
    job = pickle.loads(pickle.dumps(job))
    partitions = await asyncio.to_thread(job.partitions)
    assert [len(sessions) for sessions in partitions] == [3, 3, 1]
    found = list[Any]()
    for ids in partitions:
        found += await asyncio.to_thread(rows_of, job.request.read(ids))
    assert sorted(found) == sorted(world.exists.values())


@pytest.mark.usefixtures("base_url")
async def test_another_engine_reads_batches_with_filters(world: World) -> None:
    read = partial(read_batches, ["s00", "s01"], quota=0.5, rows=10, type=1)
    batches = await asyncio.to_thread(lambda: list(read()))
    assert max(batch.num_rows for batch in batches) <= 10
    expected = [row for row in world.exists.values() if row[1] in {"s00", "s01"} and row[3] == 1]
    assert rows_of(iter(batches)) == sorted(expected)


@pytest.mark.usefixtures("base_url")
async def test_a_session_that_cannot_be_read_is_the_error_of_its_task() -> None:
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(lambda: list(read_batches(["s00", "gone"], quota=0.5)))


@pytest.mark.usefixtures("base_url")
async def test_a_reading_that_is_left_in_the_middle_leaves_nothing_running() -> None:
    def read_one() -> Any:
        batches = read_batches(["s00", "s01", "s02"], quota=0.5, rows=1)
        first = next(batches)
        batches.close()  # type: ignore[attr-defined]
        return first

    assert (await asyncio.to_thread(read_one)).num_rows == 1


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"api_key": "x"}, "'api_key' holds a key"),
        ({"Token": "x"}, "'Token' holds a key"),
        ({"sessions": KEY, "quota": "1/2"}, "'sessions' holds a key"),
        ({KEY: "x", "quota": "1/2"}, "holds a key"),
        ({"sessions": "s1"}, "give either quota or redis"),
        ({"sessions": "s1", "quota": "1/2", "redis": "env"}, "give either quota or redis"),
        ({"sessions": "s1", "redis": "redis://:word@localhost"}, "has a password"),
        ({"sessions": "s1", "since": "2026-06-01", "quota": "1/2"}, "give either sessions, or the filters"),
        ({"sessions": "s1", "quota": "half"}, "write 1/8 or 0.125"),
        ({"sessions": "s1", "quota": "2"}, "quota"),
        ({"sessions": "[1", "quota": "1/2"}, "no JSON list"),
        ({"sessions": "s1,,s2", "quota": "1/2"}, "session_id"),
        ({"quota": "1/2", "start_time": "monday"}, "'monday' is no time"),
        ({"quota": "1/2", "start_time": "2026-06-01T00:00"}, "start_time"),
        ({"quota": "1/2", "bot_only": "1"}, "must be true or false"),
        ({"quota": "1/2", "partition_sessions": "0"}, "partition_sessions"),
        ({"quota": "1/2", "path": "x"}, "there is no option 'path'"),
    ],
)
def test_options_that_cannot_work_are_rejected_and_never_shown_if_they_hold_a_key(
    options: dict[str, str], part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SparkJob.from_options(options)
    assert part in str(caught.value)
    assert KEY not in str(caught.value)
    assert "word@" not in str(caught.value)


def test_without_pyspark_the_data_source_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isnotai_async.integrations.spark.DataSource", object)
    with pytest.raises(ConfigError, match="pip install 'pyspark"):
        IsNotAIDataSource({})


async def run_spark(base_url: str, flag: Path, options: dict[str, str], *, kills: bool = False) -> dict[str, Any]:
    """Run a job of Spark in a process."""
    case = {"key": KEY, "base_url": base_url, "options": options, "flag": str(flag), "kills": kills}
    pipe = asyncio.subprocess.PIPE
    program = [sys.executable, "-m", "tests.integrations.spark_program"]
    process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe, stderr=pipe)
    out, errors = await process.communicate(json.dumps(case).encode())
    assert process.returncode == 0, errors.decode()
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


@needs_spark
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kills", [False, True])
async def test_spark_has_each_row_once_also_if_a_worker_is_killed(
    world: World, base_url: str, tmp_path: Path, *, kills: bool
) -> None:
    flag = tmp_path / "killed"
    result = await run_spark(base_url, flag, {"quota": "1/2", "partition_sessions": "3"}, kills=kills)
    assert result.get("error") is None
    assert sorted(map(tuple, result["rows"])) == sorted(world.exists.values())
    assert result["partitions"] == 3
    assert flag.exists() is kills


@needs_spark
@pytest.mark.timeout(180)
async def test_spark_rejects_an_option_that_holds_a_key_before_it_asks(
    world: World, base_url: str, tmp_path: Path
) -> None:
    result = await run_spark(base_url, tmp_path / "flag", {"quota": "1/2", "apiKey": KEY})
    assert "'apikey' holds a key" in result["error"]
    assert KEY not in result["error"]
    assert not world.requests
