"""The commands that read: health, whoami, sessions, session, events, users, courses, analytics, stats, usage.

All take the same options of the connection and of the output; on a terminal they write tables, in a pipe JSON Lines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from isnotai_async._cli.exit_codes import about_session
from isnotai_async._cli.formats import fields_of, write_one, write_records
from isnotai_async._cli.options import (
    EventOptions,
    Limit,
    PageSize,
    ReadOptions,
    SessionFilters,
    check_names,
    open_client,
)
from isnotai_async._cli.output import (
    say,
    to_millisecond,
    write_bytes,
    write_facts,
    write_line,
    write_table,
)
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async._models.records import Event, Session, User
from isnotai_async._streaming.paginator import Paginator
from isnotai_async.errors import ConfigError, printable, quoted
from isnotai_async.export import encode_rows
from isnotai_async.export.batches import COLUMNS, EVENT_COLUMNS

_SESSION_COLUMNS = ("id", "created (UTC)", "status", "bot", "user", "name")
_USER_COLUMNS = ("id", "sessions", "bots", "mean", "max", "risk", "last seen (UTC)", "name")
# Events have their time first and their id last, which a narrow screen may cut; a new field comes before the id.
_SHORT = {"event_type_name": "type", "message_id": "byte", "payload_size": "size"}
_REST = (*_SHORT, *(name for name in EVENT_COLUMNS if name not in {*_SHORT, "timestamp", "event_id"}))
_EVENT_COLUMNS = ("time (UTC)", *(_SHORT.get(name, name) for name in _REST), "id")


def _session_row(session: Session) -> tuple[object, ...]:
    score, user = session.bot_score, session.user_id
    return session.id, session.created_at, session.status, score, user, session.user_name


def _user_row(user: User) -> tuple[object, ...]:
    scores = (user.average_bot_score, user.max_bot_score)
    counts = (user.session_count, user.bot_session_count)
    return user.user_id, *counts, *scores, user.risk_level, user.last_seen, user.user_name


async def health(*, options: ReadOptions = ReadOptions()) -> None:
    """Ask whether the API is alive. Needs no key."""
    async with open_client(options) as client:
        answer = await client.health()
        write_one({"region": client.region.name, "status": answer.status, "version": answer.version}, options)


async def whoami(*, options: ReadOptions = ReadOptions()) -> None:
    """Show which integration the key stands for: the best test of a key."""
    async with open_client(options) as client:
        write_one({"region": client.region.name, "integration": await client.get_integration()}, options)


async def sessions(
    *,
    user: str | None = None,
    filters: SessionFilters = SessionFilters(),
    page_size: PageSize = None,
    limit: Limit = None,
    options: ReadOptions = ReadOptions(),
) -> None:
    """List sessions.

    Parameters
    ----------
    user
        Only those of this user: an id, as `isnotai users` lists it. No other filter goes with it.
    """
    options.check(Session)
    if user is not None and filters != SessionFilters():
        raise ConfigError(
            "--user lists all sessions of a user; --status, --bot-only, --since and --until are not for it"
        )
    interval = filters.interval(options.clock)
    interval.say()
    async with open_client(options) as client:
        if user is None:
            walk = client.list_sessions(**filters.query(interval), page_size=page_size, max_items=limit)
        else:
            walk = client.get_user_sessions(user, page_size=page_size, max_items=limit)
        empty = "no session matches" if user is None else f"no session of user {quoted(user)}"
        empty = f"isnotai: {empty}{interval.if_empty}"
        await write_records(walk, options, _SESSION_COLUMNS, _session_row, fields=fields_of(Session), empty=empty)


async def session(
    session: str,
    /,
    *,
    options: ReadOptions = ReadOptions(),
) -> None:
    """Show the record of one session; `isnotai show` shows what happened in it.

    Parameters
    ----------
    session
        Id of the session.
    """
    options.check(Session)
    async with open_client(options) as client:
        with about_session(session):
            write_one(await client.get_session(session), options)


async def events(
    session: str,
    /,
    *,
    filters: EventOptions = EventOptions(),
    limit: Limit = None,
    options: ReadOptions = ReadOptions(),
) -> None:
    """List the events of one session.

    Parameters
    ----------
    session
        Id of the session.
    """
    form = options.form  # checked before anything is said or asked
    check_names(options.names, COLUMNS)
    interval = filters.interval(options.clock)
    interval.say()
    async with open_client(options) as client:
        walk = client.list_events(session, max_items=limit, **filters.query(interval))
        with about_session(session):
            empty = f"isnotai: no event matches{interval.if_empty}"
            if form == "jsonl" and not options.names:
                count = 0
                async for page in walk.pages():
                    write_bytes(encode_rows(page, session))
                    count += len(page.data)
                if not count:
                    say(empty)
                return
            rows = _event_rows(walk, session)
            await write_records(rows, options, _EVENT_COLUMNS, _event_row, fields=COLUMNS, empty=empty)


async def _event_rows(walk: Paginator[Event], session: str) -> AsyncIterator[dict[str, Any]]:
    async for page in walk.pages():
        known = {"region": page.name, "session_id": session}
        for event in page.data:
            yield {name: known[name] if name in known else getattr(event, name) for name in COLUMNS}


def _event_row(fields: dict[str, Any]) -> tuple[object, ...]:
    return to_millisecond(fields["timestamp"]), *(fields[name] for name in _REST), fields["event_id"]


async def users(
    *,
    search: str | None = None,
    page_size: PageSize = None,
    limit: Limit = None,
    options: ReadOptions = ReadOptions(),
) -> None:
    """List the users of the learning platform.

    Parameters
    ----------
    search
        Part of the id or name, in any case.
    """
    options.check(User)
    async with open_client(options) as client:
        walk = client.list_users(search=search, page_size=page_size, max_items=limit)
        await write_records(
            walk, options, _USER_COLUMNS, _user_row, fields=fields_of(User), empty="isnotai: no user matches"
        )


async def courses(
    *,
    page_size: PageSize = None,
    limit: Limit = None,
    options: ReadOptions = ReadOptions(),
) -> None:
    """List courses, with whatever fields the API gives them."""
    options.check(dict)
    async with open_client(options) as client:
        # Their fields are not documented and may differ, so the columns are known when all are there.
        found = [course async for course in client.list_courses(page_size=page_size, max_items=limit)]
    columns = tuple(dict.fromkeys(name for course in found for name in course))
    if found:
        check_names(options.names, columns)
    if options.form in {"table", "csv"}:
        found = [{name: course.get(name) for name in columns} for course in found]
    await write_records(
        _each(found), options, columns, lambda c: tuple(c.values()), fields=columns, empty="isnotai: no course"
    )


async def _each(records: list[Any]) -> AsyncIterator[Any]:
    for record in records:
        yield record


async def analytics(
    *,
    period: str | None = None,
    group_by: str | None = None,
    options: ReadOptions = ReadOptions(),
) -> None:
    """Show summary and time series of a period. As CSV: the time series.

    Parameters
    ----------
    period
        24h, 7d, 30d or 90d; default 7d
    group_by
        hour, day or week; default day
    """
    options.check(Analytics)
    async with open_client(options) as client:
        found = await client.get_analytics(period=period, group_by=group_by)
    write_one(found, options, table=partial(_write_analytics, found), rows=found.time_series)


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


async def stats(*, options: ReadOptions = ReadOptions()) -> None:
    """Show the API's counters, whatever they are."""
    options.check(dict)
    async with open_client(options) as client:
        write_one(await client.get_stats(), options)


