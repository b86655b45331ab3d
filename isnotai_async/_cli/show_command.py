"""The command `isnotai show`: a picture of one session, in the terminal or as an HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from isnotai_async._cli.exit_codes import about_session
from isnotai_async._cli.options import Connection, Flag, Json, open_client
from isnotai_async._cli.output import say, write_json
from isnotai_async._cli.session_html import COLUMNS, draw_html
from isnotai_async._cli.session_summary import (
    EventTimes,
    SessionSummary,
    add_events,
    summarize_events,
    summarize_timeline,
    total_of,
)
from isnotai_async._cli.session_text import LEAST_WIDTH, Screen, draw_text
from isnotai_async._client import Client
from isnotai_async._models.records import SessionDetails
from isnotai_async.errors import ConfigError, ServerError
from isnotai_async.export.trouble import explain_disk

MOST_EVENTS: Final = 5_000
"""Events that are read without ``--full``: 100 requests on the free tier, which take up to two minutes."""


async def show(
    session: str,
    /,
    *,
    html: Path | None = None,
    full: Flag = False,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Show what happened in a session: user, time, each event type over time, bursts, pauses and pages.

    A session of more than 5,000 events is drawn from the timeline of its details, which takes two requests.

    Parameters
    ----------
    session
        Id of the session.
    html
        Write the picture to this file instead, as a page for a browser; an existing file is replaced.
    full
        Read all events, however many.
    json
        Write the session's details instead, as a line of JSON.
    """
    if json and html is not None:
        raise ConfigError("--json writes the session's details, --html a picture of it; leave out one of them")
    console = Console(highlight=False, markup=False, emoji=False)
    screen = Screen(max(LEAST_WIDTH, console.width), sys.stdout.encoding or "ascii")
    columns = screen.columns if html is None else COLUMNS
    async with open_client(connection) as client:
        with about_session(session):
            if json:
                write_json(await client.get_session_details(session))
                return
            summary = await _read(client, session, columns=columns, full=full)
    if html is None:
        for line in draw_text(summary, screen):
            console.print(line, soft_wrap=True)
        return
    _write(html, draw_html(summary))
    say(f"wrote {html}")


async def _read(client: Client, session_id: str, *, columns: int, full: bool) -> SessionSummary:
    session = await client.get_session(session_id)
    details = await _get_details(client, session_id)
    if details is not None and details.timeline and total_of(details) > MOST_EVENTS and not full:
        return summarize_timeline(session, details, columns=columns)
    times, is_cut = await _read_events(client, session_id, full=full)
    return summarize_events(session, details, times, columns=columns, is_cut=is_cut)


async def _get_details(client: Client, session_id: str) -> SessionDetails | None:
    try:
        return await client.get_session_details(session_id)
    except ServerError as error:
        if error.status != 503:
            raise
        return None  # documented: the details alone may be unavailable


async def _read_events(client: Client, session_id: str, *, full: bool) -> tuple[EventTimes, bool]:
    """Return the times of all events, or of the first, and whether more events follow."""
    times = EventTimes()
    walk = client.list_events(session_id).prefetch()
    async with client.stream_events(session_id, split="auto") if full else walk as pages:
        async for page in pages:
            add_events(times, page.data)
            if not full and page.has_more and sum(map(len, times.values())) >= MOST_EVENTS:
                return times, True
    return times, False


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise explain_disk(error, path) from None
