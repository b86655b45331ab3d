"""The exporter against anything that can happen, in any order: faults, crashes, cancellations, expired cursors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from isnotai_async.errors import AuthenticationError, InvalidCursorError, IsNotAIError, ServerError, SinkError
from tests.event_source import ids
from tests.export.desk import Desk, all_rows, make_desk
from tests.export.disks import Crash, MemoryDisk
from tests.export.test_export import heal

SIZES = {"s1": 7, "empty": 0, "s2": 13, "s3": 2}
ERRORS = [
    ServerError("down", status=503),
    AuthenticationError("no such key", status=401),
    InvalidCursorError("expired", status=400),
]


class ExportMachine(RuleBasedStateMachine):
    """Runs of one export, each of which ends in some way; the last one has to have every row once."""

    @initialize(
        ending=st.sampled_from(["jsonl", "jsonl.gz", "csv"]),
        concurrency=st.integers(1, 3),
        on_error=st.sampled_from(["raise", "collect"]),
    )
    def begin(self, ending: str, concurrency: int, on_error: str) -> None:
        self.folder = TemporaryDirectory()
        self.target = Path(self.folder.name) / f"out.{ending}"
        self.disk = MemoryDisk()
        self.options = {"concurrency": concurrency, "on_error": on_error}

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            while not self.is_done:
                self.run_export(make_desk(SIZES))
            whole = MemoryDisk()
            asyncio.run(make_desk(SIZES).export(self.target, whole))
            self.check(whole)
            self.folder.cleanup()

    def check(self, whole: MemoryDisk) -> None:
        if self.target.suffix == ".gz":  # whose members are pages, in any order
            assert len(self.disk.content(self.target)) == len(whole.content(self.target))
            return
        lines, expected = (sorted(disk.content(self.target).splitlines()) for disk in (self.disk, whole))
        assert lines == expected
        assert len(lines) - (self.target.suffix == ".csv") == len(ids(all_rows(make_desk(SIZES))))

    @property
    def is_done(self) -> bool:
        return self.target in self.disk.names_ and len(self.disk.names_) == 1

    def run_export(self, desk: Desk, crash_at: int | None = None, cancel_at: int | None = None) -> None:
        if self.is_done:  # and no precondition: what is done when depends on the file thread, and so on the machine
            return
        self.disk.restart(crash_at)
        try:
            asyncio.run(self._export(desk, cancel_at))
        except (Crash, asyncio.CancelledError):
            pass
        except IsNotAIError as error:
            assert not isinstance(error, SinkError) or self.is_done

    async def _export(self, desk: Desk, cancel_at: int | None) -> None:
        task = asyncio.ensure_future(desk.export(self.target, self.disk, **self.options))  # type: ignore[arg-type]
        for _ in range(cancel_at or 0):
            await asyncio.sleep(0)
        if cancel_at is not None:
            task.cancel()
        await task

    @rule(crash_at=st.integers(0, 60))
    def crash(self, crash_at: int) -> None:
        self.run_export(make_desk(SIZES), crash_at=crash_at)

    @rule(turns=st.integers(0, 100))
    def cancel(self, turns: int) -> None:
        self.run_export(make_desk(SIZES), cancel_at=turns)

    @rule(
        number=st.integers(0, 8),
        error=st.sampled_from(ERRORS),
        times=st.integers(1, 9),
        crash_at=st.none() | st.integers(5, 60),
    )
    def meet_a_fault(self, number: int, error: Exception, times: int, crash_at: int | None) -> None:
        desk, asked = make_desk(SIZES), [0]

        def fail(session_id: str, cursor: str | None) -> None:
            asked[0] += 1
            if number < asked[0] <= number + times and not (cursor is None and isinstance(error, InvalidCursorError)):
                raise error

        desk.source.fail = fail
        self.run_export(desk, crash_at=crash_at)
        heal(desk)


ExportMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=6, deadline=None)
TestExport = ExportMachine.TestCase
