"""One partition into one part, by whoever gets hold of it. What makes that harmless is told in `folder`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._streaming.options import Split
from isnotai_async.errors import ConfigError, ExportLockedError, IsNotAIError, quoted
from isnotai_async.export import ExportReport, export_events
from isnotai_async.export.exporter import OnProgress
from isnotai_async.export.lock import TargetLock
from isnotai_async.export.origin import AnySessions, find_origin
from isnotai_async.export.store import explain_failure
from isnotai_async.export.thread import FileThread
from isnotai_async.workers.folder import JobFolder, digest_file, find_job_folder
from isnotai_async.workers.partitions import Partition
from isnotai_async.workers.reports import Outcome, PartReport, PartResult


async def export_partition(
    source: Client | SessionManager,
    partition: Partition,
    folder: str | os.PathLike[str],
    *,
    concurrency: int = 16,
    split: Split = None,
    on_progress: OnProgress | None = None,
) -> PartResult:
    """Export a partition into its part, each row exactly once, however often and by whomever this is called.

    A part that is finished is left as it is; one that another process is at is left to it; one that was left in the
    middle, by an error, a cancellation or a kill, is gone on with.

    Args:
        source: A `Client`, or a `SessionManager` that has the names of the partition's sessions.
        partition: The partition.
        folder: The folder of its job, with the plan.
        concurrency: Most requests in flight.
        split: As of `export_events`.
        on_progress: Likewise.

    Raises:
        ConfigError: The folder has no plan of this job, or the source lacks a name.
        CheckpointError: A finished part is gone, or what was left in the middle is damaged.
        SinkError: The disk failed, or another file has the part's name.
        IsNotAIError: What else `export_events` raises.
    """
    _check_names(source, partition)
    with FileThread() as thread:
        place = await thread.run(find_job_folder, Path(folder), partition)
        if report := await thread.run(place.read_report, partition):
            return PartResult(Outcome.FOUND, report)
        lock = TargetLock(place.unfinished / partition.name)
        try:
            await thread.run(lock.acquire)
            return await _export(
                source, partition, place, thread, concurrency=concurrency, split=split, on_progress=on_progress
            )
        except ExportLockedError:
            return PartResult(Outcome.BUSY)
        except OSError as error:
            if isinstance(error, IsNotAIError):  # one of the transport's: it is a TimeoutError too
                raise
            raise explain_failure(error, place.part(partition), None) from None
        finally:
            await thread.run(lock.release)


async def _export(
    source: Client | SessionManager,
    partition: Partition,
    place: JobFolder,
    thread: FileThread,
    **options: Any,  # noqa: ANN401 - those of export_events
) -> PartResult:
    if report := await thread.run(place.read_report, partition):  # finished just before the lock was ours
        return PartResult(Outcome.FOUND, report)
    if not await thread.run(place.prepare, partition):
        exported = await export_events(
            source,
            _sessions_for(source, partition),
            place.draft(partition),
            format=partition.format,
            on_error=partition.on_error,
            formula_guard=partition.formula_guard,
            **cast(Mapping[str, Any], partition.filters),
            **options,
        )
        if not exported.is_complete:
            return PartResult(Outcome.UNFINISHED, failures=exported.failures)
        sha256 = await thread.run(digest_file, exported.path)
        await thread.run(place.write_draft_report, _report(partition, exported, sha256))
    return PartResult(Outcome.DONE, await thread.run(place.publish, partition))


def _sessions_for(source: Client | SessionManager, partition: Partition) -> AnySessions:
    if isinstance(source, SessionManager):
        return [(target.name, target.session_id) for target in partition.sessions]
    return [target.session_id for target in partition.sessions]


def _check_names(source: Client | SessionManager, partition: Partition) -> None:
    names = {target.name for target in partition.sessions}
    known = find_origin(source).regions
    if missing := names - known.keys():
        raise ConfigError(
            f"the partition has sessions of {quoted(sorted(missing))}, and this worker asks {quoted(sorted(known))}; "
            "give it the keys of all of them"
        )


def _report(partition: Partition, exported: ExportReport, sha256: str) -> PartReport:
    return PartReport(
        name=partition.name,
        job=partition.job,
        index=partition.index,
        rows=exported.rows,
        sessions=exported.sessions,
        failures=exported.failures,
        size=exported.size,
        sha256=sha256,
        requests=exported.requests,
        waited=exported.waited,
        elapsed=exported.elapsed,
    )
