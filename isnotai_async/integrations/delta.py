"""Events of many sessions in a Delta table, written by one or many machines (extra `delta`). Provisional.

The same call on each machine, in any queue or scheduler; none leads, and each ends when the job is whole. The table's
log is what keeps them apart:

1. **The plan** is a small Delta table under ``TABLE/_isnotai/JOB``, written in one commit. The first one wins; the
   others read it and do not list. Regions, account, filters and the list of sessions have to be those of the plan. It
   deals the sessions into pieces of 100, and the pieces into 16 slots.
2. **A piece** goes in with the application transaction ``JOB/PLAN/slot-k``: PLAN is the id of the plan, and the
   version is the number of pieces of that slot that are in. It is read and written on one table object, so a piece
   that another run has committed is refused. A run resumes from the version, and from nothing else.
3. **A piece always goes in.** A session that did not end is left out whole. What is left out is in the table
   `attempts` before the commit, which carries a second transaction ``JOB/PLAN/slot-k/UUID``: an attempt whose
   transaction the table does not know does not count.
4. **An outage is no failure.** When all slots are full, unfinished sessions are planned again, as
   ``JOB/PLAN/again-1`` and so on, but by a run that had no such trouble itself: that one ends with the error. Only
   what the API itself says of a session is its failure; a refused cursor is, after three more rounds. A piece of
   which nothing could be read does not go in, unless that would hold up others.
5. Each run starts at a random slot. Leases in Redis only save requests: two runs that read the same piece are right,
   and one of them has read in vain.

A power cut is not covered on local disks, because deltalake does not sync files. Files of a run that was killed are
not in the log, so no reader sees them; VACUUM removes them.
"""

from __future__ import annotations

import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args
from uuid import uuid4

import anyio
from attrs import define, field, frozen

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async._models.validation import check_no_key, one_of
from isnotai_async._notices import capture_notices
from isnotai_async._ratelimit.local import LocalLimiter
from isnotai_async.errors import ConfigError, IsNotAIError, quoted
from isnotai_async.export.batches import SCHEMA_VERSION
from isnotai_async.export.identity import count_sessions, identify_sessions
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.report import SessionFailure
from isnotai_async.export.source import AnySessions, ExportSource, find_source
from isnotai_async.export.thread import FileThread
from isnotai_async.export.tracker import OnExportError
from isnotai_async.integrations import _delta_plan
from isnotai_async.integrations._delta_checks import check_account, check_identity, check_sessions
from isnotai_async.integrations._delta_leases import Leases
from isnotai_async.integrations._delta_piece import Piece, PieceReader
from isnotai_async.integrations._delta_tables import Attempt, JobTables, explain_store

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

ROUNDS: Final = 3
"""How often a session is planned again if the API refuses its cursors."""

_NOTE_SECONDS: Final = 60.0
_JOB: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

T = TypeVar("T")

_REF: Final = ("region", "session_id")


@frozen(kw_only=True)
class TableReport:
    """What a run did for a job, which is whole.

    Attributes:
        table: The table.
        job: Name of the job.
        sessions: Sessions of the job.
        rows: Rows that this run added.
        pieces: Pieces that this run added.
        failures: Sessions that are not in the table, whichever run tried them.
        rejected: Records of the job that could not be read, or that Delta cannot hold.
        requests: Requests that this run sent.
        in_vain: Requests of them for pieces that another run added first.
        waited: Seconds in which requests waited.
        elapsed: Seconds of this run.
    """

    table: str
    job: str
    sessions: int
    rows: int = 0
    pieces: int = 0
    failures: tuple[SessionFailure, ...] = ()
    rejected: int = 0
    requests: int = 0
    in_vain: int = 0
    waited: float = 0.0
    elapsed: float = 0.0


