"""The command that exports."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from attrs import define
from cyclopts import Parameter

from isnotai_async._cli import exit_codes
from isnotai_async._cli.distributed_export import Distribution, distribute
from isnotai_async._cli.export_words import say_plan, say_report, write_estimate, write_report
from isnotai_async._cli.options import (
    Connection,
    EventFilters,
    SessionFilters,
    SessionsFile,
    Writing,
    choose_sessions,
    count_ids,
    open_client,
    read_query,
)
from isnotai_async._cli.output import say
from isnotai_async._cli.progress import ExportDisplay
from isnotai_async._client import Client
from isnotai_async._models.records import Session
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    ExportError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    printable,
)
from isnotai_async.export import ExportReport, estimate_export, export_events
from isnotai_async.export.publishing import beside
from isnotai_async.export.report import is_for_good

_GO_ON = "run the same command again to go on"
_LEAVE_OUT = "to go on without this session, run the same again with --on-error collect"


async def export(
    *,
    out: Path,
    session: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    sessions_file: Path | None = None,
    all: Annotated[bool, Parameter(negative=())] = False,
    session_filters: SessionFilters = SessionFilters(),
    filters: EventFilters = EventFilters(),
    writing: Writing = Writing(),
    distribution: Distribution = Distribution(),
    estimate: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
    connection: Connection = Connection(),
) -> int:
    """Write the events of many sessions into one file, each exactly once.

    The file appears under its name when it is complete, and not before. Interrupted in whatever way, the same command
    goes on where it was. Exit codes: 0 done, 1 failed, 2 usage, 3 key refused, 4 unfinished for now (run it again),
    130 Ctrl-C, 143 SIGTERM.

    Parameters
    ----------
    out
        File to write: NAME.jsonl, NAME.jsonl.gz, NAME.csv or NAME.parquet.
    session
        Id of a session; give it as often as needed.
    sessions_file
        File with one session id a line.
    all
        Every session, or every one that the filters below let through.
    estimate
        Look at a few sessions, say what the export would take, and stop.
    json
        Write the report to stdout, as JSON.
    quiet
        Say nothing but errors.
    """
    choose = partial(choose_sessions, given=session, file=sessions_file, all=all, filters=session_filters)
    if distribution != Distribution() and not estimate:
        return await distribute(
            out,
            choose,
            distribution,
            writing=writing,
            query=read_query(filters),
            connection=connection,
            json=json,
            quiet=quiet,
        )
    async with open_client(connection) as client:
        sessions = choose(client)
        if estimate:
            write_estimate(await estimate_export(client, sessions, **read_query(filters)), json=json)
            return exit_codes.DONE
        count = count_ids(sessions)
        if count is not None and not quiet and not connection.sandbox:
            say_plan(count)
        run = _Run(out, quiet=quiet)
        report = await run.export(client, sessions, **writing.options, **read_query(filters))
        return report if isinstance(report, int) else run.end(report, json=json)


@define
class _Run:
    """One run of the command.

    Attributes:
        out: The target.
        quiet: Whether to show no progress.
    """

    out: Path
    quiet: bool
    _rows: int = 0

    async def export(
        self,
        client: Client,
        sessions: Paginator[Session] | SessionsFile | tuple[str, ...],
        **options: Any,  # noqa: ANN401 - those of export_events
    ) -> ExportReport | int:
        """Export; return the report, or the exit code where it was ended before."""
        display = ExportDisplay(quiet=self.quiet)
        with stop_on_sigterm() as stopped:
            try:
                with display:
                    return await export_events(client, sessions, self.out, on_progress=display, **options)
            except asyncio.CancelledError:
                self._rows = display.rows
                self.go_on_later("stopped by SIGTERM" if stopped else "interrupted")
                return exit_codes.TERMINATED if stopped else exit_codes.INTERRUPTED
            except (ConfigError, ExportError):
                raise
            except IsNotAIError as error:
                if not self.is_begun:
                    raise
                self._rows = display.rows
                return self.end_with(error)

    def end(self, report: ExportReport, *, json: bool) -> int:
        """Say what was done; return the exit code."""
        if json:
            write_report(report)
        self._rows = report.rows
        if not self.quiet:
            say_report(report)
        if report.is_complete:
            return exit_codes.DONE
        return self.go_on_later(f"{printable(str(self.out))} is unfinished")

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return beside(self.out, ".journal").exists()

    def end_with(self, error: IsNotAIError) -> int:
        """Say what the API's answer means for the export; return the exit code."""
        why = exit_codes.explain(error)
        if isinstance(error, InvalidRequestError) and not isinstance(error, InvalidCursorError) and not self._rows:
            say(f"isnotai: {why}")  # the command is wrong, and there is nothing to go on with
            return exit_codes.FAILED
        if is_for_good(error) and error.position is not None and error.position.session_id is not None:
            self.go_on_later(why, _LEAVE_OUT)
            return exit_codes.FAILED
        self.go_on_later(why)
        return exit_codes.exit_code(error) if isinstance(error, AuthenticationError) else exit_codes.UNFINISHED

    def go_on_later(self, why: str, how: str = _GO_ON) -> int:
        """Say why it ended before it was done, and how to go on."""
        safe = f"; {self._rows:,} rows are safe" if self._rows else ""
        say(f"isnotai: {why}{safe}; {how}")
        return exit_codes.UNFINISHED


@contextmanager
def stop_on_sigterm() -> Iterator[list[int]]:
    """Cancel this task on SIGTERM; what is yielded has the signal then."""
    received: list[int] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        received.append(signal.SIGTERM)
        if task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        yield received
        return
    try:
        yield received
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
