"""Engines read the finished table, each through what reads Delta for it: every row is there once.

DuckDB and Polars read the table. Spark needs jars for Delta that are in no Python package, so it reads the files that
the table's log names.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from deltalake import DeltaTable

from isnotai_async.integrations import _delta_plan
from isnotai_async.integrations.delta import export_to_delta
from tests.export.sync_world import World
from tests.integrations.delta_processes import make_world

needs_duckdb = pytest.mark.skipif(
    find_spec("duckdb_extension_delta") is None,
    reason="DuckDB's reader of Delta is not installed: uv run --group engines pytest -n 0 tests/integrations",
)
needs_spark = pytest.mark.skipif(
    find_spec("pyspark") is None or which("java") is None,
    reason="pyspark or Java is not installed: uv run --group engines pytest -n 0 tests/integrations",
)
COUNTS = "count(*), count(DISTINCT (region, session_id, event_id)), count(DISTINCT session_id), sum(payload_size)"
SPARK = """
import json, sys
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
spark = builder.config("spark.driver.memory", "512m").getOrCreate()
spark.read.parquet(*json.load(sys.stdin)).createOrReplaceTempView("t")
times = "min(unix_micros(timestamp)) DIV 1000, max(unix_micros(timestamp)) DIV 1000"
print(json.dumps(list(spark.sql(f"SELECT COUNTS, {times} FROM t").first())))
spark.stop()
"""


def expected(world: World) -> tuple[int, ...]:
    rows = list(world.exists.values())
    times = [row[5] for row in rows]
    return (len(rows), len(rows), len({row[1] for row in rows}), sum(row[6] for row in rows), min(times), max(times))


@pytest.fixture
async def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, str]:
    """A finished table of 600 rows, whose files were compacted in the middle, and have a checkpoint."""
    monkeypatch.setattr(_delta_plan, "PIECE_SESSIONS", 5)
    world, table = make_world(sessions=30), str(tmp_path / "table")

    def compact(kind: str) -> None:
        if world.requests["events"] == 40:
            DeltaTable(table).optimize.compact()
            DeltaTable(table).create_checkpoint()

    world.during = compact
    async with world.serve() as client:
        report = await export_to_delta(client, client.list_sessions(), table, job="june")
    assert report.rows == 600
    return world, table


@needs_duckdb
async def test_duckdb_reads_each_row_once(finished: tuple[World, str]) -> None:
    import duckdb

    world, table = finished
    folder = next(iter(files("duckdb_extension_delta").joinpath("extensions").iterdir()))
    with duckdb.connect() as db:
        db.execute(f"LOAD '{folder}/delta.duckdb_extension'")
        times = "min(epoch_ms(timestamp)), max(epoch_ms(timestamp))"
        found = db.execute(f"SELECT {COUNTS}, {times} FROM delta_scan('{table}')").fetchone()
    assert found == expected(world)


async def test_polars_reads_each_row_once(finished: tuple[World, str]) -> None:
    pl = pytest.importorskip("polars")
    world, table = finished
    frame = pl.read_delta(table)
    times = frame["timestamp"].dt.epoch("ms")
    unique = frame.select("region", "session_id", "event_id").n_unique()
    sessions, size = frame["session_id"].n_unique(), frame["payload_size"].sum()
    assert (frame.height, unique, sessions, size, times.min(), times.max()) == expected(world)


@needs_spark
@pytest.mark.timeout(180)
async def test_spark_reads_each_row_once(finished: tuple[World, str]) -> None:
    world, table = finished
    pipe = asyncio.subprocess.PIPE
    program = [sys.executable, "-c", SPARK.replace("COUNTS", COUNTS)]
    process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe, stderr=pipe)
    out, errors = await process.communicate(json.dumps(DeltaTable(table).file_uris()).encode())
    assert process.returncode == 0, errors.decode()
    found: list[Any] = json.loads(out.splitlines()[-1])
    assert tuple(found) == expected(world)
