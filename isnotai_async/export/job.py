"""The call that exports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.queries import EventQuery
from isnotai_async._notices import overhear
from isnotai_async._streaming.options import Split, StreamOptions
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.export.books import OnExportError
from isnotai_async.export.checkpoint import Identity
from isnotai_async.export.exporter import COMMIT_BYTES, Exporter, OnProgress
from isnotai_async.export.files import Files
from isnotai_async.export.formats import Format, choose_format
from isnotai_async.export.identity import VERSION, identify_sessions
from isnotai_async.export.lock import TargetLock
from isnotai_async.export.meter import Meter
from isnotai_async.export.origin import AnySessions, Origin, find_origin
from isnotai_async.export.report import ExportReport
from isnotai_async.export.store import Store
from isnotai_async.export.thread import FileThread

_MODES: Final = ("raise", "collect", "skip")


async def export_events(  # noqa: PLR0913 - one place for all options, each with a default
    source: Client | SessionManager,
    sessions: AnySessions,
    to: str | os.PathLike[str],
    *,
    format: str | None = None,
    concurrency: int = 16,
    split: Split = None,
    resume: bool = True,
    force: bool = False,
    on_error: OnExportError = "raise",
    on_progress: OnProgress | None = None,
    formula_guard: bool = True,
    segments: bool = False,
    page_size: int | None = None,
    type: int | str | None = None,
    start_time: int | datetime | None = None,
    end_time: int | datetime | None = None,
) -> ExportReport:
    """Export the events of many sessions into one file, each row exactly once, whatever happens meanwhile.

    The file takes its name when it is complete and durable, and not before. Until then ``NAME.part`` and
    ``NAME.journal`` lie beside it. After an error, a cancellation, ``kill -9`` or a power cut, the same call goes on
    from the last commit (each second, or 4 MiB): sessions that are through are not asked for again, and the file
    becomes what it would have become (the same bytes at ``concurrency=1``, else the same rows).

    Args:
        source: A `Client`, or a `SessionManager` for the sessions of several regions.
        sessions: The sessions, as `stream_events` of the source takes them. A session that comes more than once is
            exported once. On going on they have to be the same ones, in any order. Those listed by
            ``list_sessions()`` may be more by then, and are exported too; an iterator cannot be checked.
        to: The file to make; its ending tells the format.
        format: ``"jsonl"``, ``"jsonl.gz"``, ``"csv"`` or ``"parquet"`` (extra ``arrow``), where the ending does not.
            The columns are those of `isnotai_async.export.rows`.
        concurrency: Most requests in flight.
        split: Windows of time to cut each session into, or ``"auto"``; as of `Client.stream_events`.
        resume: False removes what an earlier run left, and starts over.
        force: Replace the file if it exists.
        on_error: What becomes of a session that fails. ``"raise"``: the error ends the export, which the same call
            goes on with. ``"collect"``: the others go on; what is not there or not allowed is listed in the report,
            and if anything else failed, the export stays unfinished, and the same call tries those sessions again.
            ``"skip"``: the file is finished without them (but with what came before the error), and the report lists
            them.
        on_progress: Called with an `ExportProgress` as pages are written, on the event loop, so it has to be quick.
            What it raises is logged and ignored.
        formula_guard: In CSV, put a ``'`` before strings that a spreadsheet would run as a formula.
        segments: With Parquet, make a folder of files instead of one file.
        page_size: Events a page, as of `Client.list_events`, as all below.
        type: Message-type byte or short name.
        start_time: Earliest timestamp, inclusive.
        end_time: Latest timestamp, inclusive.

    Raises:
        ConfigError: At once, for an option that cannot work.
        SinkError: The target cannot be written, or exists (without `force`); the message says how many rows are safe.
        CheckpointError: What lies beside the target belongs to another export or is damaged; the message says what
            differs and how to start over.
        ExportLockedError: Another process is exporting to this target.
        AuthenticationError: The key was refused; with another one of the same account, the same call goes on.
        IsNotAIError: With ``on_error="raise"``, whatever ended a session.
    """
    if on_error not in _MODES:
        raise ConfigError(f"on_error must be one of {', '.join(_MODES)}, not {quoted(on_error)}")
    query = EventQuery(session_id="any", page_size=page_size, type=type, start_time=start_time, end_time=end_time)
    StreamOptions(concurrency=concurrency, split=split)  # to refuse what cannot work before anything is touched
    target = Path(to)
    chosen = choose_format(target, format, formula_guard=formula_guard, segments=segments)
    job = Job(find_origin(source), sessions, target, chosen, query)
    return await job.run(
        Files(),
        streaming={"concurrency": concurrency, "split": split},
        on_error=on_error,
        on_progress=on_progress,
        resume=resume,
        force=force,
    )


@frozen
class Job:
    """An export that can be run.

    Attributes:
        origin: Where the events come from.
        sessions: Their sessions.
        target: The file or folder to make.
        format: How.
        query: Which events; its session is that of nobody.
        commit_bytes: Bytes after which to commit, at the latest.
    """

    origin: Origin
    sessions: AnySessions
    target: Path
    format: Format
    query: EventQuery
    commit_bytes: int = COMMIT_BYTES

    async def run(
        self,
        files: Files,
        *,
        streaming: Mapping[str, Any],
        on_error: OnExportError = "raise",
        on_progress: OnProgress | None = None,
        resume: bool = True,
        force: bool = False,
    ) -> ExportReport:
        """Run it on a disk; arguments and errors as of `export_events`."""
        store = Store(files, self.target, self.format.open_sink(files, self.target))
        lock, meter = TargetLock(self.target), Meter()
        with FileThread() as thread, overhear(meter.hear):
            identity = await self._identify(strict=on_error == "raise")
            exporter = Exporter(
                origin=self.origin,
                sessions=self.sessions,
                filters=self.query.filters,
                streaming=streaming,
                on_error=on_error,
                target=self.target,
                store=store,
                thread=thread,
                meter=meter,
                on_progress=on_progress,
                count=count_sessions(identity["sessions"]),
                commit_bytes=self.commit_bytes,
            )
            try:
                await thread.run(lock.acquire)
                size = await exporter.run(identity, resume=resume, force=force)
            finally:
                try:
                    await thread.run(store.close)
                finally:
                    await thread.run(lock.release)
        return self._report(exporter, size)

    async def _identify(self, *, strict: bool) -> Identity:
        return {
            "version": VERSION,
            **self.format.identity,
            "filters": dict(self.query.filters),
            "regions": dict(self.origin.regions),
            "sessions": await identify_sessions(self.origin, self.sessions, strict=strict),
        }

    def _report(self, exporter: Exporter, size: int | None) -> ExportReport:
        return ExportReport(
            path=self.target,
            format=self.format.name,
            rows=exporter.checkpoint.rows,
            size=exporter.store.size if size is None else size,
            sessions=exporter.checkpoint.sessions,
            failures=exporter.failures,
            resumed_rows=exporter.resumed_rows,
            requests=exporter.meter.requests,
            waited=exporter.meter.waited,
            elapsed=exporter.meter.elapsed,
            is_complete=size is not None,
        )


def count_sessions(identity: Mapping[str, Any] | None) -> int | None:
    """Return how many sessions there are, where their identity tells."""
    match identity:
        case {"count": int(count)}:
            return count
        case {"named": parts}:
            counts = [count_sessions(part) for part in parts.values()]
            return None if None in counts else sum(count for count in counts if count is not None)
        case _:
            return None
