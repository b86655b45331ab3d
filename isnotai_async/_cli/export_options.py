"""Options of the export: which sessions, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from attrs import frozen
from cyclopts import Group, Parameter

from isnotai_async._cli.options import SessionFilters, list_sessions
from isnotai_async._client import Client
from isnotai_async._models.records import Session
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError

_WRITING = Group("Writing")


@Parameter(name="*")
@frozen(kw_only=True)
class Writing:
    """How an export is written."""

    format: Annotated[Literal["jsonl", "jsonl.gz", "csv", "parquet"] | None, Parameter(group=_WRITING)] = None
    """How to write, where the ending of --out does not tell"""
    concurrency: Annotated[int, Parameter(group=_WRITING)] = 16
    """Most requests in flight"""
    split: Annotated[int | Literal["auto"] | None, Parameter(group=_WRITING)] = None
    """Windows of time to read each session in at once, or auto"""
    on_error: Annotated[Literal["raise", "collect", "skip"], Parameter(group=_WRITING)] = "raise"
    """When a session fails: end, go on and try it again next time, or leave it out"""
    raw_csv: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """In CSV, leave strings as they are that a spreadsheet would run as formulas"""
    segments: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """Make a folder of Parquet files"""
    no_resume: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """Start over, and remove what an interrupted run left"""
    force: Annotated[bool, Parameter(group=_WRITING, negative=())] = False
    """Replace the file if it exists"""

    @property
    def options(self) -> dict[str, Any]:
        """The same as arguments of `export_events`."""
        return {
            "format": self.format,
            "concurrency": self.concurrency,
            "split": self.split,
            "on_error": self.on_error,
            "formula_guard": not self.raw_csv,
            "segments": self.segments,
            "resume": not self.no_resume,
            "force": self.force,
        }


def choose_sessions(
    client: Client, *, given: tuple[str, ...], file: Path | None, all: bool, filters: SessionFilters
) -> Paginator[Session] | SessionsFile | tuple[str, ...]:
    """Return the sessions to export, read lazily.

    Raises:
        ConfigError: None of the three ways to name sessions was used, or more than one.
    """
    ways = [bool(given), file is not None, all]
    if sum(ways) != 1:
        say = "say which sessions" if not any(ways) else "say in one way only which sessions"
        raise ConfigError(f"{say}: --session ID (as often as needed), --sessions-file FILE, or --all")
    if filters != SessionFilters() and not all:
        raise ConfigError("--status, --bot-only, --since and --until choose among all sessions; use them with --all")
    if all:
        return list_sessions(client, filters)
    if file is None:
        return given
    # A pipe gives its ids only once.
    return SessionsFile(file) if file.is_file() or not file.exists() else tuple(SessionsFile(file))


@frozen
class SessionsFile:
    """The ids in a file, one a line; read anew each time.

    Attributes:
        path: The file.

    Raises:
        ConfigError: While it is read: it cannot be, or is no text.
    """

    path: Path

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open(encoding="utf-8-sig") as lines:
                yield from (session_id for line in lines if (session_id := line.strip()))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"cannot read the session ids in {self.path}: {reason}") from None


def count_ids(sessions: Paginator[Session] | SessionsFile | tuple[str, ...]) -> int | None:
    """Count sessions without asking anybody; None where only the API knows."""
    return None if isinstance(sessions, Paginator) else len(set(sessions))
