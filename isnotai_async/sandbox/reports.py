"""The operations on users, courses and the region as a whole; see `routes` for the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from isnotai_async.sandbox import analytics, params
from isnotai_async.sandbox.pagination import Listing, Visit
from isnotai_async.sandbox.responses import Answer, json_answer
from isnotai_async.sandbox.times import DAY_MS, NOW_MS

# The range of `getUsage` where no start is given.
_USAGE_DAYS: Final = 30


def list_users(visit: Visit) -> Answer:
    """List the users whose id or name has the text that is searched for."""
    found = visit.region.users
    search = visit.query.get("search", "").casefold()

    def matches(user: dict[str, object]) -> bool:
        return any(search in str(user[name] or "").casefold() for name in ("userId", "userName"))

    indexes = [index for index, user in enumerate(found) if matches(user)]
    return _answer(visit, "list_users", found, filters=(search,), indexes=indexes)


def get_user_sessions(visit: Visit) -> Answer:
    """List the sessions of one user: of an unknown one, none, because the contract has no 404 here."""
    user_id, entries = visit.names["userId"], visit.region.census
    rows = tuple(dict(entry.row) for entry in entries if entry.row["userId"] == user_id)
    return _answer(visit, "get_user_sessions", rows, filters=(user_id,))


def list_courses(visit: Visit) -> Answer:
    """List the courses; the fields of an item are the sandbox's own."""
    return _answer(visit, "list_courses", analytics.courses(visit.region.census))


def _answer(
    visit: Visit,
    operation: str,
    rows: tuple[dict[str, object], ...],
    *,
    filters: tuple[object, ...] = (),
    indexes: list[int] | None = None,
) -> Answer:
    size = params.page_size(visit.query, default=50, cap=visit.region.page_cap)
    listing = Listing(visit=visit, operation=operation, filters=filters, size=size, last_cursor="null")
    place = listing.place()
    every: Iterable[int] = range(len(rows)) if indexes is None else indexes
    rest = (index for index in every if index >= place.index)
    return listing.answer(place, rest, rows.__getitem__)


def get_analytics(visit: Visit) -> Answer:
    """Show summary and time series of a period."""
    period = params.choice(visit.query, "period", tuple(analytics.PERIODS)) or "7d"
    group_by = params.choice(visit.query, "groupBy", tuple(analytics.GROUPINGS)) or "day"
    return json_answer({"data": analytics.analyse(visit.region.census, period, group_by)})


def get_stats(visit: Visit) -> Answer:
    """Show counters; every field of them is the sandbox's own."""
    return json_answer({"data": analytics.counters(visit.region.census)})


def get_usage(visit: Visit) -> Answer:
    """Show the consumption by day and metric."""
    query, region = visit.query, visit.region
    start, end = params.instant(query, "startDate"), params.instant(query, "endDate")
    end = NOW_MS if end is None else end
    start = end - _USAGE_DAYS * DAY_MS if start is None else start
    params.in_order(start, end, name="startDate")
    metric = params.choice(query, "metric", analytics.METRICS, any_case=True)
    metrics = analytics.METRICS if metric is None else (metric,)
    calls = region.stats.admitted
    return json_answer(analytics.measure(region.census, calls, start_ms=start, end_ms=end, metrics=metrics))
