"""One partition into one part: once, whoever does it, and however often."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import CancelScope

from isnotai_async._client import Client
from isnotai_async._http.retry_policy import Retry
from isnotai_async._manager import SessionManager
from isnotai_async._ratelimit.redis.limiter import RedisLimiter
from isnotai_async.errors import CheckpointError, ConfigError, LimiterError, NotFoundError, SinkError
from isnotai_async.export.files import Files
from isnotai_async.export.lock import TargetLock
from isnotai_async.sandbox import Fault, Sandbox
from isnotai_async.workers import Outcome, Plan, export_partition
from isnotai_async.workers.folder import JobFolder
from tests.canary import CANARY_KEY
from tests.workers.crew import ROOT, count_rows, open_client, partitions_of, plan_job, read_rows

SIZES = [0, 1, 250, 1_000]
IDS = [f"big-{size}" for size in SIZES]
PROGRAM = [sys.executable, "-m", "tests.workers.exporter"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(rate_limit=None, compress=False) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with open_client(sandbox) as client:
        yield client


@pytest.fixture
async def plan(client: Client, tmp_path: Path) -> Plan:
    return await plan_job(client, IDS, tmp_path / "job")


def left_in(folder: Path) -> list[str]:
    """Name what lies beside finished parts and their reports."""
    return sorted(path.name for path in (folder / ".job" / "unfinished").iterdir())


async def test_a_part_has_its_rows_and_a_report(client: Client, plan: Plan) -> None:
    [partition] = await partitions_of(plan)

    result = await export_partition(client, partition, plan.folder.path)

    assert result.outcome is Outcome.DONE
    count_rows(plan.folder.path, SIZES)
    report = plan.folder.read_report(partition)
    assert report is not None
    assert report == result.report
    assert (report.rows, report.sessions, report.failures) == (sum(SIZES), len(SIZES), ())
    assert report.size == plan.folder.part(partition).stat().st_size
    assert left_in(plan.folder.path) == []


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz", "csv", "parquet"])
async def test_every_format_leaves_nothing_but_the_part(client: Client, tmp_path: Path, format: str) -> None:
    plan = await plan_job(client, IDS, tmp_path / "job", format=format)
    [partition] = await partitions_of(plan)

    result = await export_partition(client, partition, tmp_path / "job")

    assert result.report is not None
    assert result.report.rows == sum(SIZES)
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == [".job", f"{partition.name}.{format}"]
    assert left_in(tmp_path / "job") == []


async def test_a_task_that_comes_again_asks_nothing_and_writes_nothing(
    sandbox: Sandbox, client: Client, plan: Plan
) -> None:
    [partition] = await partitions_of(plan)
    first = await export_partition(client, partition, plan.folder.path)
    asked, written = sandbox.stats.requests, plan.folder.part(partition).stat()

    second = await export_partition(client, partition, plan.folder.path)

    assert (second.outcome, second.report) == (Outcome.FOUND, first.report)
    assert sandbox.stats.requests == asked
    assert plan.folder.part(partition).stat() == written


async def test_of_two_at_one_part_one_leaves_it_to_the_other(client: Client, plan: Plan) -> None:
    [partition] = await partitions_of(plan)
    outcomes: list[Outcome] = []

    async def export() -> None:
        outcomes.append((await export_partition(client, partition, plan.folder.path)).outcome)

    async with anyio.create_task_group() as group:
        group.start_soon(export)
        group.start_soon(export)

    assert sorted(outcomes) == [Outcome.BUSY, Outcome.DONE]
    count_rows(plan.folder.path, SIZES)


async def test_two_processes_at_one_part_make_it_once(sandbox: Sandbox, plan: Plan) -> None:
    arguments = [str(plan.folder.path), sandbox.base_url, sandbox.api_key]
    command = [*PROGRAM, *arguments]
    processes = [
        await anyio.open_process(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = []
    for process in processes:
        async with process:
            assert process.stdout is not None
            said.append(b"".join([chunk async for chunk in process.stdout]).decode())

    assert "done" in "".join(said), said
    assert all(text.strip() in {"done", "busy", "found"} for text in said), said
    count_rows(plan.folder.path, SIZES)


async def test_a_killed_process_is_gone_on_from(tmp_path: Path) -> None:
    """Row 60: ``kill -9`` in the middle of a part, and another worker."""
    async with Sandbox(rate_limit=None, compress=False, latency=0.01) as sandbox, open_client(sandbox) as client:
        await kill_and_go_on(sandbox, client, tmp_path)


async def kill_and_go_on(sandbox: Sandbox, client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, ["big-20000"], tmp_path / "job")
    [partition] = await partitions_of(plan)
    arguments = [str(plan.folder.path), sandbox.base_url, sandbox.api_key]
    journal = plan.folder.unfinished / f"{partition.file_name}.journal"
    async with await anyio.open_process([*PROGRAM, *arguments], cwd=ROOT) as process:
        while not journal.exists() or journal.read_bytes().count(b"\n") < 3:  # something was committed
            await anyio.sleep(0.005)
            assert process.returncode is None, "it was too quick to be killed"
        os.kill(process.pid, signal.SIGKILL)

    result = await export_partition(client, partition, plan.folder.path)

    assert result.outcome is Outcome.DONE
    count_rows(plan.folder.path, [20_000])
    assert sandbox.stats.requests < 400 + 200  # of 200 pages, those that were committed came once


async def test_a_cancelled_part_is_gone_on_from(sandbox: Sandbox, client: Client, tmp_path: Path) -> None:
    """Row 56: what was written is committed, and the next one goes on there."""
    plan = await plan_job(client, ["big-20000"], tmp_path / "job")
    [partition] = await partitions_of(plan)
    with CancelScope() as scope:
        await export_partition(
            client, partition, tmp_path / "job", on_progress=lambda p: scope.cancel() if p.rows > 10_000 else None
        )
    asked = sandbox.stats.requests

    result = await export_partition(client, partition, tmp_path / "job")

    assert result.outcome is Outcome.DONE
    assert 90 <= sandbox.stats.requests - asked <= 110
    count_rows(tmp_path / "job", [20_000])


async def test_a_part_is_gone_on_with_when_its_lock_is_free_again(client: Client, plan: Plan) -> None:
    """Row 65: a lock that is held, and one that was left behind."""
    [partition] = await partitions_of(plan)
    lock = TargetLock(plan.folder.unfinished / partition.name)
    lock.acquire()

    assert (await export_partition(client, partition, plan.folder.path)).outcome is Outcome.BUSY
    lock.release()
    (plan.folder.unfinished / f".{partition.name}.lock").touch()
    assert (await export_partition(client, partition, plan.folder.path)).outcome is Outcome.DONE


class CrashingFiles(Files):
    """A disk whose user dies before the operation of a given number that changes something."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in {"link", "replace", "unlink", "sync", "sync_folder", "write", "open"}:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt(name)
        return value


