"""Commands that sum up: analytics, counters, API consumption."""

from __future__ import annotations

from isnotai_async._cli.options import Connection, Json, open_client
from isnotai_async._cli.output import is_for_people, write_facts, write_json, write_line, write_table
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async.errors import printable


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
    values = {(entry.period, entry.metric_type): entry.value for entry in found.data}
    metrics = tuple(dict.fromkeys([*found.totals, *(metric for _, metric in values)]))
    periods = dict.fromkeys(period for period, _ in values)
    rows = [(period, *(values.get((period, metric)) for metric in metrics)) for period in periods]
    total = ("total", *(found.totals.get(metric) for metric in metrics))
    write_line(f"{printable(found.start_date)} to {printable(found.end_date)}")
    write_line("")
    write_table(("period", *metrics), [*rows, total])
