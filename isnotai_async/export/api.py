"""`export_events`: the call that exports."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from attrs import field, frozen

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.validation import check_no_key, explain_names, one_of
from isnotai_async._notices import capture_notices
from isnotai_async._streaming.options import Split, StreamOptions
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.export.formats import choose_format
from isnotai_async.export.identity import count_sessions, identify, read_digests, sum_sessions
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.opening import Opener, Opening, check_given
from isnotai_async.export.publishing import Publisher
from isnotai_async.export.report import ExportReport, OnProgress
from isnotai_async.export.runner import COMMIT_BYTES, Runner
from isnotai_async.export.shard import Shard
from isnotai_async.export.source import AnySessions, ExportSource, find_source
from isnotai_async.export.system import System
from isnotai_async.export.target import ExportTarget, IfExists
from isnotai_async.export.thread import FileThread
from isnotai_async.export.tracker import OnExportError, SessionTracker
from isnotai_async.export.work_store import WorkStore

_URL: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")  # one letter and a colon is a drive of Windows


@explain_names
async def export_events(  # noqa: PLR0913 - one place for all options, each with a default
    source: Client | SessionManager,
    sessions: AnySessions,
    to: str | os.PathLike[str],
    *,
    format: str | None = None,
    concurrency: int = 16,
    split: Split = None,
    shard: Shard | None = None,
    resume: bool = True,
    if_exists: IfExists = "fail",
    on_error: OnExportError = "collect",
    on_progress: OnProgress | None = None,
    formula_guard: bool = True,
    bom: bool = False,
    segments: bool = False,
    page_size: int | None = None,
    type: int | str | None = None,
    start_time: int | datetime | None = None,
    end_time: int | datetime | None = None,
) -> ExportReport:
    """Export the events of many sessions into one file, each row exactly once.

    The file takes its name when it is complete and durable, and not before. Until then the rows are in a work store
    next to it, ``.NAME.isnotai``. After an error, a cancellation, ``kill -9`` or a power cut the same call resumes
    from the last commit (each second, or 4 MiB). The file has the sessions in the order in which they were given, and
    their rows as the API gave them: the same bytes at any concurrency, however often it was interrupted.

    When the file is there, the store shrinks to a receipt: the same call again finds it and returns its report.

    Example:
        >>> report = await isnotai.export_events(client, ["big-100", "big-300"], "events.parquet")
        >>> report.is_complete, report.rows, report.failures
        (True, 400, ())

    Args:
        source: A `Client`, or a `SessionManager` for the sessions of several regions.
        sessions: The sessions, as `stream_events` of the source takes them. A session that comes more than once is
            exported once. On resuming they have to be the same ones, in any order. If
            ``list_sessions()`` has new sessions when you resume, they are exported too. With an iterator, this check
            is not made.
        to: The file to make; its ending decides the format.
        format: ``"jsonl"``, ``"jsonl.gz"``, ``"csv"``, ``"parquet"`` (extra ``arrow``) or ``"sqlite"``, if the ending
            does not decide it. It may be another one on resuming.
        concurrency: Most requests in flight.
        split: Windows of time to cut each session into, or ``"auto"``; as of `Client.stream_events`.
        shard: ``(k, n)`` exports the k-th of n shards, from 1: each session is in exactly one of them, the same in
            every release. None exports all sessions.
        resume: False removes what an earlier run left, and starts over.
        if_exists: What to do if `to` exists and is not the result of this same call: ``"fail"``, ``"skip"`` (return
            at once) or ``"replace"``.
        on_error: What to do if a session fails. ``"collect"``: the others continue. Sessions that the API refused are
            in the report, and the file is finished; the same call tries just those again. If anything else failed,
            the export stays unfinished, and the same call resumes it. ``"raise"``: the error ends the export, which
            the same call resumes.
        on_progress: Called with an `ExportProgress` as pages come, on the event loop, so it has to be quick. What it
            raises is logged and ignored.
        formula_guard: In CSV, put a ``'`` before strings that a spreadsheet would run as a formula.
        bom: In CSV, start with a byte order mark, for spreadsheets.
        segments: With Parquet, make a folder of files instead of one file.
        page_size: Events a page, as of `Client.list_events`, as all below.
        type: Message-type byte or short name.
        start_time: Earliest timestamp, inclusive.
        end_time: Latest timestamp, inclusive.

    Returns:
        What was done. `ExportReport.is_complete` is False if the same call is to be made again.

    Raises:
        ConfigError: At once, for an option that cannot work.
        SinkError: The target cannot be written, or exists; the message says how many rows are safe.
        StoreError: The work store belongs to another export, is damaged, or was removed.
        ExportLockedError: Another export of this target is running.
        AuthenticationError: The key was refused; with another one of the same account, the same call resumes.
        ExportError: The API refused every session; nothing was published.
        IsNotAIError: With ``on_error="raise"``, the error of a session.
    """
    one_of(if_exists, "if_exists", get_args(IfExists))
    job = plan_export(
        source,
        sessions,
        to,
        format=format,
        concurrency=concurrency,
        split=split,
        shard=shard,
        on_error=on_error,
        formula_guard=formula_guard,
        bom=bom,
        segments=segments,
        page_size=page_size,
        type=type,
        start_time=start_time,
        end_time=end_time,
    )
    return await job.run(resume=resume, if_exists=if_exists, on_progress=on_progress)


def plan_export(
    source: Client | SessionManager,
    sessions: AnySessions,
    to: str | os.PathLike[str],
    *,
    format: str | None = None,
    concurrency: int = 16,
    split: Split = None,
    shard: Shard | None = None,
    on_error: OnExportError = "collect",
    started: datetime | None = None,
    **options: Any,  # noqa: ANN401 - those of `choose_format` and `EventFilters`
) -> ExportJob:
    """Return an export that can be run; arguments and errors as of `export_events`.

    `started` is the time from which relative times were counted; default now.
    """
    one_of(on_error, "on_error", get_args(OnExportError))
    form = {name: options.pop(name) for name in ("formula_guard", "bom", "segments") if name in options}
    query = EventFilters(**options)
    StreamOptions(concurrency=concurrency, split=split)  # to reject what cannot work before anything is touched
    path = check_target_name(to)
    return ExportJob(
        source=find_source(source, sessions, shard),
        target=ExportTarget(path, choose_format(path, format, **form), System()),
        query=query,
        # The windows of a split session come in time order, so that the rows do, too.
        streaming={"concurrency": concurrency, "split": split, "ordered": split is not None},
        on_error=on_error,
        started=started or datetime.now(UTC),
    )


def check_target_name(to: str | os.PathLike[str]) -> Path:
    """Return the path of a target.

    Raises:
        ConfigError: It is a URL, standard output, no name of a file, or one with an API key in it.
    """
    text = os.fspath(to)
    if text == "-":
        raise ConfigError(
            "an export needs a file, so that it can resume; to write events to stdout, use `isnotai events SESSION`"
        )
    if _URL.match(text):
        raise ConfigError(
            f"{quoted(text)} is a URL, and an export is written to a local path; export to a file, and copy it when "
            "it is there"
        )
    target = Path(text)
    if not target.name or "\0" in text:
        raise ConfigError(f"{quoted(text)} is no name of a file to write to")
    check_no_key(target.name, "the name of the file")
    return target


@frozen(kw_only=True, eq=False, repr=False)
class ExportJob:
    """An export with its options checked, ready to run."""

    source: ExportSource
    target: ExportTarget
    query: EventFilters
    streaming: Mapping[str, Any]
    on_error: OnExportError = "collect"
    started: datetime = field(factory=partial(datetime.now, UTC))
    commit_bytes: int = COMMIT_BYTES

    async def run(
        self, *, resume: bool = True, if_exists: IfExists = "fail", on_progress: OnProgress | None = None
    ) -> ExportReport:
        """Run it; arguments and errors as of `export_events`."""
        tracker = SessionTracker(
            source=self.source,
            filters=self.query.filters,
            on_error=self.on_error,
            metrics=ExportMetrics(),
        )
        store = WorkStore(self.target.path, self.target.system)
        publisher = Publisher(store, self.target, tuple(self.source.read()))
        with FileThread(store.explain) as thread, capture_notices(tracker.metrics.on_notice):
            strict = self.on_error == "raise"
            identity = await identify(self.source, filters=self.query.filters, strict=strict)
            identity = {**identity, "started": self.started.isoformat()}
            opener = Opener(publisher=publisher, identity=identity, resume=resume, if_exists=if_exists)
            try:
                opening = await thread.run(_open, opener, tracker)
                if opening.report is not None:
                    return opening.report
                if opening.is_unproven:
                    given = await read_digests(self.source)
                    await thread.run(check_given, store, given)
                runner = Runner(
                    tracker=tracker,
                    store=store,
                    thread=thread,
                    streaming=self.streaming,
                    on_progress=on_progress,
                    count=count_sessions(identity["sessions"]),
                    commit_bytes=self.commit_bytes,
                )
                try:
                    await runner.read()
                    return await _finish(thread, opener, tracker, opening)
                except BaseException:
                    if tracker.is_fruitless:
                        await thread.run(store.abandon)
                    raise
            finally:
                await thread.run(store.close)


def _open(opener: Opener, tracker: SessionTracker) -> Opening:
    store = opener.publisher.store
    try:
        opening = opener.open()
        if opening.report is None and opening.totals.sessions:
            tracker.load(store.read_sessions(), opening.totals, only_failed=opening.only_failed)
    except (ConfigError, ValueError):  # of a position
        raise store.damaged("sessions") from None
    return opening


async def _finish(thread: FileThread, opener: Opener, tracker: SessionTracker, opening: Opening) -> ExportReport:
    publisher, metrics = opener.publisher, tracker.metrics
    report = ExportReport(
        path=publisher.target.path,
        format=publisher.target.format.name,
        rows=tracker.rows,
        size=publisher.store.size,
        sessions=tracker.taken,
        failures=tuple(tracker.describe_failures()),
        rejected=tracker.totals.rejected,
        resumed_rows=opening.totals.rows,
        requests=metrics.requests,
        waited=metrics.waited,
        elapsed=metrics.elapsed,
        is_complete=False,
    )
    if tracker.failures or tracker.has_open:
        return report
    with thread.too_late_to_cancel():
        return await thread.run(
            publisher.publish,
            report,
            sessions=sum_sessions(opener.identity["sessions"]) or tracker.taken_digest,
            replace=opening.replace,
            keep_pages=bool(tracker.failed),
        )
