"""`isnotai export --format delta`: its run, and its messages."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final

from isnotai_async._cli import exit_codes
from isnotai_async._cli.export_options import Writing
from isnotai_async._cli.long_runs import end_cancelled, end_with, say_failures, stop_on_signals
from isnotai_async._cli.output import say, write_json
from isnotai_async._cli.quota import read_redis_url
from isnotai_async._client import Client
from isnotai_async.errors import ConfigError, ExportError, IsNotAIError, printable
from isnotai_async.export.source import AnySessions
from isnotai_async.integrations.delta import TableReport, export_to_delta

_RESUME: Final = "run the same command again, on any machine, to resume"


def check_delta(out: str, writing: Writing) -> bool:
    """Return whether the options ask for a Delta table."""
    if writing.format != "delta":
        if writing.job is not None:
            raise ConfigError("--job is the name of the work of a Delta table; use it with --format delta")
        return False
    if writing.job is None:
        raise ConfigError("--format delta needs --job NAME; the same name is the same work, on any machine")
    mine = ("format", "job", "concurrency", "on_error")
    if writing != Writing(**{name: getattr(writing, name) for name in mine}):
        raise ConfigError("of the options of writing, only --concurrency and --on-error are for --format delta")
    if out == "-":
        raise ConfigError("--format delta needs a folder or a URL in --out, such as s3://bucket/events")
    return True


async def run_delta(
    client: Client, sessions: AnySessions, out: str, *, writing: Writing, query: Mapping[str, Any], redis: str | None
) -> TableReport | int:
    """Run the job that the options describe; return its report, or the exit code if it did not finish."""
    os.environ.setdefault("RUST_LOG", "off")  # deltalake, not imported yet, logs what it also raises
    options = {**query, "concurrency": writing.concurrency, "on_error": writing.on_error}
    url = None if redis is None else read_redis_url(redis)
    with stop_on_signals() as stopped:
        try:
            return await export_to_delta(client, sessions, out, job=str(writing.job), redis=url, **options)
        except asyncio.CancelledError:
            return end_cancelled(stopped, how=_RESUME)
        except IsNotAIError as error:
            if isinstance(error, ConfigError) or (isinstance(error, ExportError) and not error.is_temporary):
                raise
            return end_with(error, how=_RESUME)


def end_delta(report: TableReport, out: str, job: str | None, *, json: bool, quiet: bool) -> int:
    """Write the report of a job; return the exit code."""
    if json:
        write_json(report)
    if not quiet:
        say(
            f"added {report.rows:,} events in {report.elapsed:.1f} s; the job {job} of {report.sessions:,} "
            f"sessions is whole in {printable(out)}"
        )
        say(f"  requests  {report.requests:,}, {report.in_vain:,} of them for what another run added first")
        if report.rejected:
            say(f"  set aside {report.rejected:,} records, in the table _isnotai/{job}/attempts")
        say_failures(report.failures)
    return exit_codes.INCOMPLETE if report.failures or report.rejected else exit_codes.DONE
