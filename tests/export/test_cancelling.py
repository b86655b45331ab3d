"""An export is cancelled at any step."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event
from isnotai_async.errors import ExportError
from isnotai_async.export import ExportProgress
from isnotai_async.export.thread import FileThread
from tests.event_source import Source, events, ids, running_tasks
from tests.export.desk import Desk, all_rows, make_desk
from tests.export.test_export import read_ids


@pytest.mark.parametrize("kind", ["task", "scope"])
async def test_a_cancelled_export_goes_on_from_where_it_was(tmp_path: Path, kind: str) -> None:
    for turns in range(0, 120, 7):
        desk, target = make_desk(), tmp_path / f"out{turns}.jsonl"
        with anyio.CancelScope() as scope:
            task = asyncio.ensure_future(desk.export(target))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            if kind == "scope":
                scope.cancel()
        done, _ = await asyncio.wait([task])
        assert not running_tasks()
        if not next(iter(done)).cancelled():
            assert target.exists()
            continue
        if not target.exists():
            await desk.export(target)
        assert read_ids(target) == ids(all_rows(desk))


async def test_what_was_handed_out_before_a_cancellation_is_committed(tmp_path: Path) -> None:
    desk, target = make_desk({"big": 90}), tmp_path / "out.jsonl"
    rows: list[int] = []
    with anyio.CancelScope() as scope:

        def stop(progress: ExportProgress) -> None:
            if progress.rows >= 30:
                rows.append(progress.rows)
                scope.cancel()

        await desk.export(target, commit_bytes=1 << 30, on_progress=stop)
    assert scope.cancelled_caught
    desk.source.requests.clear()
    report = await desk.export(target)

    assert 30 <= report.resumed_rows == rows[-1] < 90
    assert ("big", None) not in desk.source.requests
    assert read_ids(target) == ids(all_rows(desk))


@define(eq=False)
class SlowSource(Source):
    """A source, one of whose sessions waits."""

    is_ready: asyncio.Event = field(factory=asyncio.Event)

    async def fetch_page(self, query: EventQuery, cursor: str | None) -> Page[Event]:
        if query.session_id == "slow":
            await self.is_ready.wait()
        return await super().fetch_page(query, cursor)


async def test_what_there_is_is_committed_while_pages_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isnotai_async.export.runner.COMMIT_SECONDS", 0.05)
    source = SlowSource({"s1": events("s1", range(3)), "empty": [], "slow": events("slow", range(3))})

    def tell(progress: ExportProgress) -> None:
        if progress.sessions_done == 2:  # which is known of commits alone
            source.is_ready.set()

    report = await Desk(source).export(tmp_path / "out.jsonl", commit_bytes=1 << 30, on_progress=tell)
    assert report.rows == 6


async def test_a_lock_is_given_back_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").mkdir()
    for _ in range(2):
        with pytest.raises(ExportError, match="is a folder"):
            await make_desk().export(tmp_path / "out.jsonl")


def test_a_call_of_whose_end_the_loop_did_not_learn_holds_up_no_cancellation() -> None:
    class DeafLoop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
            """Lose what a thread reports, as Ctrl-C does if it comes just then."""

    async def cancel_too_late() -> bool:
        thread, gate = FileThread(lambda error: error), threading.Event()
        task = asyncio.ensure_future(thread.run(gate.wait))
        await asyncio.sleep(0)
        gate.set()
        thread._executor.submit(int).result()  # the call before this one has ended
        task.cancel()
        await asyncio.wait([task], timeout=5)
        return task.cancelled()

    with asyncio.Runner(loop_factory=DeafLoop) as runner:
        assert runner.run(cancel_too_late())
