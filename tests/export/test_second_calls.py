"""What a caller may do twice, or late: use a list again, close the client, cancel at the end, come from elsewhere."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import isnotai_async as isnotai
from isnotai_async._client import Client
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async._notices import AttemptNotice
from isnotai_async.export.encoding import CSV
from isnotai_async.export.files import Files
from isnotai_async.export.meter import Meter
from isnotai_async.export.origin import find_origin
from isnotai_async.export.parquet import ParquetSink
from isnotai_async.export.store import Store
from isnotai_async.sandbox import Fault, Sandbox

ONCE = isnotai.Retry(attempts=1)


def open_client(sandbox: Sandbox) -> Client:
    return Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited(), retry=ONCE)


async def test_a_list_that_was_used_is_read_again_from_its_beginning(tmp_path: Path) -> None:
    async with Sandbox(sessions=8) as sandbox, open_client(sandbox) as client:
        sessions = client.list_sessions()
        assert (await isnotai.estimate_export(client, sessions)).sampled == 5
        first = await isnotai.export_events(client, sessions, tmp_path / "a.jsonl")
        second = await isnotai.export_events(client, sessions, tmp_path / "b.jsonl")

    assert first.sessions == second.sessions == 8
    assert first.rows == second.rows > 0


@pytest.mark.parametrize("is_closed", [False, True], ids=["captive portal", "closed client"])
async def test_sessions_that_were_only_unlucky_are_left_for_the_next_call(tmp_path: Path, is_closed: bool) -> None:
    async with Sandbox(sessions=6) as sandbox, open_client(sandbox) as client:
        sessions = [session.id async for session in client.list_sessions()]
        whole = await isnotai.export_events(client, sessions, tmp_path / "whole.jsonl")
        async with open_client(sandbox) as unlucky:
            if is_closed:  # as by a web app that shuts down
                await unlucky.aclose()
            else:
                sandbox.inject(Fault.captive_portal(), operation="list_events")
            first = await isnotai.export_events(unlucky, sessions, tmp_path / "out.jsonl", on_error="collect")
        second = await isnotai.export_events(client, sessions, tmp_path / "out.jsonl", on_error="collect")

    assert (first.is_complete, second.is_complete) == (False, True)
    assert first.failures
    assert second.rows == whole.rows


async def test_an_export_that_is_cancelled_while_its_file_is_put_together_is_finished_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on, merge = threading.Event(), threading.Event(), ParquetSink._merge

    def wait_and_merge(self: ParquetSink) -> int:
        reached.set()
        go_on.wait(20)
        return merge(self)

    monkeypatch.setattr(ParquetSink, "_merge", wait_and_merge)
    async with Sandbox(sessions=3) as sandbox, open_client(sandbox) as client:
        sessions = client.list_sessions()
        task = asyncio.create_task(isnotai.export_events(client, sessions, tmp_path / "out.parquet"))
        await asyncio.to_thread(reached.wait, 20)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        requests = sandbox.stats.requests
        report = await isnotai.export_events(client, sessions, tmp_path / "out.parquet")

    assert report.is_complete
    assert report.rows == report.resumed_rows > 0
    assert sandbox.stats.requests == requests  # nothing was asked for again
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


async def test_an_export_that_is_cancelled_too_late_reports_that_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on, publish = threading.Event(), threading.Event(), Store.publish

    def wait_and_publish(self: Store, *, force: bool) -> int:
        reached.set()
        go_on.wait(20)
        return publish(self, force=force)

    monkeypatch.setattr(Store, "publish", wait_and_publish)
    async with Sandbox(sessions=3) as sandbox, open_client(sandbox) as client:
        task = asyncio.create_task(isnotai.export_events(client, client.list_sessions(), tmp_path / "out.jsonl"))
        await asyncio.to_thread(reached.wait, 20)
        task.cancel()
        go_on.set()
        report = await task

    assert report.is_complete
    assert not task.cancelling()


async def test_a_source_is_closed_whole_when_a_session_fails(tmp_path: Path) -> None:
    said: list[str] = []

    async def ids() -> AsyncIterator[str]:
        try:
            yield "big-5"
            yield "no-such-session"
            yield "big-7"
        finally:
            await asyncio.sleep(0)  # gives a connection of its pool back
            said.append("released")

    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(isnotai.NotFoundError):
            await isnotai.export_events(client, ids(), tmp_path / "out.jsonl", concurrency=1)
        assert said == ["released"]


async def test_an_id_that_cannot_be_one_is_refused_before_anything_is_asked_or_written(tmp_path: Path) -> None:
    async with Sandbox() as sandbox, open_client(sandbox) as client:
        with pytest.raises(isnotai.ConfigError, match=r"session_id '\.\.' would point at another path"):
            await isnotai.export_events(client, ["big-5", ".."], tmp_path / "out.jsonl")
        assert sandbox.stats.requests == 0

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", ".", "/", "a\0b.jsonl"])
async def test_a_path_that_names_no_file_is_refused(path: str) -> None:
    client = Client("aik_v1_" + "k" * 40)
    with pytest.raises(isnotai.ConfigError, match="is no name of a file to write into"):
        await isnotai.export_events(client, ["s"], path, format="jsonl")


def test_an_export_from_the_vendors_address_is_not_one_from_a_sandbox() -> None:
    key = "aik_v1_" + "k" * 40
    described = [
        find_origin(Client(key, base_url=base_url)).regions["us"]
        for base_url in ("https://api.isnotai.com", "http://127.0.0.1:8080", "http://127.0.0.1:9090")
    ]
    assert described == ["us at api.isnotai.com", "us at this machine", "us at this machine"]


class _FullAtTheJournal(Files):
    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[int, str] = {}
        self.is_full = False

    def open(self, path: Path, *, create: bool = False) -> int:
        descriptor = super().open(path, create=create)
        self.opened[descriptor] = path.name
        return descriptor

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        if self.is_full and self.opened[descriptor].startswith("out.parquet.journal"):
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, offset, data)


def test_row_62_a_disk_that_is_full_for_the_journal_right_behind_a_segment_loses_nothing(tmp_path: Path) -> None:
    def page(number: int) -> Page[Event]:
        rows = tuple(Event(f"e{number}-{row}", 1, "k", row, 1) for row in range(10))
        return Page(rows, None, False, 10, None, "us", "s1")

    def change(rows: int) -> dict[str, object]:
        return {
            "rows": rows, "taken": b"", "moved": [], "gone": [], "failed": [], "restarted": [], "witnesses": {}
        }  # fmt: skip

    target = tmp_path / "out.parquet"
    files = _FullAtTheJournal()
    store = Store(files, target, ParquetSink(files, target, segment_rows=20))
    store.open({"x": 1}, resume=True, force=False)
    store.commit([page(0)], change(10))
    files.is_full = True
    with pytest.raises(OSError, match="No space left"):
        store.commit([page(1)], change(20))
    store.rollback()
    store.close()

    store = Store(Files(), target, ParquetSink(Files(), target, segment_rows=20))
    assert store.open({"x": 1}, resume=True, force=False).rows == 10
    store.commit([page(1)], change(20))
    store.seal()
    assert store.publish(force=False) > 0
    store.close()


def test_the_guard_of_a_cell_can_be_taken_away_again() -> None:
    rows = tuple(Event(text, 1, "k", 1, 1) for text in ("=1", "'=1", "'", "x", "''=1"))
    encoded = CSV().encode(Page(rows, None, False, 10, None, "us", "s1"))
    assert CSV().read_ids(iter([encoded]), "us", "s1") == {row.event_id for row in rows}


def test_the_meter_remembers_a_minute_and_no_more() -> None:
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    for _ in range(300):
        now[0] += 1
        meter.hear(AttemptNotice(region="us", operation="x", attempt=1, status=200, error=None, elapsed=0.0))
    assert len(meter._times) <= 61
