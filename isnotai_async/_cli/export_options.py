"""Options of the export: which sessions, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from attrs import frozen
from cyclopts import Parameter

from isnotai_async._cli.options import Flag
from isnotai_async._cli.session_ids import SessionsFile, read_ids
from isnotai_async._cli.streams import STDIN, open_stdin
from isnotai_async._models.records import Session
from isnotai_async._models.validation import check_no_key
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError, quoted

ExportFormat = Literal["jsonl", "jsonl.gz", "csv", "parquet", "sqlite", "delta"]


@Parameter(name="*", group="Writing")
@frozen(kw_only=True)
class Writing:
    """The options for how an export is written."""

    format: ExportFormat | None = None
    """Format of the file, if the name in --out does not end like a format"""
    job: str | None = None
    """With --format delta: name of the work, which the same command does once, on any number of machines"""
    concurrency: int = 16
    """Maximum number of requests in flight"""
    split: int | Literal["auto"] | None = None
    """Number of time windows in which each session is read in parallel, or auto"""
    shard: str | None = None
    """k/n: only the k-th of n shards of the sessions, from 1; each session is in exactly one"""
    on_error: Literal["collect", "raise"] = "collect"
    """If a session fails: continue with the others, or end at once"""
    raw_csv: Flag = False
    """In CSV, leave strings as they are that a spreadsheet would run as formulas"""
    bom: Flag = False
    """In CSV, start with a byte order mark, for spreadsheets"""
    segments: Flag = False
    """Make a folder of Parquet files"""
    no_resume: Flag = False
    """Start over, and remove what an interrupted run left"""
    if_exists: Literal["fail", "skip", "replace"] = "fail"
    """If --out exists and this same command did not make it: fail, do nothing, or replace it"""

    @property
    def store_options(self) -> dict[str, Any]:
        """Return the options as arguments of `export_store`."""
        mine = ("format", "if_exists", "bom", "segments")
        default = Writing(raw_csv=self.raw_csv, **{name: getattr(self, name) for name in mine})
        if self != default:
            raise ConfigError("--concurrency, --split, --shard, --on-error and --no-resume are not for --from")
        return {name: getattr(self, name) for name in mine} | {"formula_guard": not self.raw_csv}

    @property
    def options(self) -> dict[str, Any]:
        """Return the options as arguments of `export_events`."""
        return {
            "format": self.format,
            "concurrency": self.concurrency,
            "split": self.split,
            "shard": read_shard(self.shard),
            "on_error": self.on_error,
            "formula_guard": not self.raw_csv,
            "bom": self.bom,
            "segments": self.segments,
            "resume": not self.no_resume,
            "if_exists": self.if_exists,
        }


def read_shard(text: str | None) -> tuple[int, int] | None:
    """Read the option --shard."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None:
        raise ConfigError(f"--shard {quoted(text)} is no shard; write 2/8 for the second of eight")
    return int(found[1]), int(found[2])


def choose_sessions(
    given: tuple[str, ...], file: Path | None, every: Callable[[], Paginator[Session]] | None, *, is_filtered: bool
) -> Paginator[Session] | SessionsFile | tuple[str, ...]:
    """Return the sessions to export, read lazily.

    Args:
        given: Their ids.
        file: File of their ids.
        every: Lists all sessions that match the filters.
        is_filtered: Whether there are filters.
    """
    ways = [bool(given), file is not None, every is not None]
    if sum(ways) != 1:
        say = "say which sessions" if not any(ways) else "say in one way only which sessions"
        raise ConfigError(f"{say}: --session ID (as often as needed), --sessions-file FILE, or --all")
    if every is not None:
        return every()
    if is_filtered:
        raise ConfigError("--status, --bot-only, --since and --until choose among all sessions; use them with --all")
    if file is None:
        return tuple(check_no_key(session_id, "--session") for session_id in given)
    if file == STDIN:
        return read_ids(open_stdin(), "stdin")
    found = SessionsFile(file)
    if file.exists() and not file.is_file():
        return tuple(found)  # a pipe can be read only once
    next(iter(found))  # an unreadable or empty file is an error before anything is written
    return found


def count_ids(sessions: Paginator[Session] | SessionsFile | tuple[str, ...]) -> int | None:
    """Return the number of sessions, or None if only the API knows it. It sends no request."""
    return None if isinstance(sessions, Paginator) else len(set(sessions))
