"""Commands that ask for one thing: the API's health, the key's integration, a session, its events."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from isnotai_async._cli.options import Connection, EventFilters, Json, Limit, list_events, open_client
from isnotai_async._cli.output import (
    is_for_people,
    to_second,
    write_facts,
    write_json,
    write_line,
    write_lines,
    write_table,
)
from isnotai_async._models.records import SessionDetails
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


async def session(
    session: str,
    /,
    *,
    details: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Show one session.

    Parameters
    ----------
    session
        Id of the session.
    details
        Its event counts, timeline and pages instead.
    """
    async with open_client(connection) as client:
        found = await (client.get_session_details(session) if details else client.get_session(session))
    if not is_for_people(json):
        write_json(found)
    elif isinstance(found, SessionDetails):
        _write_details(found)
    else:
        write_facts(found)


def _write_details(details: SessionDetails) -> None:
    write_facts(details, leave_out=("timeline", "page_history"))
    write_line("")
    timeline = [
        (to_second(b.timestamp), b.event_count, b.activity_level, b.dominant_event_type) for b in details.timeline
    ]
    write_table(("from (UTC)", "events", "activity", "mostly"), timeline)
    write_line("")
    pages = [(to_second(p.timestamp), p.duration_ms, p.url) for p in details.page_history]
    write_table(("opened (UTC)", "for (ms)", "page"), pages)


async def events(
    session: str,
    /,
    *,
    filters: EventFilters = EventFilters(),
    limit: Limit = None,
    connection: Connection = Connection(),
) -> None:
    """Write the events of one session to stdout, as JSON lines.

    Parameters
    ----------
    session
        Id of the session.
    """
    async with open_client(connection) as client:
        async for page in list_events(client, session, filters, max_items=limit).pages():
            write_lines(encode_rows(page, session))
