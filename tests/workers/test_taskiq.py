"""Parts as tasks of taskiq: in memory, and through a real Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any

import anyio
import pytest
from taskiq import InMemoryBroker

from isnotai_async._client import Client
from isnotai_async._ratelimit.limiter import Unlimited
from isnotai_async.errors import AuthenticationError, ConfigError, ExportError
from isnotai_async.export.lock import TargetLock
from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import Plan, run_job
from isnotai_async.workers.shift import OpenSource, Shift, Source
from isnotai_async.workers.streams import PartBroker
from isnotai_async.workers.taskiq import TASK, TaskQueue, make_broker, open_queue, register_tasks, run_worker
from tests.canary import CANARY_KEY
from tests.redis_server import RedisServer, running_redis
from tests.workers.crew import count_rows, open_client, partitions_of, plan_job

SIZES = [3, 1, 120, 250, 7, 2, 30]
IDS = [f"big-{size}" for size in SIZES]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    server.ask("FLUSHALL")
    return server


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(rate_limit=None, compress=False) as sandbox:
        yield sandbox


@pytest.fixture
async def plan(sandbox: Sandbox, tmp_path: Path) -> Plan:
    async with open_client(sandbox) as client:
        return await plan_job(client, IDS, tmp_path / "job", size=2)


@pytest.fixture
def source(sandbox: Sandbox) -> OpenSource:
    @asynccontextmanager
    async def open_source() -> AsyncGenerator[Source, None]:
        async with open_client(sandbox) as client:
            yield client

    return open_source


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isnotai_async.workers.driving._TICK", 0.05)


@asynccontextmanager
async def working(redis: RedisServer, source: OpenSource, **options: Any) -> AsyncIterator[anyio.Event]:
    """Run a worker in this process; yields what ends it."""
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(run_worker, make_broker(redis.url, open_source=source, **options), stop)
        yield stop
        stop.set()


def delivered(redis: RedisServer) -> int:
    """How often the oldest task that is not acknowledged was handed out."""
    # As a script, because redis-py reads only the other form of the command.
    pending = redis.ask("EVAL", "return redis.call('XPENDING', KEYS[1], KEYS[1], '-', '+', 1)", 1, "isnotai")
    return int(pending[0][3]) if pending else 0


async def test_any_broker_of_taskiq_can_have_the_task(source: OpenSource, plan: Plan) -> None:
    broker = InMemoryBroker(await_inplace=True)
    register_tasks(broker, source)
    await broker.startup()

    progress = await run_job(plan, TaskQueue(broker, plan.folder.path))

    await broker.shutdown()
    assert progress.rows == sum(SIZES)
    count_rows(plan.folder.path, SIZES)


async def test_a_task_tells_what_became_of_it(source: OpenSource, plan: Plan) -> None:
    broker = InMemoryBroker(await_inplace=True)
    task = register_tasks(broker, source)
    await broker.startup()
    [first, *_] = await partitions_of(plan)

    results = [await (await task.kiq(first.to_json(), str(plan.folder.path))).get_result() for _ in range(2)]
    refused = await (await task.kiq("{}", str(plan.folder.path))).get_result()

    await broker.shutdown()
    assert [result.return_value["outcome"] for result in results] == ["done", "found"]
    assert refused.return_value["outcome"] == "refused"


async def test_a_job_goes_through_redis_and_leaves_nothing_there(
    redis: RedisServer, source: OpenSource, plan: Plan
) -> None:
    async with working(redis, source), open_queue(redis.url, plan.folder.path) as queue:
        progress = await run_job(plan, queue)
    assert progress.parts_done == plan.parts
    count_rows(plan.folder.path, SIZES)
    assert redis.ask("XLEN", "isnotai") == 0
    assert redis.ask("XPENDING", "isnotai", "isnotai")["pending"] == 0


async def test_a_worker_opens_one_client_for_all_its_tasks(redis: RedisServer, sandbox: Sandbox, plan: Plan) -> None:
    opened = 0

    @asynccontextmanager
    async def open_source() -> AsyncGenerator[Source, None]:
        nonlocal opened
        opened += 1
        async with open_client(sandbox) as client:
            yield client

    async with working(redis, open_source), open_queue(redis.url, plan.folder.path) as queue:
        await run_job(plan, queue)
    assert opened == 1


async def test_a_worker_finds_folders_under_its_own_root(
    redis: RedisServer, source: OpenSource, plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "job").symlink_to(plan.folder.path)
    elsewhere = Path("/nowhere/job")

    async with working(redis, source, root=tmp_path / "mounted"), open_queue(redis.url, elsewhere) as queue:
        await run_job(plan, queue)
    count_rows(plan.folder.path, SIZES)


async def test_a_worker_that_is_asked_to_end_commits_and_leaves_its_part_to_another(
    redis: RedisServer, source: OpenSource, tmp_path: Path
) -> None:
    async with Sandbox(rate_limit=None, compress=False, latency=0.005) as slow, open_client(slow) as client:
        plan = await plan_job(client, ["big-20000"], tmp_path / "job")
        [partition] = await partitions_of(plan)
        draft = plan.folder.draft(partition).with_name(f"{partition.file_name}.part")

        @asynccontextmanager
        async def open_slow() -> AsyncGenerator[Source, None]:
            yield client

        async with open_queue(redis.url, plan.folder.path) as queue:
            await queue.put(partition)
            async with working(redis, open_slow, concurrency=1) as stop:
                while not draft.exists() or draft.stat().st_size < 200_000:
                    await anyio.sleep(0.01)
                stop.set()
            assert redis.ask("XLEN", "isnotai") == 1
            asked = slow.stats.requests
            assert asked < 200

            async with working(redis, open_slow, idle_timeout=0.05):
                await run_job(plan, queue)
        assert slow.stats.requests - asked <= 200 - asked + 5  # but for the last page, nothing is asked for twice
    count_rows(tmp_path / "job", [20_000])


async def test_a_part_that_is_worked_at_is_not_handed_out_again(
    redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """taskiq-redis #101: the worker lives, and works for many times the timeout."""
    async with Sandbox(rate_limit=None, compress=False, latency=0.02) as slow, open_client(slow) as client:
        plan = await plan_job(client, ["big-10000"], tmp_path / "job")

        @asynccontextmanager
        async def open_slow() -> AsyncGenerator[Source, None]:
            yield client

        with caplog.at_level(logging.INFO, "taskiq"):
            async with (
                working(redis, open_slow, concurrency=1, idle_timeout=0.6),
                working(redis, open_slow, concurrency=1, idle_timeout=0.6),
                open_queue(redis.url, plan.folder.path) as queue,
            ):
                progress = await run_job(plan, queue)
    assert progress.elapsed > 3 * 0.6
    assert len([record for record in caplog.records if record.message.startswith("Executing task")]) == 1


