"""The command `isnotai export --workers`: an export by the workers of a queue."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import attrs
from attrs import frozen
from cyclopts import Group, Parameter

from isnotai_async._cli import exit_codes
from isnotai_async._cli.options import Connection, SessionsFile, Writing, open_client
from isnotai_async._cli.output import say, write_json
from isnotai_async._cli.progress import JobDisplay
from isnotai_async._client import Client
from isnotai_async._models.records import Session
from isnotai_async._ratelimit.redis.limiter import RedisLimiter
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError, printable, quoted
from isnotai_async.workers import MergeReport, Plan, describe_job, make_plan, merge_partitions, run_job

REDIS_URL: Final = "ISNOTAI_REDIS_URL"

_WORKERS: Final = Group("Workers")
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
    if writing.concurrency != attrs.fields(Writing).concurrency.default:
        raise ConfigError("--concurrency is not for --workers; give it to isnotai worker")
    with told_log(logging.ERROR if quiet else logging.WARNING):
        report, elapsed = await _distribute(
            out, choose_sessions, distribution, writing=writing, query=query, connection=connection, quiet=quiet
        )
    if json:
        write_json({**attrs.asdict(report, recurse=False), "path": str(report.path)})
    if not quiet:
        _say_report(report, elapsed)
    return exit_codes.DONE


async def _distribute(
    out: Path,
    choose_sessions: ChooseSessions,
    distribution: Distribution,
    *,
    writing: Writing,
    query: dict[str, Any],
    connection: Connection,
    quiet: bool,
) -> tuple[MergeReport, float]:
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
    return report, monotonic() - begun


def _absolute(path: Path) -> Path:
    return path.absolute()  # as the workers are to find it


async def _watch(plan: Plan, queue: Any, *, quiet: bool) -> None:  # noqa: ANN401 - TaskQueue needs taskiq, an extra
    try:
        with JobDisplay(plan.parts, quiet=quiet) as display:
            reminding = asyncio.create_task(display.remind(queue.name, plan.folder.path))
            try:
                await run_job(plan, queue, on_progress=display)
            finally:
                reminding.cancel()
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


@contextmanager
def told_log(level: int) -> Iterator[None]:
    """Say within this block what the package logs, from a level on."""
    logger, handler = logging.getLogger("isnotai_async"), _Saying(level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Saying(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"isnotai: {printable(record.getMessage())}")
