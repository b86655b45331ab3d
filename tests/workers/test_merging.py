"""The end of a job: all parts are there and whole, or it is told what is missing."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow.dataset as ds  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from isnotai_async._client import Client
from isnotai_async.errors import CheckpointError, ConfigError, ExportError, SinkError
from isnotai_async.export import export_events
from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import Plan, export_partition, merge_partitions
from tests.workers.crew import open_client, partitions_of, plan_job

SIZES = [3, 0, 120, 250, 7]
IDS = [f"big-{size}" for size in SIZES]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Sandbox(rate_limit=None) as sandbox, open_client(sandbox) as client:
        yield client


async def export_job(client: Client, folder: Path, format: str = "jsonl") -> Plan:
    """Export a job of three parts."""
    plan = await plan_job(client, IDS, folder, format=format, size=2)
    for partition in await partitions_of(plan):
        await export_partition(client, partition, folder, concurrency=1)
    return plan


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz", "csv"])
async def test_the_merged_file_is_that_of_one_export(client: Client, tmp_path: Path, format: str) -> None:
    await export_job(client, tmp_path / "job", format)
    await export_events(client, IDS, tmp_path / f"one.{format}", concurrency=1)

    report = await merge_partitions(tmp_path / "job", tmp_path / f"all.{format}")

    merged = (tmp_path / f"all.{format}").read_bytes()
    assert merged == (tmp_path / f"one.{format}").read_bytes()
    assert (report.rows, report.sessions, report.parts, report.size) == (sum(SIZES), len(SIZES), 3, len(merged))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"all.{format}", "job", f"one.{format}"]


async def test_merged_parquet_has_the_rows_of_one_export(client: Client, tmp_path: Path) -> None:
    await export_job(client, tmp_path / "job", "parquet")
    await export_events(client, IDS, tmp_path / "one.parquet", concurrency=1)

    await merge_partitions(tmp_path / "job", tmp_path / "all.parquet")

    merged, one = pq.read_table(tmp_path / "all.parquet"), pq.read_table(tmp_path / "one.parquet")
    assert merged.equals(one)
    assert merged.schema.equals(one.schema, check_metadata=True)


async def test_a_folder_of_parquet_is_one_data_set(client: Client, tmp_path: Path) -> None:
    await export_job(client, tmp_path / "job", "parquet")

    await merge_partitions(tmp_path / "job")

    assert ds.dataset(tmp_path / "job", format="parquet").count_rows() == sum(SIZES)


async def test_the_manifest_says_what_is_in_which_part(client: Client, tmp_path: Path) -> None:
    plan = await export_job(client, tmp_path / "job", "csv")

    report = await merge_partitions(tmp_path / "job")

    manifest = json.loads((tmp_path / "job" / "_manifest.json").read_text())
    assert (manifest["rows"], manifest["sessions"], manifest["format"]) == (sum(SIZES), len(SIZES), "csv")
    assert [part["file"] for part in manifest["parts"]] == [part.file_name for part in await partitions_of(plan)]
    assert [part["rows"] for part in manifest["parts"]] == [3, 370, 7]
    assert sum(part["size"] for part in manifest["parts"]) == manifest["size"] == report.size
    with (tmp_path / "job" / manifest["parts"][1]["file"]).open(newline="") as file:
        assert len(list(csv.reader(file))) == 371


async def test_gzip_parts_read_as_one_stream(client: Client, tmp_path: Path) -> None:
    await export_job(client, tmp_path / "job", "jsonl.gz")
    await merge_partitions(tmp_path / "job", tmp_path / "all.jsonl.gz")

    assert len(gzip.decompress((tmp_path / "all.jsonl.gz").read_bytes()).splitlines()) == sum(SIZES)


async def test_missing_parts_are_counted(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, IDS, tmp_path / "job", size=2)
    first, *others = await partitions_of(plan)
    await export_partition(client, first, tmp_path / "job")

    with pytest.raises(ExportError, match=rf"2 of 3 parts are missing in .*, the first of them {others[0].name}"):
        await merge_partitions(tmp_path / "job", tmp_path / "all.jsonl")
    assert not (tmp_path / "all.jsonl").exists()
    assert not (tmp_path / "job" / "_manifest.json").exists()


@pytest.mark.parametrize("to", [None, "all.jsonl"])
async def test_a_part_that_was_altered_is_found(client: Client, tmp_path: Path, to: str | None) -> None:
    """Row 64: one flipped bit in a finished part."""
    plan = await export_job(client, tmp_path / "job")
    part = plan.folder.part((await partitions_of(plan))[1])
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)

    with pytest.raises(CheckpointError, match=f"{part.name} is not what was written"):
        await merge_partitions(tmp_path / "job", None if to is None else tmp_path / to)
    assert to is None or not (tmp_path / to).exists()


async def test_a_part_that_was_cut_is_found_at_once(client: Client, tmp_path: Path) -> None:
    plan = await export_job(client, tmp_path / "job")
    part = plan.folder.part((await partitions_of(plan))[1])
    part.write_bytes(part.read_bytes()[:-1])

    with pytest.raises(CheckpointError, match="bytes, and had"):
        await merge_partitions(tmp_path / "job", verify=False)


async def test_a_file_that_is_there_is_replaced_only_by_force(client: Client, tmp_path: Path) -> None:
    await export_job(client, tmp_path / "job")
    target = tmp_path / "all.jsonl"
    target.write_text("mine")

    with pytest.raises(SinkError, match="exists"):
        await merge_partitions(tmp_path / "job", target)
    assert target.read_text() == "mine"

    await merge_partitions(tmp_path / "job", target, force=True)
    assert len(target.read_bytes().splitlines()) == sum(SIZES)


async def test_the_file_has_to_be_of_the_parts_format(client: Client, tmp_path: Path) -> None:
    await export_job(client, tmp_path / "job")

    with pytest.raises(ConfigError, match="the parts are jsonl"):
        await merge_partitions(tmp_path / "job", tmp_path / "all.csv")
    with pytest.raises(ConfigError, match="there is no plan in"):
        await merge_partitions(tmp_path / "elsewhere")


async def test_parts_of_another_plan_are_refused(client: Client, tmp_path: Path) -> None:
    """Whoever reads the folder as one would have their rows, too."""
    await export_job(client, tmp_path / "job")
    (tmp_path / "job" / "part-000009-0123456789abcdef.jsonl").write_text("{}")

    with pytest.raises(CheckpointError, match="has 1 parts that are not of its plan, the first of them part-000009-"):
        await merge_partitions(tmp_path / "job")


@pytest.mark.parametrize("format", ["jsonl", "csv"])
async def test_a_job_without_sessions_becomes_the_file_of_one_export(
    client: Client, tmp_path: Path, format: str
) -> None:
    await plan_job(client, [], tmp_path / "job", format=format)
    await export_events(client, [], tmp_path / f"one.{format}")

    await merge_partitions(tmp_path / "job", tmp_path / f"all.{format}")

    assert (tmp_path / f"all.{format}").read_bytes() == (tmp_path / f"one.{format}").read_bytes()
