"""The command that exports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isnotai_async.cli.options import (
    Connection,
    EventFilters,
    SessionFilters,
    choose_sessions,
    list_events,
    open_client,
)
from isnotai_async.cli.output import say
from isnotai_async.cli.progress import RowCounter
from isnotai_async.export import export_jsonl


async def export(
    *,
    out: Path,
    session: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    sessions_file: Path | None = None,
    all: Annotated[bool, Parameter(negative=())] = False,
    session_filters: SessionFilters = SessionFilters(),
    filters: EventFilters = EventFilters(),
    force: Annotated[bool, Parameter(negative=())] = False,
    connection: Connection = Connection(),
) -> None:
    """Write the events of many sessions into one JSON Lines file.

    The file appears under its name when it is complete, and not before.

    Parameters
    ----------
    out
        File to write.
    session
        Id of a session; give it as often as needed.
    sessions_file
        File with one session id a line.
    all
        Every session, or every one that the filters below let through.
    force
        Replace the file if it exists.
    """
    async with open_client(connection) as client:
        ids = choose_sessions(client, given=session, file=sessions_file, all=all, filters=session_filters)
        with RowCounter() as counter:
            report = await export_jsonl(
                ids,
                lambda session_id: list_events(client, session_id, filters).pages(),
                out,
                force=force,
                on_rows=counter,
            )
    say(
        f"exported {report.rows:,} events of {report.sessions:,} sessions to {report.path} "
        f"({report.size / 1e6:.1f} MB) in {report.elapsed:.1f} s"
    )