async def test_a_part_that_another_is_at_stays_in_the_queue(
    redis: RedisServer, source: OpenSource, plan: Plan
) -> None:
    """Who is at it may die; so the task comes again, and not at once."""
    [first, *_] = await partitions_of(plan)
    lock = TargetLock(plan.folder.unfinished / first.name)
    lock.acquire()
    async with working(redis, source, idle_timeout=0.2), open_queue(redis.url, plan.folder.path) as queue:
        await queue.put(first)
        while delivered(redis) < 3:  # it comes again and again
            await anyio.sleep(0.01)
        assert plan.folder.read_report(first) is None
        lock.release()
        await run_job(plan, queue)
    count_rows(plan.folder.path, SIZES)


async def test_a_worker_goes_on_after_redis_has_forgotten_everything(
    redis: RedisServer, source: OpenSource, plan: Plan
) -> None:
    """Row 52: the stream and its group are gone."""
    async with working(redis, source), open_queue(redis.url, plan.folder.path) as queue:
        redis.ask("FLUSHALL")
        await run_job(plan, queue)
    count_rows(plan.folder.path, SIZES)


async def test_what_was_queued_before_there_was_a_worker_is_done(
    redis: RedisServer, source: OpenSource, plan: Plan
) -> None:
    async with open_queue(redis.url, plan.folder.path) as queue:
        redis.ask("XGROUP", "DESTROY", "isnotai", "isnotai")
        for partition in await partitions_of(plan):
            await queue.put(partition)
        async with working(redis, source):
            while redis.ask("XLEN", "isnotai"):
                await anyio.sleep(0.01)
    count_rows(plan.folder.path, SIZES)


