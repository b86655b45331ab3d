"""Running a job over a queue that forgets, repeats and fails: made of a list, with no Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from attrs import define, field

from isnotai_async._client import Client
from isnotai_async.errors import AuthenticationError, CheckpointError, ExportError, IsNotAIError, ServerError
from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import JobProgress, Partition, Plan, export_partition, run_job
from isnotai_async.workers.reports import Trouble
from tests.workers.crew import count_rows, open_client, partitions_of, plan_job

SIZES = [3, 1, 120, 250, 7, 2, 30]
IDS = [f"big-{size}" for size in SIZES]


@define(eq=False)
class ListQueue:
    """A queue whose worker does as the test says.

    Attributes:
        work: What it does with a partition.
        forgets: How many tasks it loses, from the first.
    """

    work: Callable[[Partition], Awaitable[object]]
    forgets: int = 0
    put_: list[str] = field(factory=list)
    waiting: list[Partition] = field(factory=list)
    most: int = 0

    async def put(self, partition: Partition) -> None:
        self.put_.append(partition.name)
        if self.forgets:
            self.forgets -= 1
            return
        self.waiting.append(partition)
        self.most = max(self.most, len(self.waiting))

    async def is_empty(self) -> bool:
        if self.waiting:
            await self.work(self.waiting.pop(0))
        return not self.waiting


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Sandbox(rate_limit=None) as sandbox, open_client(sandbox) as client:
        yield client


@pytest.fixture
async def plan(client: Client, tmp_path: Path) -> Plan:
    return await plan_job(client, IDS, tmp_path / "job", size=2)


@pytest.fixture
def work(client: Client, plan: Plan) -> Callable[[Partition], Awaitable[object]]:
    return lambda partition: export_partition(client, partition, plan.folder.path)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isnotai_async.workers.driving._TICK", 0.001)


async def test_every_part_is_exported_and_counted(plan: Plan, work: Callable[[Partition], Awaitable[object]]) -> None:
    told: list[JobProgress] = []

    progress = await run_job(plan, ListQueue(work), on_progress=told.append)

    count_rows(plan.folder.path, SIZES)
    assert (progress.parts, progress.parts_done, progress.troubles) == (4, 4, 0)
    assert (progress.sessions_done, progress.rows) == (len(SIZES), sum(SIZES))
    assert [news.parts_done for news in told] == [1, 2, 3, 4]
    assert told[-1].rows == progress.rows


async def test_no_more_is_queued_than_may_be(plan: Plan, work: Callable[[Partition], Awaitable[object]]) -> None:
    queue = ListQueue(work)

    await run_job(plan, queue, ahead=2)

    assert queue.most == 2
    count_rows(plan.folder.path, SIZES)


async def test_what_the_queue_has_lost_is_queued_again(
    plan: Plan, work: Callable[[Partition], Awaitable[object]]
) -> None:
    """Row 52: a Redis that was started again, empty."""
    queue = ListQueue(work, forgets=3)

    await run_job(plan, queue)

    assert len(queue.put_) == 4 + 3
    count_rows(plan.folder.path, SIZES)


async def test_what_was_finished_before_is_not_queued(
    plan: Plan, work: Callable[[Partition], Awaitable[object]]
) -> None:
    first, *others = await partitions_of(plan)
    await work(first)
    queue = ListQueue(work)

    progress = await run_job(plan, queue)

    assert queue.put_ == [partition.name for partition in others]
    assert progress.parts_done == 4
    assert (await run_job(plan, ListQueue(work))).rows == sum(SIZES)


def failing(plan: Plan, work: Callable[[Partition], Awaitable[object]], error: IsNotAIError, times: int) -> ListQueue:
    """A queue whose worker fails so many times."""
    left = times

    async def fail(partition: Partition) -> None:
        nonlocal left
        if left:
            left -= 1
            plan.folder.write_trouble(Trouble.of(partition.name, error))
        else:
            await work(partition)

    return ListQueue(fail)


async def test_what_another_attempt_mends_is_tried_again(
    plan: Plan, work: Callable[[Partition], Awaitable[object]]
) -> None:
    progress = await run_job(plan, failing(plan, work, ServerError("down", status=503), times=3))

    assert progress.troubles == 3
    count_rows(plan.folder.path, SIZES)


async def test_a_part_that_goes_on_failing_ends_the_job(
    plan: Plan, work: Callable[[Partition], Awaitable[object]]
) -> None:
    queue = failing(plan, work, ServerError("down", status=503), times=10**6)

    with pytest.raises(ExportError, match=r"part-00000\d-\w+ has failed 3 times: 503 .*down\. Run the same again"):
        await run_job(plan, queue, attempts=3)


async def test_a_refused_key_ends_the_job_at_once(plan: Plan, work: Callable[[Partition], Awaitable[object]]) -> None:
    queue = failing(plan, work, AuthenticationError("no such key", status=401), times=1)

    with pytest.raises(AuthenticationError, match=r"has failed: 401 .*no such key"):
        await run_job(plan, queue)


async def test_troubles_of_an_earlier_run_do_not_count(
    plan: Plan, work: Callable[[Partition], Awaitable[object]]
) -> None:
    for partition in await partitions_of(plan):
        plan.folder.write_trouble(Trouble.of(partition.name, AuthenticationError("no such key", status=401)))

    assert (await run_job(plan, ListQueue(work))).troubles == 0


async def test_a_finished_part_that_is_gone_ends_the_job(
    plan: Plan, work: Callable[[Partition], Awaitable[object]]
) -> None:
    first, *_ = await partitions_of(plan)
    await work(first)
    plan.folder.part(first).unlink()

    with pytest.raises(CheckpointError, match="is gone"):
        await run_job(plan, ListQueue(work))


async def test_it_can_be_left_and_called_again(plan: Plan, work: Callable[[Partition], Awaitable[object]]) -> None:
    with anyio.CancelScope() as scope:
        await run_job(plan, ListQueue(work), on_progress=lambda _: scope.cancel())
    queue = ListQueue(work)

    await run_job(plan, queue)

    assert len(queue.put_) == 3
    count_rows(plan.folder.path, SIZES)


async def test_a_job_without_sessions_is_done(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, [], tmp_path / "empty")

    assert (await run_job(plan, ListQueue(_never))).parts == 0


async def _never(partition: Partition) -> None:
    raise AssertionError(partition)


class StuckQueue(ListQueue):
    """Has a task that nobody can do, so it is never empty."""

    async def is_empty(self) -> bool:
        await super().is_empty()
        return False


async def test_what_was_lost_is_queued_again_beside_a_task_that_nobody_can_do(
    plan: Plan, work: Callable[[Partition], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isnotai_async.workers.driving._SILENCE", 0.05)
    queue = StuckQueue(work, forgets=3)

    with anyio.fail_after(10):
        await run_job(plan, queue)

    assert len(queue.put_) >= 4 + 3
    count_rows(plan.folder.path, SIZES)