async def export_to_delta(
    source: Client | SessionManager,
    sessions: AnySessions,
    table: str,
    *,
    job: str,
    storage_options: Mapping[str, str] | None = None,
    redis: str | None = None,
    on_error: OnExportError = "collect",
    concurrency: int = 16,
    **filters: Any,  # noqa: ANN401 - those of `EventFilters`
) -> TableReport:
    """Add the events of sessions to a Delta table, each session once, with any number of machines.

    Args:
        source: A `Client`, or a `SessionManager` for sessions of several regions.
        sessions: As of `export_events`. Only the run that plans the job reads them.
        table: Folder or URL, such as ``s3://bucket/events``. It is created if it is not there.
        job: Name of the job: letters, digits, ``.``, ``_`` and ``-``. The same name is the same work.
        storage_options: How to reach the store, as of deltalake.
        redis: URL of the Redis that the clients' limiter shares; here it keeps two runs from reading the same piece.
        on_error: ``"collect"`` leaves out a session that fails; ``"raise"`` ends the run.
        concurrency: Most requests in flight.
        **filters: Filters of the events, as of `list_events`: `type`, `start_time`, `end_time`, `page_size`.

    Returns:
        What this run did. The job is whole.

    Raises:
        ConfigError: An option cannot work, or there is a second run and the clients do not share the quota.
        StoreError: The table or the job belongs to something else.
        SinkError: The table cannot be written. The same call resumes.
        IsNotAIError: The API is down, or refused the key. The same call resumes.

    Example:
        >>> await export_to_delta(client, client.list_sessions(), "events", job="june")  # doctest: +SKIP
    """
    one_of(on_error, "on_error", get_args(OnExportError))
    if not _JOB.fullmatch(job):
        raise ConfigError(f"job {quoted(job)} is no name of a job; use letters, digits, '.', '_' and '-'")
    check_no_key(job, "job")
    check_no_key(str(table), "table")
    _check_installed()
    found = find_source(source)
    query = EventFilters(**filters).filters
    is_single = isinstance(source, Client)
    metrics = ExportMetrics()
    reader = PieceReader(
        source=found,
        is_single=is_single,
        filters=query,
        on_error=on_error,
        concurrency=concurrency,
        metrics=metrics,
    )
    leases = Leases(redis, f"isnotai:delta:{table}:{job}", uuid4().hex)
    tables = JobTables(table, job, storage_options or {})
    with FileThread() as thread:
        run = DeltaRun(source=found, reader=reader, tables=tables, thread=thread, leases=leases, metrics=metrics)
        try:
            return await run.run(sessions)
        finally:
            await leases.aclose()


def _check_installed() -> None:
    try:
        import deltalake  # noqa: F401
    except ImportError:
        raise ConfigError("a Delta table needs deltalake: pip install 'isnotai-async[delta]'") from None


