"""The command `isnotai export`: its arguments, its run, and its messages before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from attrs import frozen
from cyclopts import Parameter
from rich.filesize import decimal

from isnotai_async._cli import exit_codes
from isnotai_async._cli.delta_export import check_delta, end_delta, run_delta
from isnotai_async._cli.event_types import check_type
from isnotai_async._cli.export_options import Writing, choose_sessions, count_ids
from isnotai_async._cli.intervals import Clock, Interval
from isnotai_async._cli.long_runs import end_cancelled, end_with, say_failures, say_unfinished, stop_on_signals
from isnotai_async._cli.options import EventOptions, Flag, LongConnection, SessionFilters, open_client
from isnotai_async._cli.output import count_of, say, write_json
from isnotai_async._cli.progress import ExportDisplay
from isnotai_async._cli.session_ids import SessionsFile
from isnotai_async._client import Client
from isnotai_async._models.records import Session
from isnotai_async._models.tiers import Tier
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import (
    ConfigError,
    ExportError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    SinkError,
    printable,
)
from isnotai_async.export import ExportEstimate, ExportReport, estimate_export, export_store
from isnotai_async.export.api import check_target_name, plan_export
from isnotai_async.export.opening import find_start
from isnotai_async.export.places import rejected_of, store_of
from isnotai_async.export.report import is_for_good


def say_plan(sessions: int) -> None:
    """Write the minimum time for a number of sessions to stderr. It sends no request."""
    least = f"{count_of(sessions, 'session')}, so {count_of(sessions, 'request')} or more"
    if sessions < min(tier.requests_per_minute for tier in Tier):
        say(least)
        return
    each = ", ".join(f"{_minutes(sessions / tier.requests_per_minute)} on {tier}" for tier in reversed(Tier))
    say(f"{least}: by the quota, at least {each}")


def write_estimate(estimate: ExportEstimate, *, json: bool) -> None:
    """Write an estimate to stdout."""
    if json:
        write_json(estimate)
        return
    for name, value in _estimate_rows(estimate):
        print(f"{name:<18}{value}")


def _estimate_rows(estimate: ExportEstimate) -> Iterator[tuple[str, str]]:
    unknown = "not known before all sessions are listed"
    yield "sessions", unknown if estimate.sessions is None else f"{estimate.sessions:,}"
    if not estimate.sampled:
        yield "events", "not known: none of the sampled sessions exists"
        return
    yield "events", f"about {estimate.events_each:,.0f} a session, by {estimate.sampled} of them"
    if estimate.events is not None:
        yield "", f"about {estimate.events:,} in all"
    yield "requests", f"about {estimate.pages_each:,.1f} a session"
    if estimate.pages is not None:
        yield "", f"about {estimate.pages:,} in all"
    if estimate.minutes is not None:
        yield "time", f"about {_minutes(estimate.minutes)} at the quota of tier {estimate.tier}"


def say_report(report: ExportReport, if_empty: str = "") -> None:
    """Write the report of an export to stderr, for people.

    Args:
        report: The report.
        if_empty: What to add if there is no row.
    """
    if report.is_skipped:
        say(f"{printable(str(report.path))} exists; nothing was done")
        return
    if report.is_complete:
        say(
            f"exported {count_of(report.rows, 'event')} of {count_of(report.sessions, 'session')} to "
            f"{printable(str(report.path))} "
            f"({decimal(report.size)}) in {report.elapsed:.1f} s"
        )
    if not report.sessions or (if_empty and not report.rows):
        say(f"isnotai: warning: there was no {'event' if report.sessions else 'session'} to export{if_empty}")
    for name, value in _report_rows(report):
        say(f"  {name:<10}{value}")
    say_failures(report.failures)


def _report_rows(report: ExportReport) -> Iterator[tuple[str, str]]:
    if report.resumed_rows:
        yield "resumed", f"{report.resumed_rows:,} rows were there from before"
    yield "requests", f"{report.requests:,}"
    if report.waited >= 0.05:
        yield "waited", f"{report.waited:.1f} s for the quota or before a retry"
    if report.failures:
        yield "failed", count_of(len(report.failures), "session")
    if report.rejected and report.is_complete:
        yield "set aside", f"{count_of(report.rejected, 'record')}, in {printable(rejected_of(report.path).name)}"


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return "a minute" if minutes > 0.5 else f"{max(1, round(minutes * 60))} s"
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.1f} hours"


_OUT = (  # of two lines here, and of one in the help
    "File to write: NAME.jsonl, NAME.jsonl.gz, NAME.csv, NAME.parquet or NAME.sqlite. With --format delta, the "
    "folder or URL of a Delta table."
)
_LEAVE_OUT = "to resume without this session, run the same again with --on-error collect"


async def export(
    *,
    out: Annotated[str, Parameter(allow_leading_hyphen=True, help=_OUT)],
    session: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    sessions_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    all: Flag = False,
    from_: Annotated[Path | None, Parameter(name="--from")] = None,
    session_filters: SessionFilters = SessionFilters(),
    filters: EventOptions = EventOptions(),
    writing: Writing = Writing(),
    estimate: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
    connection: LongConnection = LongConnection(),
) -> int:
    """Write the events of many sessions into one file, each exactly once.

    The file appears under its name only when it is complete. If the export is interrupted, run the same command again
    to resume. Exit codes: 0 done, 1 failed, 2 usage, 3 key rejected, 4 unfinished (run it again), 5 finished, but
    sessions failed or records were set aside, 130 Ctrl-C, 143 SIGTERM.

    Parameters
    ----------
    session
        Id of a session; give it as often as needed.
    sessions_file
        File of session ids: one a line, JSON objects with an id, one JSON array, or CSV of the column id; - is stdin.
    all
        All sessions, or all that match the filters below.
    from_
        Event store that isnotai sync created; all its events are written, without a request to the API.
    estimate
        Read a few sessions, show how long the export would take, and stop.
    json
        Write the report to stdout, as JSON.
    quiet
        Show only errors.
    """
    if from_ is not None:
        asked = session or sessions_file or all or estimate or filters != EventOptions()
        if asked or session_filters != SessionFilters():
            raise ConfigError("--from writes a store whole; leave out --estimate and what chooses sessions or events")
        return _Run(Path(out), quiet=quiet).end(await export_store(from_, out, **writing.store_options), json=json)
    is_delta = check_delta(out, writing)
    started = None if is_delta or writing.no_resume or estimate else find_start(check_target_name(out))
    started = started or datetime.now(UTC)
    # Relative times count from when the export was started, so that it can resume.
    clock = connection.clock if connection.sandbox else Clock(started)
    intervals = (session_filters.interval(clock), filters.interval(clock))
    query = filters.query(intervals[1])
    for interval in () if quiet else intervals:
        interval.say()
    async with open_client(connection) as client:
        every = partial(client.list_sessions, **session_filters.query(intervals[0]))
        is_filtered = session_filters != SessionFilters()
        sessions = choose_sessions(session, sessions_file, every if all else None, is_filtered=is_filtered)
        count = None if writing.shard else count_ids(sessions)  # reads all ids before the first request
        if is_delta or writing.no_resume or not store_of(check_target_name(out)).exists():
            await check_type(client, filters.type, sessions)
        if estimate:
            found = await estimate_export(client, sessions, shard=writing.options["shard"], **query)
            write_estimate(found, json=json)
            return exit_codes.DONE
        if is_delta:
            done = await run_delta(client, sessions, out, writing=writing, query=query, redis=connection.redis)
            return done if isinstance(done, int) else end_delta(done, out, writing.job, json=json, quiet=quiet)
        if count is not None and not quiet and not connection.sandbox:
            say_plan(count)
        run = _Run(Path(out), quiet=quiet, intervals=intervals)
        report = await run.export(client, sessions, started=started, **writing.options, **query)
        return report if isinstance(report, int) else run.end(report, json=json)


@frozen
class _Run:
    """One run of the command.

    Attributes:
        out: The target.
        quiet: Whether to show no progress.
        intervals: The times that the options choose by.
    """

    out: Path
    quiet: bool
    intervals: tuple[Interval, ...] = ()

    async def export(
        self,
        client: Client,
        sessions: Paginator[Session] | SessionsFile | tuple[str, ...],
        **options: Any,  # noqa: ANN401 - those of `plan_export` and of running it
    ) -> ExportReport | int:
        """Run the export; return the report, or the exit code if it did not finish."""
        display = ExportDisplay(quiet=self.quiet)
        how = {name: options.pop(name) for name in ("resume", "if_exists")}
        with stop_on_signals() as stopped:
            try:
                with display:
                    job = plan_export(client, sessions, self.out, **options)
                    return await job.run(on_progress=display, **how)
            except asyncio.CancelledError:
                return end_cancelled(stopped, rows=display.rows)
            except SinkError as error:
                # The sandbox's clock stands still.
                moving = [each.relative for each in self.intervals if each.relative and not each.clock.is_sandbox]
                if moving and self.out.exists():
                    error.add_note(f"{moving[0]} is another interval now; write a date to run the same again")
                raise
            except (ConfigError, ExportError):
                raise
            except IsNotAIError as error:
                return _end_with(error, display.rows)

    def end(self, report: ExportReport, *, json: bool) -> int:
        """Write the report; return the exit code."""
        if json:
            write_json(report)
        if not self.quiet:
            say_report(report, max((each.if_empty for each in self.intervals), default=""))
        if report.is_complete:
            return exit_codes.INCOMPLETE if report.failures or report.rejected else exit_codes.DONE
        say_unfinished(f"{printable(str(self.out))} is unfinished", rows=report.rows)
        return exit_codes.UNFINISHED


def _end_with(error: IsNotAIError, rows: int) -> int:
    """Write what an error means for the export to stderr; return the exit code."""
    why = exit_codes.explain(error)
    if isinstance(error, InvalidRequestError) and not isinstance(error, InvalidCursorError) and not rows:
        say(f"isnotai: {why}")  # the command is wrong, and there is nothing to resume
        return exit_codes.FAILED
    if is_for_good(error) and error.position is not None and error.position.session_id is not None:
        say_unfinished(why, rows=rows, how=_LEAVE_OUT)
        return exit_codes.FAILED
    return end_with(error, rows=rows)
