"""The commands that read: health, whoami, sessions, session, events, users, courses, analytics, stats, usage.

Commands that list: sessions, users, the sessions of a user, courses.

Commands that sum up: analytics, counters, API consumption.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from isnotai_async._cli.options import (
    Connection,
    EventFilters,
    Json,
    Limit,
    PageSize,
    SessionFilters,
    list_events,
    list_sessions,
    open_client,
)
from isnotai_async._cli.output import (
    is_for_people,
    to_second,
    write_facts,
    write_json,
    write_line,
    write_lines,
    write_records,
    write_table,
)
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async._models.records import Session, SessionDetails, User
from isnotai_async.errors import printable
from isnotai_async.export import encode_rows

_SESSION_COLUMNS = ("id", "created (UTC)", "status", "bot", "user", "name")
_USER_COLUMNS = ("id", "sessions", "bots", "mean", "max", "risk", "last seen (UTC)", "name")


def _session_row(session: Session) -> tuple[object, ...]:
    score, user = session.bot_score, session.user_id
    return session.id, session.created_at, session.status, score, user, session.user_name


def _user_row(user: User) -> tuple[object, ...]:
    scores = (user.average_bot_score, user.max_bot_score)
    counts = (user.session_count, user.bot_session_count)
    return user.user_id, *counts, *scores, user.risk_level, user.last_seen, user.user_name


async def sessions(
    *,
    filters: SessionFilters = SessionFilters(),
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List sessions: a table on a terminal, JSON lines in a pipe."""
    async with open_client(connection) as client:
        walk = list_sessions(client, filters, max_items=limit)
        await write_records(walk, _SESSION_COLUMNS, _session_row, json=json)


async def users(
    *,
    search: str | None = None,
    page_size: PageSize = None,
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List the users of the learning platform: a table on a terminal, JSON lines in a pipe.

    Parameters
    ----------
    search
        Part of the id or name, in any case.
    """
    async with open_client(connection) as client:
        walk = client.list_users(search=search, page_size=page_size, max_items=limit)
        await write_records(walk, _USER_COLUMNS, _user_row, json=json)


async def user_sessions(
    user: str,
    /,
    *,
    page_size: PageSize = None,
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List the sessions of one user: a table on a terminal, JSON lines in a pipe.

    Parameters
    ----------
    user
        Id of the user, as `isnotai users` lists it.
    """
    async with open_client(connection) as client:
        walk = client.get_user_sessions(user, page_size=page_size, max_items=limit)
        await write_records(walk, _SESSION_COLUMNS, _session_row, json=json)


async def courses(
    *,
    page_size: PageSize = None,
    limit: Limit = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """List courses, with whatever fields the API gives them: a table on a terminal, JSON lines in a pipe."""
    async with open_client(connection) as client:
        walk = client.list_courses(page_size=page_size, max_items=limit)
        if not is_for_people(json):
            async for course in walk:
                write_json(course)
            return
        found = [course async for course in walk]
    columns = tuple(dict.fromkeys(name for course in found for name in course))
    write_table(columns, [tuple(course.get(name) for name in columns) for course in found])


async def analytics(
    *,
    period: str | None = None,
    group_by: str | None = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Show summary and time series of a period: tables on a terminal, one line of JSON in a pipe.

    Parameters
    ----------
    period
        24h, 7d, 30d or 90d; default 7d
    group_by
        hour, day or week; default day
    """
    async with open_client(connection) as client:
        found = await client.get_analytics(period=period, group_by=group_by)
    if is_for_people(json):
        _write_analytics(found)
    else:
        write_json(found)


def _write_analytics(found: Analytics) -> None:
    write_facts(found, leave_out=("time_series", "top_origins"))
    write_line("")
    series = [
        (p.timestamp, p.session_count, p.event_count, p.bot_count, p.user_matched_count) for p in found.time_series
    ]
    write_table(("from (UTC)", "sessions", "events", "bots", "with user"), series)
    write_line("")
    origins = [(origin.session_count, origin.bot_percentage, origin.origin) for origin in found.top_origins]
    write_table(("sessions", "bot %", "origin"), origins)


async def stats(*, json: Json = False, connection: Connection = Connection()) -> None:
    """Show the API's counters, whatever they are: a table on a terminal, one line of JSON in a pipe."""
    async with open_client(connection) as client:
        found = await client.get_stats()
    if is_for_people(json):
        write_facts(found)
    else:
        write_json(found)


async def usage(
    *,
    since: str | None = None,
    until: str | None = None,
    metric: str | None = None,
    json: Json = False,
    connection: Connection = Connection(),
) -> None:
    """Show the consumption of the API: a table on a terminal, one line of JSON in a pipe.

    Parameters
    ----------
    since
        From here on: 2026-06-10 or 2026-06-10T12:00:00Z; default 30 days before --until
    until
        Up to here, likewise; a day counts whole; default today
    metric
        ApiCalls, Events, Sessions, StorageBytes or BotAnalyses; default all
    """
    async with open_client(connection) as client:
        found = await client.get_usage(start_date=since, end_date=until, metric=metric)
    if is_for_people(json):
        _write_usage(found)
    else:
        write_json(found)


def _write_usage(found: Usage) -> None:
    values = {(entry.period or "-", entry.metric_type or "-"): entry.value for entry in found.data}
    metrics = tuple(dict.fromkeys([*found.totals, *(metric for _, metric in values)]))
    periods = dict.fromkeys(period for period, _ in values)
    rows = [(period, *(values.get((period, metric)) for metric in metrics)) for period in periods]
    total = ("total", *(found.totals.get(metric) for metric in metrics))
    write_line(f"{printable(found.start_date or '-')} to {printable(found.end_date or '-')}")
    write_line("")
    write_table(("period", *metrics), [*rows, total])


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
        (b.timestamp and to_second(b.timestamp), b.event_count, b.activity_level, b.dominant_event_type)
        for b in details.timeline
    ]
    write_table(("from (UTC)", "events", "activity", "mostly"), timeline)
    write_line("")
    pages = [(p.timestamp and to_second(p.timestamp), p.duration_ms, p.url) for p in details.page_history]
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