async def test_a_death_at_any_step_of_the_publishing_spoils_nothing(client: Client, tmp_path: Path) -> None:
    """Row 60: between the end of the export and the last name."""
    died = 0
    for at in range(30):
        plan = await plan_job(client, ["big-3"], tmp_path / f"job{at}")
        [partition] = await partitions_of(plan)
        exported = await export_partition(client, partition, plan.folder.path)
        report = exported.report
        assert report is not None
        # Back to the moment before the part gets its name.
        plan.folder.part(partition).rename(plan.folder.draft(partition))
        (tmp_path / f"job{at}" / ".job" / "reports" / f"{partition.name}.json").unlink()
        try:
            place = JobFolder(plan.folder.path, CrashingFiles(at))
            place.write_draft_report(report)
            place.publish(partition)
        except KeyboardInterrupt:
            died += 1
        else:
            break
        found = plan.folder.read_report(partition)
        assert found is None or found == report

        again = await export_partition(client, partition, plan.folder.path)

        assert again.outcome in {Outcome.DONE, Outcome.FOUND}
        count_rows(plan.folder.path, [3])
        assert plan.folder.read_report(partition) == again.report
        assert [name for name in left_in(plan.folder.path) if not name.endswith(".new")] in (
            [],
            [partition.file_name],
        )
    assert died > 5
    assert died < 29, "it never came to its end"


async def test_another_file_with_the_name_of_a_part_is_left_alone(client: Client, plan: Plan) -> None:
    [partition] = await partitions_of(plan)
    plan.folder.part(partition).write_text("mine")

    with pytest.raises(SinkError, match="is not the part that was exported"):
        await export_partition(client, partition, plan.folder.path)
    assert plan.folder.part(partition).read_text() == "mine"

    plan.folder.part(partition).unlink()
    plan.folder.draft(partition).unlink()
    with pytest.raises(SinkError, match="is not the part that was exported"):
        await export_partition(client, partition, plan.folder.path)


class LateFiles(Files):
    """A disk on which another makes the part in the last moment: one that was thought dead."""

    def link(self, source: Path, target: Path) -> None:
        target.write_text("theirs")
        super().link(source, target)


async def test_a_part_that_comes_to_be_in_the_last_moment_is_not_replaced(client: Client, plan: Plan) -> None:
    [partition] = await partitions_of(plan)
    result = await export_partition(client, partition, plan.folder.path)
    assert result.report is not None
    plan.folder.part(partition).rename(plan.folder.draft(partition))
    place = JobFolder(plan.folder.path, LateFiles())
    place.write_draft_report(result.report)

    with pytest.raises(SinkError, match="has come to exist meanwhile; it was left alone"):
        place.publish(partition)
    assert plan.folder.part(partition).read_text() == "theirs"


