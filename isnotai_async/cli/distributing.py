"""The export by workers: what ``isnotai export --workers`` does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Annotated, Any, Final, Self

import attrs
from attrs import frozen
from cyclopts import Group, Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isnotai_async.cli import outcome
from isnotai_async.cli.export_options import SessionsFile, Writing
from isnotai_async.cli.options import Connection, open_client
from isnotai_async.cli.output import say, write_json
from isnotai_async.client import Client
from isnotai_async.errors import ConfigError, printable, quoted
from isnotai_async.paginator import Paginator
from isnotai_async.records import Session
from isnotai_async.redis_limiter import RedisLimiter
from isnotai_async.workers import JobProgress, MergeReport, Plan, describe_job, make_plan, merge_partitions, run_job

REDIS_URL: Final = "ISNOTAI_REDIS_URL"

_WORKERS: Final = Group("Workers")
_PLAIN_SECONDS: Final = 5.0  # between two lines for a log
_MOST_FAILURES: Final = 20  # that are listed; --json has them all

ChooseSessions = Callable[[Client], Paginator[Session] | SessionsFile | tuple[str, ...]]


@Parameter(name="*")
@frozen(kw_only=True)
class Distribution:
    """How an export is given to workers."""

    workers: Annotated[str | None, Parameter(group=_WORKERS)] = None
    """Have it done by the workers at this Redis, into the folder --out; env: the URL is in ISNOTAI_REDIS_URL"""
    queue: Annotated[str, Parameter(group=_WORKERS)] = "isnotai"
    """Name of the workers' queue"""
    part_size: Annotated[int, Parameter(group=_WORKERS)] = 200
    """Most sessions of a part"""
    merge: Annotated[Path | None, Parameter(group=_WORKERS)] = None
    """In the end, make one file of all parts"""


def read_redis_url(url: str | None) -> str:
    """Return the URL of Redis, from the environment where it is not said.

    Raises:
        ConfigError: It is not there either.
    """
    if url not in {None, "env"}:
        return str(url)
    if found := os.environ.get(REDIS_URL):
        return found
    raise ConfigError(
        f"no Redis: set {REDIS_URL}, or pass its URL (without a password: arguments are visible to all)"
    )


async def distribute(
    out: Path,
    choose_sessions: ChooseSessions,
    distribution: Distribution,
    *,
    writing: Writing,
    query: dict[str, Any],
    connection: Connection,
    json: bool,
    quiet: bool,
) -> int:
    """Plan an export, have it done by workers, and put it together.

    Args:
        out: The folder of the job.
        choose_sessions: Chooses the sessions.
        distribution: To whom, and how.
        writing: How it is written.
        query: Which events.
        connection: Where to ask.
        json: Whether to write the report to stdout.
        quiet: Whether to say nothing but errors.

    Returns:
        The exit code.

    Raises:
        ConfigError: Options that do not go together.
        IsNotAIError: As of `make_plan`, `run_job` and `merge_partitions`.
    """
    if distribution.workers is None:
        raise ConfigError("--queue, --part-size and --merge are for --workers URL")
    if writing.split or writing.segments or writing.no_resume:
        raise ConfigError("--split, --segments and --no-resume are not for --workers; leave them out")
    from isnotai_async.workers.taskiq import open_queue  # it needs taskiq, an extra

    url, begun = read_redis_url(distribution.workers), monotonic()
    folder = _absolute(out)
    async with RedisLimiter.from_url(url) as limiter, open_client(connection, limiter=limiter) as client:
        sessions = choose_sessions(client)
        job = await describe_job(
            client,
            sessions,
            format=writing.format or "jsonl",
            size=distribution.part_size,
            on_error=writing.on_error,
            formula_guard=not writing.raw_csv,
            **query,
        )
        async with open_queue(url, folder, queue=distribution.queue) as queue:
            plan = await make_plan(client, sessions, folder, job)
            if not quiet:
                say(f"{plan.sessions:,} sessions in {plan.parts:,} parts, for the workers of {quoted(queue.name)}")
            await _watch(plan, queue, quiet=quiet)
    report = await merge_partitions(out, distribution.merge, force=writing.force)
    if distribution.merge is not None:
        await merge_partitions(out, verify=False)
    if json:
        write_json({**attrs.asdict(report, recurse=False), "path": str(report.path)})
    if not quiet:
        _say_report(report, monotonic() - begun)
    return outcome.DONE


def _absolute(path: Path) -> Path:
    return path.absolute()  # as the workers are to find it


async def _watch(plan: Plan, queue: Any, *, quiet: bool) -> None:  # noqa: ANN401 - TaskQueue needs taskiq, an extra
    try:
        with JobDisplay(plan.parts, quiet=quiet) as display:
            await run_job(plan, queue, on_progress=display)
    except asyncio.CancelledError:
        say("isnotai: the workers go on with what is queued; run the same command again to watch and finish")
        raise


def _say_report(report: MergeReport, elapsed: float) -> None:
    say(
        f"exported {report.rows:,} events of {report.sessions:,} sessions to {printable(str(report.path))} "
        f"({report.parts:,} parts, {report.size / 1e6:.1f} MB) in {elapsed:.1f} s"
    )
    for failure in report.failures[:_MOST_FAILURES]:
        say(f"  {quoted(failure.session_id)} in {printable(failure.name)}: {failure.error}: {failure.message}")
    if len(report.failures) > _MOST_FAILURES:
        say(f"  … and {len(report.failures) - _MOST_FAILURES:,} more; --json lists all")


class JobDisplay:
    """Shows how far a job is: a line that moves where somebody is looking, else a line now and then.

    Args:
        parts: How many parts there are.
        quiet: Show nothing.
    """

    def __init__(self, parts: int, *, quiet: bool) -> None:
        console = Console(stderr=True, quiet=quiet)  # it obeys NO_COLOR
        self._is_seen = console.is_terminal and not quiet
        self._is_plain = not console.is_terminal and not quiet
        text = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), BarColumn(bar_width=20), text, TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task("waiting for workers", total=parts)
        self._told = monotonic()

    def __enter__(self) -> Self:
        if self._is_seen:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_seen:
            self._progress.stop()

    def __call__(self, progress: JobProgress) -> None:
        """Show how far it is."""
        text = _describe(progress)
        self._progress.update(self._task, completed=progress.parts_done, description=text)
        if self._is_plain and monotonic() - self._told >= _PLAIN_SECONDS:
            self._told = monotonic()
            say(text)


def _describe(progress: JobProgress) -> str:
    text = f"{progress.parts_done:,} of {progress.parts:,} parts, {progress.rows:,} events"
    if progress.sessions_failed:
        text += f", {progress.sessions_failed:,} sessions failed"
    return f"{text}, {progress.troubles:,} attempts failed" if progress.troubles else text