async def usage(
    *,
    since: str | None = None,
    until: str | None = None,
    metric: str | None = None,
    options: ReadOptions = ReadOptions(),
) -> None:
    """Show the consumption of the API. As CSV: a row for each period and metric.

    Parameters
    ----------
    since
        From here on: 7d, yesterday, 2026-06-10 or 2026-06-10T12:00:00Z; default 30 days before --until
    until
        Up to here, written like --since; a day counts whole; default today
    metric
        ApiCalls, Events, Sessions, StorageBytes or BotAnalyses; default all
    """
    options.check(Usage)
    interval = options.clock.read("consumption", ("--since", since), ("--until", until))
    interval.say()
    async with open_client(options) as client:
        found = await client.get_usage(start_date=interval.start, end_date=interval.end, metric=metric)
    write_one(found, options, table=partial(_write_usage, found), rows=found.data)


def _write_usage(found: Usage) -> None:
    values = {(entry.period or "-", entry.metric_type or "-"): entry.value for entry in found.data}
    metrics = tuple(dict.fromkeys([*found.totals, *(metric for _, metric in values)]))
    periods = dict.fromkeys(period for period, _ in values)
    rows = [(period, *(values.get((period, metric)) for metric in metrics)) for period in periods]
    total = ("total", *(found.totals.get(metric) for metric in metrics))
    write_line(f"{printable(found.start_date or '-')} to {printable(found.end_date or '-')}")
    write_line("")
    write_table(("period", *metrics), [*rows, total])