@define(kw_only=True, eq=False)
class DeltaRun:
    """One run of a job.

    Attributes:
        source: Where the events come from.
        reader: Reads pieces.
        tables: The tables.
        thread: Where they are used.
        leases: Who reads what.
        metrics: What the requests cost.
    """

    source: ExportSource
    reader: PieceReader
    tables: JobTables
    thread: FileThread
    leases: Leases
    metrics: ExportMetrics
    _host: str = field(factory=socket.gethostname, init=False)
    _noted: float | None = field(default=None, init=False)
    _rows: int = field(default=0, init=False)  # that this run added
    _pieces: int = field(default=0, init=False)  # likewise
    _in_vain: int = field(default=0, init=False)  # requests
    _trouble: IsNotAIError | None = field(default=None, init=False)  # that was not the API's word on a session

    async def run(self, sessions: AnySessions) -> TableReport:
        """Run until the job is whole; errors as of `export_to_delta`."""
        with capture_notices(self.metrics.on_notice):
            return await self._run(sessions)

    async def _run(self, sessions: AnySessions) -> TableReport:
        await self._ask(self.tables.open)
        plan, plan_id = await self._find_plan(sessions)
        await self._note_run()
        try:
            attempts = await self._play_rounds(plan, plan_id)
        finally:
            await self._ask(self.tables.note_run, self.leases.run, self._host, ended=True)
        return self._report(plan.num_rows, attempts)

    async def _play_rounds(self, plan: pa.Table, plan_id: str) -> list[Attempt]:
        """Add all pieces, round after round; return what is not in the table for good."""
        attempts, refused = list[Attempt](), Counter[SessionRef]()
        first = prefix = f"{self.tables.job}/{plan_id}"
        for number in count(1):
            await self._fill(prefix, _delta_plan.deal(plan), is_first=number == 1)
            found = await self._ask(self.tables.read_attempts, prefix)
            refused.update(each.target for each in found if each.kind == "refused")
            unfinished = {each.target for each in found if _is_open(each, refused)}
            attempts += [each for each in found if each.target not in unfinished]
            if not unfinished:
                break
            if self._trouble is not None:
                raise self._trouble
            plan = await self._plan_again(f"{plan_id}/again-{number}", sorted(unfinished))
            prefix = f"{first}/again-{number}"
        return attempts

    async def _find_plan(self, sessions: AnySessions) -> tuple[pa.Table, str]:
        known = await identify_sessions(self.source, sessions)
        identity = {
            "regions": dict(self.source.regions),
            "filters": dict(self.reader.filters),
            "sessions": known,
            "schema": SCHEMA_VERSION,
            "piece": _delta_plan.PIECE_SESSIONS,
            "slots": _delta_plan.SLOTS,
        }
        found = await self._ask(self.tables.read_plan, "plan")
        plan_id = uuid4().hex
        if found is None:
            mine = _delta_plan.make_plan(await self._list(sessions))
            await self._ask(self.tables.write_plan, "plan", mine, {**identity, "id": plan_id})
            found = await self._ask(self.tables.read_plan, "plan")
        assert found is not None  # noqa: S101 - it was written, by this run or another one
        plan, theirs = found
        check_identity(self.tables.job, identity, theirs)
        await self._ask(self.tables.check_store, "plan", plan)
        if theirs["id"] != plan_id:  # another run has made it
            refs = [SessionRef(*each) for each in zip(*(plan[name].to_pylist() for name in _REF), strict=True)]
            if count_sessions(known) is not None:
                check_sessions(self.tables.job, await self._list(sessions), refs)
            await check_account(self.tables.job, self.source, refs)
        return plan, theirs["id"]

    async def _list(self, sessions: AnySessions) -> list[SessionRef]:
        listed = dict[SessionRef, None]()
        for targets in self.source.read(sessions).values():
            async for target in targets:
                listed[target] = None
        return list(listed)

    async def _plan_again(self, name: str, unfinished: Sequence[SessionRef]) -> pa.Table:
        found = await self._ask(self.tables.read_plan, name)
        if found is None:
            await self._ask(self.tables.write_plan, name, _delta_plan.make_plan(unfinished), {})
            found = await self._ask(self.tables.read_plan, name)
        assert found is not None  # noqa: S101 - as in `_find_plan`
        return found[0]

    async def _fill(self, prefix: str, slots: _delta_plan.SlotPieces, *, is_first: bool) -> None:
        """Add pieces until all slots are full."""
        is_only = sum(map(len, slots)) == 1
        first = random.randrange(len(slots))  # noqa: S311 - so that runs start apart
        left = [*range(first, len(slots)), *range(first)]
        while left:
            is_idle = True
            for slot in tuple(left):
                transaction = f"{prefix}/slot-{slot}"
                version = await self._ask(self.tables.version, transaction)
                if version >= len(slots[slot]):
                    left.remove(slot)
                elif await self.leases.take(transaction, version):
                    sessions = slots[slot][version]
                    may_go_in = not is_only and not (is_first and len(sessions) > 1)
                    await self._add(prefix, slot, version, sessions, may_go_in=may_go_in)
                    is_idle = False
            if left and is_idle:
                await anyio.sleep(1)  # other runs have leases on all that is left

    async def _add(
        self, prefix: str, slot: int, version: int, sessions: Sequence[SessionRef], *, may_go_in: bool
    ) -> None:
        """Read a piece and add it, unless another run does it first; `may_go_in` is of one that has nothing."""
        await self._check_alone()
        with TemporaryDirectory(prefix="isnotai-") as folder:
            piece = await self.reader.read(sessions, Path(folder))
            if piece.is_outage and piece.trouble is not None and not may_go_in:
                raise piece.trouble
            is_mine = await self._ask(self._commit, prefix, slot, version, piece)
        self._pieces += is_mine
        self._rows += piece.rows if is_mine else 0
        self._in_vain += 0 if is_mine else piece.requests
        self._trouble = self._trouble or piece.trouble
        if piece.trouble is not None and piece.is_outage and len(sessions) > 1:
            raise piece.trouble

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
        await self._note_run()
        if self._shares_quota:
            return
        others = await self._ask(self.tables.find_others, self.leases.run, self._host)
        if others:
            raise ConfigError(
                f"{len(others)} other runs of the job {quoted(self.tables.job)} were active in the last 10 minutes, "
                "and each would use all of the key's quota; give each a share (quota=1/n, --quota), or one limiter "
                "(limiter=RedisLimiter…, --redis)"
            )

    async def _ask(self, call: Callable[..., T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - those of the call
        """Use the tables; what goes wrong there is a `SinkError`, in words."""
        from deltalake.exceptions import DeltaError

        try:
            return await self.thread.run(call, *args, **options)
        except (DeltaError, OSError, ValueError) as error:
            raise explain_store(error, self.tables.table) from None

    async def _note_run(self) -> None:
        if self._noted is None or monotonic() - self._noted > _NOTE_SECONDS:
            await self._ask(self.tables.note_run, self.leases.run, self._host)
            self._noted = monotonic()

    @property
    def _shares_quota(self) -> bool:
        clients = [self.source.client(name) for name in self.source.regions]
        limiters = [client._paced.limiter for client in clients]  # noqa: SLF001 - no part of the public face
        return not any(isinstance(limiter, LocalLimiter) and limiter.quota == 1 for limiter in limiters)

    def _report(self, sessions: int, attempts: Sequence[Attempt]) -> TableReport:
        failed = (each for each in attempts if each.kind != "rejected")
        return TableReport(
            table=self.tables.table,
            job=self.tables.job,
            sessions=sessions,
            failures=tuple(SessionFailure(each.region, each.session_id, each.error, each.message) for each in failed),
            rejected=sum(each.kind == "rejected" for each in attempts),
            rows=self._rows,
            pieces=self._pieces,
            in_vain=self._in_vain,
            requests=self.metrics.requests,
            waited=self.metrics.waited,
            elapsed=self.metrics.elapsed,
        )


def _is_open(attempt: Attempt, refused: Mapping[SessionRef, int]) -> bool:
    """Return whether the session of an attempt is to be planned again."""
    return attempt.kind == "unfinished" or (attempt.kind == "refused" and refused[attempt.target] <= ROUNDS)
