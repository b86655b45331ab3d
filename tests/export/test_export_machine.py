"""The export against anything that can happen, in any order: faults, crashes, cancellations, expired cursors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from isnotai_async.errors import (
    AuthenticationError,
    InvalidCursorError,
    IsNotAIError,
    PermissionDeniedError,
    ServerError,
)
from isnotai_async.export.places import store_of
from isnotai_async.export.system import System
from tests.examples import scaled
from tests.export.desk import Desk, make_desk
from tests.export.faulty_system import Crash, FaultySystem, names_in, read_all
from tests.export.test_export import fail_at, heal

SIZES = {"s1": 7, "empty": 0, "s2": 13, "s3": 2}
ERRORS = [
    ServerError("down", status=503),
    AuthenticationError("no such key", status=401),
    InvalidCursorError("expired", status=400),
]


class ExportMachine(RuleBasedStateMachine):
    """Runs of one export, each of which ends in some way; at any time its file is whole or not there."""

    is_whole_at_once = True

    @initialize(
        ending=st.sampled_from(["jsonl", "csv", "sqlite"]),
        concurrency=st.integers(1, 3),
        on_error=st.sampled_from(["raise", "collect"]),
        split=st.sampled_from([None, 2]),
    )
    def begin(self, ending: str, **options: Any) -> None:
        self.start(ending, **options)

    def start(self, ending: str, **options: Any) -> None:
        self.folder = TemporaryDirectory()
        self.target = Path(self.folder.name) / f"out.{ending}"
        self.options = options
        whole = self.target.with_name("whole")
        asyncio.run(make_desk(SIZES).export(whole, format=ending))
        self.expected = read_all(whole)
        for path in (whole, store_of(whole)):
            path.unlink()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.run_export(make_desk(SIZES), System())
            assert names_in(self.target.parent) == sorted([self.target.name, store_of(self.target).name])
            self.folder.cleanup()

    def run_export(self, desk: Desk, system: System, cancel_at: int | None = None) -> None:
        try:
            asyncio.run(self._export(desk, system, cancel_at))
        except (Crash, asyncio.CancelledError, IsNotAIError):
            assert type(system) is FaultySystem
        if self.target.exists() and (self.is_whole_at_once or type(system) is System):
            assert read_all(self.target) == self.expected

    async def _export(self, desk: Desk, system: System, cancel_at: int | None) -> None:
        task = asyncio.ensure_future(desk.export(self.target, system, **self.options))
        for _ in range(cancel_at or 0):
            await asyncio.sleep(0)
        if cancel_at is not None:
            task.cancel()
        await task

    @rule(crash_at=st.integers(0, 30), late=st.booleans())
    def crash(self, crash_at: int, late: bool) -> None:
        self.run_export(make_desk(SIZES), FaultySystem(crash_at, late=late))

    @rule(turns=st.integers(0, 100))
    def cancel(self, turns: int) -> None:
        self.run_export(make_desk(SIZES), FaultySystem(), cancel_at=turns)

    @rule(number=st.integers(0, 8), error=st.sampled_from(ERRORS), times=st.integers(1, 9))
    def meet_a_fault(self, number: int, error: Exception, times: int) -> None:
        desk, asked, refused = make_desk(SIZES), [0], set[str]()

        def fail(session_id: str, cursor: str | None) -> None:
            asked[0] += 1
            if not number < asked[0] <= number + times:
                return
            if isinstance(error, InvalidCursorError):
                if cursor is None or session_id in refused:  # a second one in a run is the session's own answer
                    return
                refused.add(session_id)
            raise error

        desk.source.fail = fail
        self.run_export(desk, FaultySystem())
        heal(desk)


class RetryMachine(ExportMachine):
    """The same after an export that finished without a session that the API refused, which a run tries again."""

    is_whole_at_once = False

    @initialize(
        ending=st.sampled_from(["jsonl", "sqlite"]),
        session_id=st.sampled_from([*SIZES]),
        cursor=st.sampled_from([None, "3"]),
    )
    def begin(self, ending: str, session_id: str, cursor: str | None) -> None:
        self.start(ending, concurrency=2, on_error="collect")
        self.meet_a_refusal(session_id, cursor)

    @rule(session_id=st.sampled_from([*SIZES]), cursor=st.sampled_from([None, "3", "6"]))
    def meet_a_refusal(self, session_id: str, cursor: str | None) -> None:
        desk = make_desk(SIZES)
        fail_at(desk, session_id, cursor, PermissionDeniedError("not yours", status=403))
        self.run_export(desk, FaultySystem())


for machine in (ExportMachine, RetryMachine):
    machine.TestCase.settings = settings(max_examples=scaled(12), stateful_step_count=4, deadline=None)
TestExport, TestRetry = ExportMachine.TestCase, RetryMachine.TestCase