async def test_a_part_that_was_removed_is_told_and_not_made_again_in_silence(client: Client, plan: Plan) -> None:
    [partition] = await partitions_of(plan)
    await export_partition(client, partition, plan.folder.path)
    plan.folder.part(partition).unlink()

    with pytest.raises(CheckpointError, match="is gone; put it back, or remove"):
        await export_partition(client, partition, plan.folder.path)


async def test_sessions_that_are_not_there_are_in_the_report(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, ["nobody", "big-3"], tmp_path / "job")
    [partition] = await partitions_of(plan)

    result = await export_partition(client, partition, tmp_path / "job")

    assert result.report is not None
    assert [(failure.session_id, failure.error) for failure in result.report.failures] == [
        ("nobody", "NotFoundError")
    ]
    assert len(read_rows(tmp_path / "job")) == 3


async def test_with_on_error_raise_the_error_comes_out(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, ["nobody", "big-3"], tmp_path / "job", on_error="raise")
    [partition] = await partitions_of(plan)

    with pytest.raises(NotFoundError):
        await export_partition(client, partition, tmp_path / "job")


async def test_what_failed_for_now_leaves_the_part_unfinished(sandbox: Sandbox, tmp_path: Path) -> None:
    async with open_client(sandbox) as client:
        hasty = client.with_options(retry=Retry(attempts=1))
        plan = await plan_job(hasty, IDS, tmp_path / "job")
        [partition] = await partitions_of(plan)
        sandbox.inject(Fault.status(503))

        first = await export_partition(hasty, partition, tmp_path / "job")
        second = await export_partition(hasty, partition, tmp_path / "job")

    assert first.outcome is Outcome.UNFINISHED
    assert [failure.error for failure in first.failures] == ["ServerError"]
    assert second.outcome is Outcome.DONE
    count_rows(tmp_path / "job", SIZES)


async def test_a_folder_without_the_plan_is_refused(client: Client, plan: Plan, tmp_path: Path) -> None:
    """A task may name any folder: only one that somebody planned this very job for is written to."""
    [partition] = await partitions_of(plan)
    (tmp_path / "other").mkdir()
    other = await plan_job(client, ["big-1"], tmp_path / "another job")

    for folder in (tmp_path / "other", other.folder.path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=r"there is no plan [0-9a-f]{16} in"):
            await export_partition(client, partition, folder)
    assert not list((tmp_path / "other").iterdir())


async def test_a_worker_without_the_keys_of_all_names_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    async with SessionManager({"us": CANARY_KEY, "eu": f"{CANARY_KEY}e"}) as manager:
        plan = await plan_job(manager, {"us": ["big-1"], "eu": ["big-1"]}, tmp_path / "job")
    [partition] = await partitions_of(plan)

    async with open_client(sandbox) as client:
        with pytest.raises(ConfigError, match=r"sessions of \['eu'\], and this worker asks \['us'\]"):
            await export_partition(client, partition, tmp_path / "job")


async def test_no_key_lies_in_the_folder(sandbox: Sandbox, client: Client, plan: Plan) -> None:
    """Row 66e."""
    [partition] = await partitions_of(plan)
    await export_partition(client, partition, plan.folder.path)

    for path in plan.folder.path.rglob("*"):
        assert not path.is_file() or sandbox.api_key.encode() not in path.read_bytes()
    assert sandbox.api_key not in partition.to_json()


async def test_a_task_of_an_older_plan_of_the_same_job_is_refused(client: Client, plan: Plan) -> None:
    """The same listing may give other sessions another day, and has the same description."""
    [stale] = await partitions_of(plan)
    shutil.rmtree(plan.folder.path)
    again = await plan_job(client, IDS, plan.folder.path)
    assert again.job.id == plan.job.id

    with pytest.raises(ConfigError, match="or this is a task of an older plan"):
        await export_partition(client, stale, plan.folder.path)
    assert not list(plan.folder.path.glob("part-*"))


async def test_a_limit_that_could_not_be_told_loses_no_session(sandbox: Sandbox, tmp_path: Path) -> None:
    async with (
        RedisLimiter.from_url("redis://127.0.0.1:1") as limiter,
        Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as unlucky,
    ):
        plan = await plan_job(unlucky, IDS, tmp_path / "job", on_error="skip")
        [partition] = await partitions_of(plan)

        result = await export_partition(unlucky, partition, tmp_path / "job")
    assert result.outcome is Outcome.UNFINISHED
    assert {failure.error for failure in result.failures} == {LimiterError.__name__}
    assert plan.folder.read_report(partition) is None


async def test_a_report_that_cannot_be_read_is_told_with_its_path(plan: Plan) -> None:
    [partition] = await partitions_of(plan)
    report = plan.folder.path / ".job" / "reports" / f"{partition.name}.json"
    report.mkdir()
    with pytest.raises(SinkError, match=rf"cannot read .*{report.name}: Is a directory"):
        plan.folder.read_report(partition)

    shutil.rmtree(plan.folder.path / ".job" / "troubles")
    with pytest.raises(SinkError, match=r"cannot read .*troubles: No such file"):
        plan.folder.take_troubles()
