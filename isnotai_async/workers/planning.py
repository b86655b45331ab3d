"""Planning a distributed export: what is wanted, and which sessions belong to which partition."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Final

import anyio.to_thread
from anyio import CancelScope
from attrs import asdict

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.positions import Target
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.validation import check_int
from isnotai_async.errors import CheckpointError, ConfigError, IsNotAIError, quoted
from isnotai_async.export.checkpoint import digest_target
from isnotai_async.export.formats import choose_format
from isnotai_async.export.identity import identify_sessions
from isnotai_async.export.lock import TargetLock
from isnotai_async.export.origin import AnySessions, Targets, find_origin
from isnotai_async.export.publishing import shown
from isnotai_async.export.store import explain_failure
from isnotai_async.workers.folder import JobFolder
from isnotai_async.workers.partitions import LARGEST, MODES, Job, OnPartError, Partition
from isnotai_async.workers.plan import Plan, PlanWriter

_LABELS: Final = {
    "version": "version of the plan",
    "schema": "version of the rows' schema",
    "size": "sessions of a partition",
    "on_error": "way with errors",
    "formula_guard": "formula guard",
    "filters": "filters of the events",
}


async def describe_job(
    source: Client | SessionManager,
    sessions: AnySessions,
    *,
    format: str = "jsonl",
    size: int = 200,
    on_error: OnPartError = "collect",
    formula_guard: bool = True,
    page_size: int | None = None,
    type: int | str | None = None,
    start_time: int | datetime | None = None,
    end_time: int | datetime | None = None,
) -> Job:
    """Describe a distributed export.

    Args:
        source: Where the events come from; its key is no part of the job.
        sessions: The sessions, as `export_events` takes them.
        format: ``"jsonl"``, ``"jsonl.gz"``, ``"csv"`` or ``"parquet"`` (extra ``arrow``).
        size: Most sessions of a partition. A partition is what is given to a worker at once: its requests should
            take some minutes at most.
        on_error: What becomes of a session that fails: ``"collect"``, ``"skip"`` or ``"raise"``, as of
            `export_events`.
        formula_guard: As of `export_events`, as all below.
        page_size: Events a page.
        type: Message-type byte or short name.
        start_time: Earliest timestamp, inclusive.
        end_time: Latest timestamp, inclusive.

    Raises:
        ConfigError: An option that cannot work.
    """
    if on_error not in MODES:
        raise ConfigError(f"on_error must be one of {', '.join(MODES)}, not {quoted(on_error)}")
    origin = find_origin(source)
    query = EventQuery(session_id="any", page_size=page_size, type=type, start_time=start_time, end_time=end_time)
    chosen = choose_format(Path("part"), format, formula_guard=formula_guard)
    return Job(
        format=chosen.name,
        size=check_int(size, "size", 1, LARGEST),
        on_error=on_error,
        formula_guard=formula_guard,
        filters=dict(query.filters),
        regions=dict(origin.regions),
        sessions=await identify_sessions(origin, sessions),
    )


async def plan_partitions(
    source: Client | SessionManager, sessions: AnySessions, job: Job
) -> AsyncGenerator[Partition, None]:
    """Cut sessions into partitions, in their order, each as it is needed.

    Args:
        source: As of `describe_job`.
        sessions: Likewise. A session that comes more than once belongs to the first partition only.
        job: What it returned.

    Raises:
        ConfigError: While it is read: a session that can be none.
    """
    index, chunk = 0, list[Target]()
    async with aclosing(_read_once(find_origin(source).read(sessions))) as targets:
        async for target in targets:
            chunk.append(target)
            if len(chunk) == job.size:
                yield job.partition(index, tuple(chunk))
                index, chunk = index + 1, []
    if chunk:
        yield job.partition(index, tuple(chunk))


async def _read_once(sources: Targets) -> AsyncGenerator[Target, None]:
    seen = set[bytes]()
    for source in sources.values():
        async with aclosing(source) as targets:
            async for target in targets:
                name = digest_target(target)
                if name not in seen:
                    seen.add(name)
                    yield target


async def make_plan(
    source: Client | SessionManager, sessions: AnySessions, folder: str | os.PathLike[str], job: Job
) -> Plan:
    """Make the plan of a job, or find the one that was made before.

    A plan that is there is kept, with the sessions that it has. Those of a listing may be more by now; they are left
    for another job, with a folder of its own.

    Args:
        source: As of `describe_job`.
        sessions: Likewise.
        folder: The folder of the job; it is made where there is none.
        job: What `describe_job` returned.

    Raises:
        CheckpointError: The folder has the plan of another job; the message says what differs.
        ExportLockedError: Another process is planning into the folder.
        SinkError: The folder or the plan cannot be written.
        IsNotAIError: What listing the sessions raised.
    """
    place = JobFolder(Path(folder))
    if there := await _find_plan(place, job):
        return there
    await anyio.to_thread.run_sync(place.make)
    lock = TargetLock(place.plan)
    try:
        await anyio.to_thread.run_sync(lock.acquire)
        # Another may have finished one just before the lock was ours.
        return await _find_plan(place, job) or await _write_plan(source, sessions, place, job)
    finally:
        with CancelScope(shield=True):
            await anyio.to_thread.run_sync(lock.release)


async def _find_plan(place: JobFolder, job: Job) -> Plan | None:
    there = await anyio.to_thread.run_sync(Plan.open, place.path)
    if there is not None:
        _check_same(job, there)
    return there


async def _write_plan(source: Client | SessionManager, sessions: AnySessions, place: JobFolder, job: Job) -> Plan:
    writer = PlanWriter(place, job)
    try:
        async with aclosing(plan_partitions(source, sessions, job)) as partitions:
            async for partition in partitions:
                if writer.add(partition):
                    await anyio.to_thread.run_sync(writer.flush)
        await anyio.to_thread.run_sync(writer.finish)
    except OSError as error:
        if isinstance(error, IsNotAIError):
            raise
        raise explain_failure(error, place.plan, None) from None
    finally:
        writer.close()
    return Plan(place, job, writer.parts, writer.sessions, writer.id)


def _check_same(job: Job, plan: Plan) -> None:
    ours, theirs = asdict(job), asdict(plan.job)
    for name, our in ours.items():
        their = theirs[name]
        if our == their or (name == "sessions" and None in {type(our), type(their)} - {dict}):
            continue
        raise CheckpointError(
            f"{shown(plan.folder.path)} has another job: its {_LABELS.get(name, name)} {_say(their)}, now "
            f"{_say(our)}. Run that one again to finish it, or choose another folder"
        )


def _say(value: object) -> str:
    match value:
        case {"count": int(count), "digest": str(digest)}:
            return f"{count:,} given (digest {digest[:8]})"
        case _:
            return quoted(value)
