"""Planning: which sessions belong to which partition, and that it stays so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async.errors import CheckpointError, ConfigError, ExportLockedError, SinkError
from isnotai_async.export.lock import TargetLock
from isnotai_async.sandbox import Sandbox
from isnotai_async.workers import Plan, describe_job, make_plan, plan_partitions
from tests.canary import CANARY_KEY
from tests.workers.crew import open_client, partitions_of, plan_job

IDS = [f"s{number}" for number in range(10)]


@pytest.fixture
def client() -> Client:
    return Client(CANARY_KEY)


def ids_of(plan: Plan) -> list[list[str]]:
    return [[target.session_id for target in partition.sessions] for partition in plan.read()]


async def test_sessions_are_cut_into_partitions_in_their_order(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, IDS, tmp_path / "job", size=4)

    assert ids_of(plan) == [IDS[:4], IDS[4:8], IDS[8:]]
    assert (plan.parts, plan.sessions) == (3, 10)


async def test_a_plan_that_is_there_is_found_by_whoever_asks_for_the_same(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, IDS, tmp_path / "job", size=4, type="keypress")
    written = plan.folder.plan.read_bytes()

    again = await plan_job(client, IDS[::-1], tmp_path / "job", size=4, type="keypress")

    assert [partition.name for partition in again.read()] == [partition.name for partition in plan.read()]
    assert (again.job.id, again.parts, again.sessions) == (plan.job.id, 3, 10)
    assert plan.folder.plan.read_bytes() == written


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "scroll"}, r"filters of the events \{'type': 'keypress'\}, now \{'type': 'scroll'\}"),
        ({"format": "csv"}, "format 'jsonl', now 'csv'"),
        ({"size": 5}, "sessions of a partition 4, now 5"),
        ({"on_error": "skip"}, "way with errors 'collect', now 'skip'"),
        ({"sessions": IDS[:9]}, r"sessions 10 given \(digest [0-9a-f]{8}\), now 9 given"),
    ],
    ids=str,
)
async def test_another_job_on_the_same_folder_is_refused_with_what_differs(
    client: Client, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    asked: dict[str, Any] = {"sessions": IDS, "size": 4, "type": "keypress"}
    await plan_job(client, folder=tmp_path / "job", **asked)

    with pytest.raises(CheckpointError, match=says):
        await plan_job(client, folder=tmp_path / "job", **{**asked, **change})


async def test_another_region_is_another_job(client: Client, tmp_path: Path) -> None:
    await plan_job(client, IDS, tmp_path / "job")

    with pytest.raises(CheckpointError, match=r"regions \{'us': 'us at api\.isnotai\.com'\}, now \{'eu': 'eu at "):
        await plan_job(Client(CANARY_KEY, region="eu"), IDS, tmp_path / "job")


async def test_a_session_that_comes_twice_belongs_to_one_partition(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, [*IDS, *IDS], tmp_path / "job", size=4)

    assert ids_of(plan) == [IDS[:4], IDS[4:8], IDS[8:]]


@settings(max_examples=40)
@given(ids=st.lists(st.integers(0, 30).map("s{}".format), max_size=60), size=st.integers(1, 9))
async def test_every_session_is_in_one_partition(ids: list[str], size: int) -> None:
    client = Client(CANARY_KEY)
    job = await describe_job(client, ids, size=size)

    parts = [partition async for partition in plan_partitions(client, ids, job)]

    assert [target.session_id for part in parts for target in part.sessions] == list(dict.fromkeys(ids))
    assert [part.index for part in parts] == list(range(len(parts)))
    assert all(len(part.sessions) == size for part in parts[:-1])
    assert len({part.name for part in parts}) == len(parts)


async def test_sessions_are_read_as_they_are_needed(client: Client) -> None:
    read = 0

    def source() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"s{read}"

    endless = source()
    partitions = plan_partitions(client, endless, await describe_job(client, endless, size=3))
    await anext(partitions)
    await anext(partitions)

    assert read == 6
    await partitions.aclose()


async def test_a_plan_of_a_source_that_fails_does_not_come_to_be(client: Client, tmp_path: Path) -> None:
    async def source() -> AsyncIterator[str]:
        for session_id in IDS:
            yield session_id
        raise RuntimeError("the list broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        await plan_job(client, source(), tmp_path / "job", size=4)

    assert Plan.open(tmp_path / "job") is None
    assert (await plan_job(client, IDS, tmp_path / "job", size=4)).sessions == 10


async def test_sessions_of_several_regions_keep_their_names(tmp_path: Path) -> None:
    async with SessionManager({"us": CANARY_KEY, "eu": f"{CANARY_KEY}e"}) as manager:
        plan = await plan_job(manager, {"us": ["s1", "s2"], "eu": ["s1"]}, tmp_path / "job", size=2)
        pairs = await plan_job(manager, [("eu", "s1"), ("us", "s1")], tmp_path / "pairs", size=2)

    assert [partition.sessions for partition in plan.read()] == [(("us", "s1"), ("us", "s2")), (("eu", "s1"),)]
    assert [partition.sessions for partition in pairs.read()] == [(("eu", "s1"), ("us", "s1"))]


async def test_a_listing_is_planned_once_and_kept(tmp_path: Path) -> None:
    async with Sandbox(rate_limit=None) as sandbox, open_client(sandbox) as client:
        plan = await plan_job(client, client.list_sessions(), tmp_path / "job", size=16)
        asked = sandbox.stats.requests

        again = await plan_job(client, client.list_sessions(), tmp_path / "job", size=16)

        assert sandbox.stats.requests == asked
        assert ids_of(again) == ids_of(plan)
        assert {session_id for ids in ids_of(plan) for session_id in ids} == set(sandbox.session_ids())


async def test_a_plan_has_no_key(tmp_path: Path) -> None:
    plan = await plan_job(Client(CANARY_KEY), IDS, tmp_path / "job")

    assert b"CANARY" not in plan.folder.plan.read_bytes()


async def test_a_plan_is_read_off_the_event_loop_in_the_same_order(client: Client, tmp_path: Path) -> None:
    plan = await plan_job(client, [f"s{number}" for number in range(300)], tmp_path / "job", size=2)

    assert [partition.name for partition in await partitions_of(plan)] == [part.name for part in plan.read()]


@settings(max_examples=40)
@given(data=st.data())
async def test_a_damaged_plan_is_refused_and_never_read_as_another(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = await plan_job(Client(CANARY_KEY), IDS, tmp_path_factory.mktemp("plan") / "job", size=4)
    path, names = plan.folder.plan, [partition.name for partition in plan.read()]
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from(
            [whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at] + whole[at + 1 :]]
        )
    )
    path.write_bytes(damaged)

    with pytest.raises(CheckpointError, match="damaged"):
        again = Plan.open(plan.folder.path)
        assert again is not None
        assert [partition.name for partition in again.read()] != names


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "xlsx"}, "unknown format"),
        ({"size": 0}, "size is 0; it must be from 1 to 10000"),
        ({"on_error": "hope"}, "on_error must be one of"),
        ({"type": 300}, "type"),
    ],
    ids=str,
)
async def test_what_cannot_work_is_refused_before_anything_is_written(
    client: Client, tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        await plan_job(client, IDS, tmp_path / "job", **options)

    assert not list(tmp_path.iterdir())


async def test_a_folder_that_cannot_be_made_is_told(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = await describe_job(client, IDS)

    with pytest.raises(SinkError, match="cannot make the folder"):
        await make_plan(client, IDS, tmp_path / "file" / "job", job)


async def test_two_do_not_plan_into_one_folder_at_once(client: Client, tmp_path: Path) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def source() -> AsyncIterator[str]:
        yield IDS[0]
        begun.set()
        await go_on.wait()
        for session_id in IDS[1:]:
            yield session_id

    async with anyio.create_task_group() as group:
        group.start_soon(plan_job, client, source(), tmp_path / "job")
        await begun.wait()
        with pytest.raises(ExportLockedError):
            await plan_job(client, source(), tmp_path / "job")
        go_on.set()
    there = Plan.open(tmp_path / "job")
    assert there is not None
    assert ids_of(there) == [IDS]
    assert [path.name for path in there.folder.plan.parent.iterdir() if path.is_file()] == ["plan"]


async def test_a_plan_that_came_to_be_before_the_lock_was_ours_is_found(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await describe_job(client, IDS)
    acquire, made = TargetLock.acquire, list[Plan]()

    def be_late(lock: TargetLock) -> None:
        monkeypatch.undo()
        made.append(anyio.from_thread.run(make_plan, client, IDS, tmp_path / "job", job))
        acquire(lock)

    monkeypatch.setattr(TargetLock, "acquire", be_late)

    assert (await make_plan(client, IDS, tmp_path / "job", job)).id == made[0].id
