"""Commands that ask the API and show what it answers."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from isnotai_async.cli.options import (
    Connection,
    EventFilters,
    SessionFilters,
    list_events,
    list_sessions,
    open_client,
)
from isnotai_async.cli.output import write_json, write_lines, write_table
from isnotai_async.export import encode_rows


async def health(*, connection: Connection = Connection()) -> None:
    """Ask whether the API is alive. Needs no key."""
    async with open_client(connection) as client:
        answer = await client.health()
        write_json({"region": client.region.name, "status": answer.status, "version": answer.version})


async def whoami(*, connection: Connection = Connection()) -> None:
    """Show which integration the key stands for: the best test of a key."""
    async with open_client(connection) as client:
        write_json({"region": client.region.name, "integration": await client.get_integration()})


async def sessions(
    *,
    filters: SessionFilters = SessionFilters(),
    limit: int | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
    connection: Connection = Connection(),
) -> None:
    """List sessions: a table on a terminal, JSON lines in a pipe.

    Parameters
    ----------
    limit
        Most sessions to list; default all.
    json
        JSON lines on a terminal, too.
    """
    async with open_client(connection) as client:
        walk = list_sessions(client, filters, max_items=limit)
        if json or not sys.stdout.isatty():
            async for session in walk:
                write_json(session)
            return
        rows = [(s.id, s.created_at, s.status, s.bot_score, s.user_name, s.page_url) async for s in walk]
        write_table(("id", "created (UTC)", "status", "bot", "user", "page"), rows)


async def events(
    session: str,
    /,
    *,
    filters: EventFilters = EventFilters(),
    limit: int | None = None,
    connection: Connection = Connection(),
) -> None:
    """Write the events of one session to stdout, as JSON lines.

    Parameters
    ----------
    session
        Id of the session.
    limit
        Most events to write; default all.
    """
    async with open_client(connection) as client:
        async for page in list_events(client, session, filters, max_items=limit).pages():
            write_lines(encode_rows(page, session))