class SwallowingBroker(PartBroker):
    """Swallows a cancellation, as redis-py does now and then."""

    async def _take(self) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


async def test_a_worker_ends_where_its_cancellation_was_swallowed() -> None:
    listening = asyncio.ensure_future(anext(SwallowingBroker("redis://127.0.0.1:1").listen()))
    await asyncio.sleep(0)

    listening.cancel()

    with pytest.raises(asyncio.CancelledError), anyio.fail_after(5):
        await listening


async def test_what_cannot_be_a_task_is_dropped_and_logged(
    redis: RedisServer, source: OpenSource, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker(redis.url)
    task = broker.find_task(TASK)
    assert task is not None
    async with working(redis, source), open_queue(redis.url, plan.folder.path) as queue:
        await broker.startup()
        await task.kiq("{}", str(plan.folder.path))
        redis.ask("XADD", "isnotai", "*", "data", "{")
        redis.ask("XADD", "isnotai", "*", "other", "field")
        await broker.shutdown()
        await run_job(plan, queue)
        while redis.ask("XLEN", "isnotai"):
            await anyio.sleep(0.01)
    assert "a task that cannot be one was dropped: the partition is of another version" in caplog.text


async def test_a_worker_that_has_not_the_folder_leaves_the_task_to_others(
    redis: RedisServer, source: OpenSource, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    [first, *_] = await partitions_of(plan)
    async with open_queue(redis.url, plan.folder.path) as queue:
        async with working(redis, source, root=plan.folder.path / "not mounted"):
            await queue.put(first)
            while "is left to other workers" not in caplog.text:
                await anyio.sleep(0.01)
        assert redis.ask("XLEN", "isnotai") == 1
        async with working(redis, source, idle_timeout=0.01):
            await run_job(plan, queue)
    count_rows(plan.folder.path, SIZES)


async def test_a_refused_key_reaches_whoever_runs_the_job(redis: RedisServer, sandbox: Sandbox, plan: Plan) -> None:
    @asynccontextmanager
    async def open_source() -> AsyncGenerator[Source, None]:
        async with Client(CANARY_KEY, base_url=sandbox.base_url, limiter=Unlimited()) as client:
            yield client

    async with working(redis, open_source), open_queue(redis.url, plan.folder.path) as queue:
        with pytest.raises(AuthenticationError):
            await run_job(plan, queue)


async def test_no_key_is_in_redis(redis: RedisServer, sandbox: Sandbox, source: OpenSource, plan: Plan) -> None:
    """Row 66e, and the same for what a task says."""
    async with open_queue(redis.url, plan.folder.path) as queue:
        for partition in await partitions_of(plan):
            await queue.put(partition)
        queued = repr(redis.ask("XRANGE", "isnotai", "-", "+")) + repr(redis.ask("KEYS", "*"))
        async with working(redis, source):
            await run_job(plan, queue)
            known = repr(redis.ask("KEYS", "*"))
    assert "big-250" in queued
    assert sandbox.api_key not in queued + known


@pytest.mark.parametrize("url", ["http://user:s3cret@x", "redis://user:s3cret@x:port", "s3cret"])
def test_a_url_that_cannot_be_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="the URL of Redis cannot be") as caught:
        make_broker(url)
    assert "s3cret" not in str(caught.value)


async def test_a_password_is_shown_nowhere(server: RedisServer, plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    url = f"redis://user:s3cret@127.0.0.1:{server.port}"
    broker = make_broker(url)
    assert "s3cret" not in f"{broker!r} {broker.connection_pool!r} {broker.state!r}"

    with pytest.raises(ConfigError, match="Redis refused the user or password") as caught:
        async with open_queue(url, plan.folder.path):
            pass
    assert "s3cret" not in str(caught.value) + caplog.text


async def test_a_redis_that_is_not_there_is_told_at_once(source: OpenSource, plan: Plan) -> None:
    with pytest.raises(ConfigError, match="Redis does not answer"):
        await run_worker(make_broker("redis://127.0.0.1:1", open_source=source), anyio.Event())
    with pytest.raises(ConfigError, match="Redis does not answer"):
        async with open_queue("redis://127.0.0.1:1", plan.folder.path):
            pass


def test_a_broker_without_the_task_is_no_queue(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"call register_tasks\(broker, …\) first"):
        TaskQueue(InMemoryBroker(), tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda text: (),
        lambda text: (text,),
        lambda text: (text, 5),
        lambda text: (text, "/tmp/\0x"),
        lambda text: (text, "/x" * 5000),
        lambda text: (text, "x" * 300),
        lambda text: (text, "/tmp/\ud800"),
        lambda text: ([1], "/tmp"),
        lambda text: ("[" * 100_000, "/tmp"),
        lambda text: (text.replace("big-3", "\\ud800"), "/tmp"),
    ],
    ids=["none", "one", "number", "NUL", "long", "long name", "surrogate", "list", "deep", "session"],
)
async def test_anything_may_be_queued_and_is_refused(
    source: OpenSource, plan: Plan, arguments: Callable[[str], tuple[object, ...]]
) -> None:
    broker = InMemoryBroker(await_inplace=True)
    task = register_tasks(broker, source)
    await broker.startup()
    [first, *_] = await partitions_of(plan)

    result = await (await task.kiq(*arguments(first.to_json()))).get_result()

    await broker.shutdown()
    assert not result.is_err
    assert result.return_value["outcome"] == "refused"


async def test_a_failure_that_no_attempt_mends_is_told_and_leaves_the_queue(
    redis: RedisServer, source: OpenSource, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with open_client(sandbox) as client:
        plan = await plan_job(client, ["gone-1"], tmp_path / "gone", on_error="raise")
    async with working(redis, source), open_queue(redis.url, plan.folder.path) as queue:
        with pytest.raises(ExportError, match="404"):
            await run_job(plan, queue)
        with anyio.fail_after(10):
            while redis.ask("XLEN", "isnotai"):
                await anyio.sleep(0.01)


async def test_a_task_that_is_worked_at_here_is_not_begun_again(source: OpenSource, plan: Plan) -> None:
    [first, *_] = await partitions_of(plan)
    shift = Shift(source, None, 1, None)
    await shift.begin()
    results = list[str]()

    async def work() -> None:
        results.append((await shift.work("task", first.to_json(), str(plan.folder.path)))[0]["outcome"])

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        group.start_soon(work)
    await shift.end()
    assert results == ["left", "done"]


async def test_a_redis_that_refuses_is_told_as_one_that_answers(redis: RedisServer, plan: Plan) -> None:
    redis.ask("SET", "isnotai", "text")
    with pytest.raises(ConfigError, match="Redis answered, and refused the queue: WRONGTYPE"):
        async with open_queue(redis.url, plan.folder.path):
            pass
    redis.ask("DEL", "isnotai")
    [first, *_] = await partitions_of(plan)
    async with open_queue(redis.url, plan.folder.path) as queue:
        redis.ask("SET", "isnotai", "text")
        with pytest.raises(ConfigError, match="Redis answered, and refused a task: WRONGTYPE"):
            await queue.put(first)


async def test_a_queue_that_cannot_be_reached_is_told_once(
    plan: Plan, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isnotai_async.workers.taskiq.PAUSE", 0.01)
    [first, *_] = await partitions_of(plan)

    with anyio.move_on_after(0.5):
        await TaskQueue(make_broker("redis://127.0.0.1:1"), plan.folder.path).put(first)

    assert [record.message for record in caplog.records if record.name == "isnotai_async"] == [
        "cannot queue a task (ConnectionError); trying on"
    ]


@pytest.mark.parametrize("url", ["redis://user:s3cret@x:port", "redis://user:s3cret@127.0.0.1:1"])
def test_no_frame_of_a_traceback_has_the_password(url: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("no")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError) as caught:
        patch.setattr("isnotai_async.workers.taskiq.register_tasks", refuse)
        make_broker(url)

    frames = [
        frame for frame, _ in walk_tb(caught.value.__traceback__) if "isnotai_async" in frame.f_code.co_filename
    ]
    assert "s3cret" not in repr([frame.f_locals for frame in frames if "/tests/" not in frame.f_code.co_filename])
    assert caught.value.__context__ is None
