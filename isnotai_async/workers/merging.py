"""The end of a job: every planned part is there and intact, so a manifest is written, or one file.

A folder of parts is as good as a file for most readers. DuckDB reads it in one line, with no manifest at all::

    SELECT count(*) FROM 'DIR/*.parquet'    -- or 'DIR/*.jsonl', 'DIR/*.csv'
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import anyio.from_thread
import anyio.to_thread
from attrs import asdict, frozen

from isnotai_async.errors import CheckpointError, ConfigError, ExportError, SinkError, printable
from isnotai_async.export.encoding import CSV
from isnotai_async.export.formats import choose_format
from isnotai_async.export.lock import TargetLock
from isnotai_async.export.publishing import beside, publish_file, shown
from isnotai_async.export.report import SessionFailure
from isnotai_async.export.store import check_target
from isnotai_async.workers.folder import JobFolder
from isnotai_async.workers.partitions import Partition
from isnotai_async.workers.plan import Plan
from isnotai_async.workers.reports import PartReport

_CHUNK: Final = 1 << 20  # bytes
_VERSION: Final = 1

Part = tuple[Path, PartReport]


@frozen(kw_only=True)
class MergeReport:
    """What the parts of a job have become.

    Attributes:
        path: The folder, or the file they were merged into.
        format: As of the job.
        parts: How many there are.
        rows: Rows in them.
        sessions: Sessions that were read.
        failures: Sessions that are not in them, or not whole.
        size: Bytes of the parts, or of the file.
        requests: Requests that the last attempt at each part has sent.
    """

    path: Path
    format: str
    parts: int
    rows: int
    sessions: int
    failures: tuple[SessionFailure, ...]
    size: int
    requests: int


async def merge_partitions(
    folder: str | os.PathLike[str],
    to: str | os.PathLike[str] | None = None,
    *,
    force: bool = False,
    verify: bool = True,
) -> MergeReport:
    """Check that every planned part of a job is there and intact; then write the manifest, or one file of all.

    In the file the parts are in the order of the plan. The parts stay as they are. On going on after an interruption
    the file is written anew.

    Args:
        folder: The folder of the job.
        to: The file to make, with the ending of the job's format; None for the manifest alone.
        force: Replace the file if it exists.
        verify: Whether to read every part and compare its digest. Merging does so anyway.

    Raises:
        ConfigError: There is no plan in the folder, or the file's ending is of another format.
        ExportError: Parts are missing; the message says how many.
        CheckpointError: A part is damaged, or the folder has parts that are not of its plan.
        SinkError: The file cannot be written, or exists (without `force`).
        ExportLockedError: Another process is writing the file.
    """
    target = None if to is None else Path(to)
    merge = partial(_merge, Path(folder), target, force=force, verify=verify)
    return await anyio.to_thread.run_sync(merge)


def _merge(path: Path, target: Path | None, *, force: bool, verify: bool) -> MergeReport:
    plan = Plan.open(path)
    if plan is None:
        raise ConfigError(f"there is no plan in {shown(path)}; plan an export into it first")
    parts = _find_parts(plan)
    size = sum(report.size for _, report in parts)
    if target is not None:
        size = _write_file(plan, parts, target, force=force)
    elif verify:
        for part in parts:
            for _ in _read(part):
                pass
    report = _report(plan, parts, target or path, size)
    if target is None:
        plan.folder.write_manifest(_manifest(plan, report, parts))
    return report


def _find_parts(plan: Plan) -> list[Part]:
    folder, missing = plan.folder, list[Partition]()
    parts: list[Part] = []
    for partition in plan.read():
        anyio.from_thread.check_cancelled()
        report = folder.read_report(partition)
        if report is None:
            missing.append(partition)
        else:
            parts.append((folder.part(partition), report))
    if missing:
        raise ExportError(
            f"{len(missing):,} of {plan.parts:,} parts are missing in {shown(folder.path)}, the first of them "
            f"{missing[0].name}; run the export again: only what is missing is done"
        )
    _check_foreign(folder, parts)
    return parts


def _check_foreign(folder: JobFolder, parts: list[Part]) -> None:
    """Refuse parts of another plan: who reads the folder as one would have their rows, too."""
    try:
        names = folder.files.names(folder.path)
    except OSError as error:
        raise SinkError(f"cannot read {shown(folder.path)}: {error.strerror}") from None
    planned = {path.name for path, _ in parts}
    foreign = [name for name in names if name.startswith("part-") and name not in planned]
    if foreign:
        raise CheckpointError(
            f"{shown(folder.path)} has {len(foreign):,} parts that are not of its plan, the first of them "
            f"{printable(foreign[0])}; move them away, and run the same again"
        )


def _read(part: Part) -> Iterator[bytes]:
    """Read a part in chunks, and check its digest at the end."""
    path, report = part
    digest = sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                anyio.from_thread.check_cancelled()
                digest.update(chunk)
                yield chunk
    except OSError as error:
        raise SinkError(f"cannot read {shown(path)}: {error.strerror}") from None
    if digest.hexdigest() != report.sha256:
        raise CheckpointError(
            f"{shown(path)} is not what was written: it was altered or damaged. Remove it and "
            f"{report.name}.json in .job/reports, and run the export again"
        )


def _write_file(plan: Plan, parts: list[Part], target: Path, *, force: bool) -> int:
    chosen = choose_format(target, None).name
    if chosen != plan.job.format:
        raise ConfigError(
            f"the parts are {plan.job.format}, and {shown(target)} would be {chosen}; name it otherwise"
        )
    files, draft, lock = plan.folder.files, beside(target, ".part"), TargetLock(target)
    check_target(files, target, force=force, is_folder=False)
    lock.acquire()
    try:
        size = _write_draft(plan.folder, draft, _encode(plan.job.format, parts))
        publish_file(files, draft, target, size=size, force=force)
    finally:
        lock.release()
    return size


def _write_draft(folder: JobFolder, draft: Path, chunks: Iterator[bytes]) -> int:
    files, size = folder.files, 0
    descriptor = files.open(draft, create=True)
    try:
        files.truncate(descriptor, 0)
        for chunk in chunks:
            files.write(descriptor, size, chunk)
            size += len(chunk)
        files.sync(descriptor)
    except OSError as error:
        raise SinkError(f"cannot write {shown(draft)}: {error.strerror}; see to the disk, and merge again") from None
    finally:
        files.close(descriptor)
    return size


def _encode(format: str, parts: list[Part]) -> Iterator[bytes]:
    if format == "parquet":
        from isnotai_async.export.arrow import encode_tables, read_segment  # they need pyarrow, an extra

        yield from encode_tables(read_segment(b"".join(_read(part))) for part in parts)
        return
    if format == "csv" and not parts:
        yield CSV.header
    for number, part in enumerate(parts):
        chunks = _read(part)
        if format == "csv" and number:
            yield next(chunks, b"").partition(b"\n")[2]  # behind the header
        yield from chunks


def _report(plan: Plan, parts: list[Part], path: Path, size: int) -> MergeReport:
    reports = [report for _, report in parts]
    return MergeReport(
        path=path,
        format=plan.job.format,
        parts=len(reports),
        rows=sum(report.rows for report in reports),
        sessions=sum(report.sessions for report in reports),
        failures=tuple(failure for report in reports for failure in report.failures),
        size=size,
        requests=sum(report.requests for report in reports),
    )


def _manifest(plan: Plan, report: MergeReport, parts: list[Part]) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "schema_version": plan.job.schema,
        "format": report.format,
        "filters": dict(plan.job.filters),
        "rows": report.rows,
        "sessions": report.sessions,
        "size": report.size,
        "failures": [asdict(failure) for failure in report.failures],
        "parts": [
            {
                "file": path.name,
                "rows": part.rows,
                "sessions": part.sessions,
                "size": part.size,
                "sha256": part.sha256,
            }
            for path, part in parts
        ],
    }
