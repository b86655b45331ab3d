"""One run of a job into a Delta table: it plans or finds the plan, and adds pieces until the job is whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

import anyio
import pyarrow as pa  # type: ignore[import-untyped]
from attrs import define, evolve, field

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async._notices import capture_notices
from isnotai_async._ratelimit.local import LocalLimiter
from isnotai_async._streaming.tasks import run_behind
from isnotai_async.errors import ConfigError, IsNotAIError, SinkError, StoreError, quoted
from isnotai_async.export.batches import SCHEMA_VERSION
from isnotai_async.export.identity import count_sessions, identify_sessions
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.report import SessionFailure, is_for_good
from isnotai_async.export.source import ExportSource
from isnotai_async.export.thread import FileThread
from isnotai_async.integrations import _delta_plan
from isnotai_async.integrations._delta_checks import check_account, check_identity, check_sessions
from isnotai_async.integrations._delta_leases import Leases
from isnotai_async.integrations._delta_piece import Piece, PieceReader
from isnotai_async.integrations._delta_report import TableReport
from isnotai_async.integrations._delta_runs import NOTE_SECONDS, RunNotes
from isnotai_async.integrations._delta_tables import Attempt, JobTables

ROUNDS: Final = 3
"""How often an unfinished session is planned again."""

_TRIED: Final = 3  # other sessions that are asked for, to know whether the API answers at all


async def run_job(
    source: ExportSource,
    tables: tuple[str, str, Mapping[str, str]],
    *,
    redis: str | None,
    **options: Any,  # noqa: ANN401 - those of `PieceReader`
) -> TableReport:
    """Run a job of a table, reached with some options, until it is whole; errors as of `export_to_delta`."""
    table, job, storage = tables
    run_id, metrics = uuid4().hex, ExportMetrics()
    found = JobTables(table, job, storage)
    leases = Leases(redis, f"isnotai:delta:{table}:{job}", run_id)
    reader = PieceReader(source=source, metrics=metrics, **options)
    with FileThread(found.explain) as thread, capture_notices(metrics.on_notice):
        notes = RunNotes(found, run_id)
        run = DeltaRun(source=source, reader=reader, tables=found, notes=notes, leases=leases, thread=thread)
        try:
            return await run.run()
        finally:
            await leases.aclose()


@define(kw_only=True, eq=False)
class DeltaRun:
    """One run of a job."""

    source: ExportSource
    reader: PieceReader
    tables: JobTables
    notes: RunNotes
    leases: Leases
    thread: FileThread  # where the tables are used
    _planned: Sequence[SessionRef] = field(default=(), init=False)
    _unlucky: set[SessionRef] = field(factory=set, init=False)  # that some run could not read
    _rows: int = field(default=0, init=False)  # that this run added
    _pieces: int = field(default=0, init=False)  # that this run added
    _in_vain: int = field(default=0, init=False)  # requests
    _trouble: IsNotAIError | None = field(default=None, init=False)  # that was not the API's word on a session

    async def run(self) -> TableReport:
        """Run until the job is whole."""
        await self.thread.run(self.tables.open)
        plan, plan_id = await self._find_plan()
        self._planned = _delta_plan.list_sessions(plan)
        await self.thread.run(self.notes.note)
        try:
            async with run_behind(self._stay_noted()):
                left_out = await self._play_rounds(plan, plan_id)
        finally:
            with suppress(SinkError):  # what ended the run is more to the point
                await self.thread.run(self.notes.note, ended=True)
        return self._report(left_out)

    async def _play_rounds(self, plan: pa.Table, plan_id: str) -> list[Attempt]:
        """Add all pieces, round after round; return what is not in the table for good."""
        left_out, tries = list[Attempt](), Counter[SessionRef]()
        first = prefix = f"{self.tables.job}/{plan_id}"
        for number in count(1):
            await self._fill(prefix, _delta_plan.deal(plan))
            found = await self.thread.run(self.tables.read_attempts, prefix)
            tries.update(each.target for each in found if each.kind == "unfinished")
            retried = {each.target for each in found if _may_try_again(each, tries)}
            left_out += [each for each in found if each.target not in retried]
            await self._check_plan(plan_id)
            if not retried:
                break
            self._unlucky |= retried
            if self._trouble is not None:
                raise self._trouble
            plan = await self._plan_again(f"{plan_id}/again-{number}", sorted(retried))
            prefix = f"{first}/again-{number}"
        return left_out

    async def _find_plan(self) -> tuple[pa.Table, str]:
        known = await identify_sessions(self.source)
        identity = {
            "job": self.tables.job,  # for some file systems june and June are one name
            "regions": dict(self.source.regions),
            "filters": dict(self.reader.filters),
            "sessions": known,
            "schema": SCHEMA_VERSION,
            "piece": _delta_plan.PIECE_SESSIONS,
            "slots": _delta_plan.SLOTS,
        }
        was_planned = await self.thread.run(self.tables.is_planned)  # before the plan is looked for
        found = await self.thread.run(self.tables.read_plan, "plan")
        plan_id = uuid4().hex
        if found is None:
            if was_planned:
                raise self._say_removed()
            mine = _delta_plan.make_plan(await self._list())
            found = await self.thread.run(self.tables.write_plan, "plan", mine, {**identity, "id": plan_id})
        if found is None:
            raise self._say_removed()
        plan, theirs = found
        check_identity(self.tables.job, identity, theirs)
        await self.thread.run(self.tables.check_store, "plan", plan)
        await self.thread.run(self.tables.note_planned)
        if theirs["id"] != plan_id:  # another run has made it
            refs = _delta_plan.list_sessions(plan)
            if count_sessions(known) is not None:
                check_sessions(self.tables.job, await self._list(), refs)
            await check_account(self.tables.job, self.source, refs)
        return plan, theirs["id"]

    async def _check_plan(self, plan_id: str) -> None:
        """Check that the plan is still there: without it, what did not go in may be gone too."""
        found = await self.thread.run(self.tables.read_plan, "plan")
        if found is None or found[1]["id"] != plan_id:
            raise self._say_removed()

    def _say_removed(self) -> StoreError:
        return StoreError(
            f"the plan of the job {quoted(self.tables.job)} was removed from {quoted(self.tables.table)}, and some "
            "of its rows may be in: a new plan would add them a second time. Use another table, or delete those rows "
            "and use another name of a job"
        )

    async def _list(self) -> list[SessionRef]:
        listed = dict[SessionRef, None]()
        for targets in self.source.read().values():
            async for target in targets:
                listed[target] = None
        return list(listed)

    async def _plan_again(self, name: str, unfinished: Sequence[SessionRef]) -> pa.Table:
        found = await self.thread.run(self.tables.read_plan, name)
        if found is None:
            found = await self.thread.run(self.tables.write_plan, name, _delta_plan.make_plan(unfinished), {})
        if found is None:
            raise self._say_removed()
        return found[0]

    async def _fill(self, prefix: str, slots: _delta_plan.SlotPieces) -> None:
        """Add pieces until all slots are full."""
        first = random.randrange(len(slots))  # noqa: S311 - so that runs start apart
        left = [*range(first, len(slots)), *range(first)]
        while left:
            is_idle = True
            for slot in tuple(left):
                transaction = f"{prefix}/slot-{slot}"
                version = await self.thread.run(self.tables.version, transaction)
                if version >= len(slots[slot]):
                    left.remove(slot)
                    continue
                async with self.leases.hold(transaction, version) as is_mine:
                    is_idle = is_idle and not is_mine
                    # Another run may have added it after the version was read, and before the lease was free.
                    if is_mine and await self.thread.run(self.tables.version, transaction) == version:
                        await self._add(prefix, slot, version, slots[slot][version])
            if left and is_idle:
                await anyio.sleep(1)  # other runs have leases on all that is left

    async def _add(self, prefix: str, slot: int, version: int, sessions: Sequence[SessionRef]) -> None:
        """Read a piece and add it, unless another run does it first.

        Raises:
            IsNotAIError: Nothing of it could be read, because the API does not answer.
        """
        await self._check_alone()
        with TemporaryDirectory(prefix="isnotai-") as folder:
            piece = await self.reader.read(sessions, Path(folder))
            self._unlucky.update(piece.troubles)
            attempts, is_outage = await self._judge(piece)
            trouble = next(iter(piece.troubles.values()), None)
            self._trouble = self._trouble or trouble
            if trouble is not None and is_outage and len(piece.troubles) == len(sessions):
                raise trouble
            is_mine = await self.thread.run(self._commit, prefix, slot, version, evolve(piece, attempts=attempts))
        self._pieces += is_mine
        self._rows += piece.rows if is_mine else 0
        self._in_vain += 0 if is_mine else piece.requests

    async def _judge(self, piece: Piece) -> tuple[tuple[Attempt, ...], bool]:
        """Find the sessions that an outage left out; return the attempts, and whether there is one."""
        silent = set[str]()
        for region in {target.name for target in piece.troubles}:
            others = [each for each in self._planned if each.name == region and each not in self._unlucky]
            if not await is_answering(self.source, others):
                silent.add(region)
        attempts = (
            evolve(each, kind="interrupted") if each.target in piece.troubles and each.region in silent else each
            for each in piece.attempts
        )
        return tuple(attempts), bool(silent)

    def _commit(self, prefix: str, slot: int, version: int, piece: Piece) -> bool:
        transaction, also = f"{prefix}/slot-{slot}", None
        if self.tables.version(transaction) != version:
            return False
        if piece.attempts:
            attempt = uuid4().hex
            also = f"{transaction}/{attempt}"
            self.tables.write_attempts(slot, version, attempt, piece.attempts)
        return self.tables.write_piece(piece.path, transaction, version, also)

    async def _check_alone(self) -> None:
        """Check that a second run, if there is one, shares the quota."""
        if self._shares_quota:
            return
        others = await self.thread.run(self.notes.find_others)
        if others:
            raise ConfigError(
                f"{len(others)} other runs of the job {quoted(self.tables.job)} were active in the last 10 minutes, "
                "and each would use all of the key's quota; give each a share (quota=1/n, --quota), or one limiter "
                "(limiter=RedisLimiter…, --redis)"
            )

    async def _stay_noted(self) -> None:
        """Note that this run is alive, also while it reads a piece for longer than a note counts."""
        while True:
            await anyio.sleep(NOTE_SECONDS)
            with suppress(SinkError):  # a store that is away ends the run at the next piece
                await self.thread.run(self.notes.note)

    @property
    def _shares_quota(self) -> bool:
        clients = [self.source.client(name) for name in self.source.regions]
        limiters = [client._paced.limiter for client in clients]  # noqa: SLF001 - no part of the public face
        return not any(isinstance(limiter, LocalLimiter) and limiter.quota == 1 for limiter in limiters)

    def _report(self, left_out: Sequence[Attempt]) -> TableReport:
        failed = (each for each in left_out if each.kind != "rejected")
        return TableReport(
            table=self.tables.table,
            job=self.tables.job,
            sessions=len(self._planned),
            failures=tuple(SessionFailure(each.region, each.session_id, each.error, each.message) for each in failed),
            rejected=sum(each.kind == "rejected" for each in left_out),
            rows=self._rows,
            pieces=self._pieces,
            in_vain=self._in_vain,
            requests=self.reader.metrics.requests,
            waited=self.reader.metrics.waited,
            elapsed=self.reader.metrics.elapsed,
        )


async def is_answering(source: ExportSource, others: Sequence[SessionRef]) -> bool:
    """Return whether the API answers for any of a few sessions of a region; if there is none, it is not known to."""
    for target in random.sample(others, min(_TRIED, len(others))):
        try:
            await source.client(target.name).list_events(target.session_id, page_size=1)
        except IsNotAIError as error:
            if is_for_good(error):
                return True
        else:
            return True
    return False


def _may_try_again(attempt: Attempt, tries: Mapping[SessionRef, int]) -> bool:
    """Return whether the session of an attempt is to be planned again."""
    return attempt.kind == "interrupted" or (attempt.kind == "unfinished" and tries[attempt.target] <= ROUNDS)
