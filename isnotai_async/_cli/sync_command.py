"""The command `isnotai sync`: its arguments, its run, and its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from cyclopts import Parameter
from rich.filesize import decimal

from isnotai_async._cli import exit_codes
from isnotai_async._cli.event_types import check_type
from isnotai_async._cli.long_runs import end_cancelled, end_with, say_failures, say_unfinished, stop_on_signals
from isnotai_async._cli.options import Flag, LongConnection, open_client
from isnotai_async._cli.output import say, write_json
from isnotai_async._cli.progress import ExportDisplay
from isnotai_async._cli.times import read_duration
from isnotai_async._client import Client
from isnotai_async.errors import (
    ConfigError,
    ExportError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    NotFoundError,
    PermissionDeniedError,
    printable,
)
from isnotai_async.export import StoreReport, update_store
from isnotai_async.export.places import rejected_of


@Parameter(name="*", group="Rules")
@attrs.frozen(kw_only=True)
class Rules:
    """The options that decide which sessions are checked, and when a session is read."""

    since: str | None = None
    """First run only: sessions created at or after 30d, yesterday, 2026-06-10, 2026-06-10T12:00:00Z; default all"""
    watch: str = "7d"
    """How long after its creation a session's record is checked again"""
    settle: str = "24h"
    """How long a session has to be quiet before it is read"""
    max_open: str = "30d"
    """After how long an active session is read for the last time"""
    include_open: Flag = False
    """Read active sessions too"""


async def sync(
    *,
    out: Path,
    rules: Rules = Rules(),
    type: str | None = None,
    status: str | None = None,
    bot_only: Flag = False,
    concurrency: int = 16,
    json: Flag = False,
    quiet: Flag = False,
    connection: LongConnection = LongConnection(),
) -> int:
    """Bring an SQLite database of sessions and events up to date. Run it each night, say.

    Other programs can read the database at any time. If the sync is interrupted, run the same command again to
    resume. Exit codes: 0 done, 1 failed, 2 usage, 3 key rejected, 4 unfinished (run it again), 5 done, but data may
    be missing (see the report), 130 Ctrl-C, 143 SIGTERM.

    Parameters
    ----------
    out
        The database, such as events.db. Its tables are events and sessions.
    type
        Only events of this message-type byte or short name. This and the next two must be the same in each run.
    status
        Only sessions of this status.
    bot_only
        Only sessions with a bot score of at least 0.7.
    concurrency
        Maximum number of requests in flight.
    json
        Write the report to stdout, as JSON.
    quiet
        Show only errors.
    """
    interval = connection.clock.read("sessions created", ("--since", rules.since))
    if not quiet:
        interval.say()
    options = {
        "start_date": interval.start,
        "watch": read_duration(rules.watch, "--watch"),
        "settle": read_duration(rules.settle, "--settle"),
        "max_open": read_duration(rules.max_open, "--max-open"),
        "include_open": rules.include_open,
        "type": type,
        "status": status,
        "bot_only": bot_only,
        "concurrency": concurrency,
    }
    async with open_client(connection) as client:
        if not _is_there(out):
            await check_type(client, type, client.list_sessions(status=status, bot_only=bot_only or None))
        report = await _run(client, out, options, quiet=quiet)
    return report if isinstance(report, int) else _end(report, json=json, quiet=quiet)


def _is_there(path: Path) -> bool:
    """Return whether a database exists, whose first run checked the type."""
    return path.exists()


async def _run(client: Client, out: Path, options: Mapping[str, Any], *, quiet: bool) -> StoreReport | int:
    """Run the sync; return the report, or the exit code if it did not finish."""
    display = ExportDisplay(quiet=quiet)
    with stop_on_signals() as stopped:
        try:
            with display:
                return await update_store(client, out, on_progress=display, **options)
        except asyncio.CancelledError:
            return end_cancelled(stopped)
        except IsNotAIError as error:
            return _end_with(error)


def _end_with(error: IsNotAIError) -> int:
    """Write the reason why the run ended to stderr; return the exit code."""
    refused = InvalidRequestError | NotFoundError | PermissionDeniedError
    if isinstance(error, ConfigError) or (isinstance(error, ExportError) and not error.is_temporary):
        raise error
    if isinstance(error, refused) and not isinstance(error, InvalidCursorError):
        raise error
    if isinstance(error, ExportError):
        say(f"isnotai: {error}")
        return exit_codes.UNFINISHED
    return end_with(error)


def _end(report: StoreReport, *, json: bool, quiet: bool) -> int:
    """Write the result to stderr or stdout; return the exit code."""
    if json:
        write_json(report)
    if not quiet:
        _say_report(report)
    if not report.is_complete:
        say_unfinished(f"{printable(str(report.path))} is not up to date yet")
        return exit_codes.UNFINISHED
    return exit_codes.INCOMPLETE if report.has_doubts else exit_codes.DONE


def _say_report(report: StoreReport) -> None:
    say(
        f"added {report.added:,} events in {report.elapsed:.1f} s; {printable(str(report.path))} has "
        f"{report.rows:,} events of {report.sessions:,} sessions ({decimal(report.size)})"
    )
    for name, value in _rows(report):
        say(f"  {name:<10}{value}")
    say_failures(report.failures)
    for region in report.gaps:
        say(
            f"isnotai: warning: the last sync of {printable(region)} is longer ago than the API looks back, so "
            "sessions and events may be missing for good; sync more often"
        )
    if report.unseen:
        say(
            f"isnotai: warning: an audit found {report.unseen:,} events in sessions whose records are unchanged. "
            "They were added; other sessions may have such events too. From now on each session is read once more "
            "when it leaves the watched days; a longer --settle finds such events earlier"
        )


_ODD_ONES: Final = {
    "waiting": "sessions were active just now; a later run reads them",
    "abandoned": "sessions were still open at --max-open, and are not looked at again",
    "expired": "sessions have events here that the API no longer gives",
    "differing": "events have another content now; the first one stays",
}


def _rows(report: StoreReport) -> Iterator[tuple[str, str]]:
    yield "listed", f"{report.listed:,} sessions, {report.new_sessions:,} of them new"
    yield "read", f"{report.read:,} sessions, {report.audited:,} of them as an audit"
    for name, text in _ODD_ONES.items():
        if count := getattr(report, name):
            yield name, f"{count:,} {text}"
    if report.rejected:
        yield "set aside", f"{report.rejected:,} records that could not be read, in {rejected_of(report.path).name}"
    yield "requests", f"{report.requests:,}"
    if report.waited >= 0.05:
        yield "waited", f"{report.waited:.1f} s for the quota or before a retry"
    if report.failures:
        yield "failed", f"{len(report.failures):,} sessions"
