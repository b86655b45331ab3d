"""The routes of the API: a table, and one function for each operation.

A new operation is one more function and one more row of `OPERATIONS`, and its name in `limits`; a new list also needs
a mint in `region`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from isnotai_async.sandbox import analytics, params
from isnotai_async.sandbox.data import SandboxSession
from isnotai_async.sandbox.generated import BOT_SCORE
from isnotai_async.sandbox.pagination import PagedList, Visit
from isnotai_async.sandbox.responses import JSON, SandboxReply, envelope, json_answer
from isnotai_async.sandbox.seed_data import DAY_MS, NOW_MS, iso

_CONTRACT: Final = files("isnotai_async") / "openapi.json"
# The range of `getUsage` if no start is given.
_USAGE_DAYS: Final = 30


def list_users(visit: Visit) -> SandboxReply:
    """List the users whose id or name has the text that is searched for."""
    search = visit.query.get("search", "").casefold()

    def matches(user: dict[str, object]) -> bool:
        return any(search in str(user[name] or "").casefold() for name in ("userId", "userName"))

    return _answer(visit, "list_users", tuple(filter(matches, visit.region.users)), filters=(search,))


def get_user_sessions(visit: Visit) -> SandboxReply:
    """List the sessions of one user: of an unknown one, none, because the contract has no 404 here."""
    user_id, entries = visit.names["userId"], visit.region.census
    rows = tuple(dict(entry.row) for entry in entries if entry.row["userId"] == user_id)
    return _answer(visit, "get_user_sessions", rows, filters=(user_id,))


def list_courses(visit: Visit) -> SandboxReply:
    """List the courses; the fields of an item are the sandbox's own."""
    return _answer(visit, "list_courses", analytics.courses(visit.region.census))


def _answer(
    visit: Visit, operation: str, rows: tuple[dict[str, object], ...], *, filters: tuple[object, ...] = ()
) -> SandboxReply:
    size = params.page_size(visit.query, default=50, cap=visit.region.page_cap)
    listing = PagedList(visit=visit, operation=operation, filters=filters, size=size, last_cursor="null")
    place = listing.place()
    return listing.answer(place, iter(range(place.index, len(rows))), rows.__getitem__)


def get_analytics(visit: Visit) -> SandboxReply:
    """Answer with summary and time series of a period."""
    period = params.choice(visit.query, "period", tuple(analytics.PERIODS)) or "7d"
    group_by = params.choice(visit.query, "groupBy", tuple(analytics.GROUPINGS)) or "day"
    return json_answer({"data": analytics.analyse(visit.region.census, period, group_by)})


def get_stats(visit: Visit) -> SandboxReply:
    """Show counters; every field of them is the sandbox's own."""
    return json_answer({"data": analytics.counters(visit.region.census)})


def get_usage(visit: Visit) -> SandboxReply:
    """Answer with the consumption by day and metric."""
    query, region = visit.query, visit.region
    start, end = params.instant(query, "startDate"), params.instant(query, "endDate")
    end_is = "the end" if end is not None else f"now, which is always {iso(NOW_MS)[:19]}Z in the sandbox"
    end = NOW_MS if end is None else end
    start = end - _USAGE_DAYS * DAY_MS if start is None else start
    params.in_order(start, end, name="startDate", end_is=end_is)
    metric = params.choice(query, "metric", analytics.METRICS, any_case=True)
    metrics = analytics.METRICS if metric is None else (metric,)
    calls = region.stats.admitted
    return json_answer(analytics.measure(region.census, calls, start_ms=start, end_ms=end, metrics=metrics))


def health(_visit: Visit) -> SandboxReply:
    """Answer that the server is alive."""
    return json_answer({"status": "healthy", "version": "1.0.17.0", "timestamp": iso(NOW_MS)})


def show_contract(_visit: Visit) -> SandboxReply:
    """Show the API's own description: the contract that this package carries."""
    return SandboxReply(200, _CONTRACT.read_bytes(), {"Content-Type": JSON})


def get_integration(visit: Visit) -> SandboxReply:
    """Show the masked key; the rest of the real schema is not public."""
    key = visit.region.key
    return json_answer({"data": {"apiKeyMasked": f"{key[:7]}****{key[-4:]}"}})


def list_sessions(visit: Visit) -> SandboxReply:
    """List the sessions that pass the filters."""
    query, region = visit.query, visit.region
    size = params.page_size(query, default=50, cap=region.page_cap)
    status, bot_only = query.get("status"), params.boolean(query, "botOnly")
    start, end = params.instant(query, "startDate"), params.instant(query, "endDate")
    params.in_order(start, end, name="startDate")
    filters = (status, bot_only, start, end)
    listing = PagedList(visit=visit, operation="list_sessions", filters=filters, size=size, last_cursor="absent")
    ids = region.data.ids

    def admits(session: SandboxSession) -> bool:
        return (
            (status is None or session.status == status)
            and (not bot_only or (session.bot_score is not None and session.bot_score >= BOT_SCORE))
            and (start is None or session.start_ms >= start)
            and (end is None or session.start_ms <= end)
        )

    def indexes(first: int) -> Iterator[int]:
        return (index for index in range(first, len(ids)) if admits(region.data[ids[index]]))

    place = listing.place()
    # Documented: a startDate before the tier's history window gives an empty page, not an error.
    too_early = start is not None and start < NOW_MS - region.plan.history_days * DAY_MS
    found = iter(()) if too_early else indexes(place.index)
    return listing.answer(place, found, lambda index: region.data[ids[index]].show())


def get_session(visit: Visit) -> SandboxReply:
    """Answer with one session."""
    return json_answer({"data": _find(visit).show()})


def get_session_details(visit: Visit) -> SandboxReply:
    """Show timeline, counts and pages of one session."""
    return json_answer({"data": _find(visit).details})


def list_events(visit: Visit) -> SandboxReply:
    """List the events of one session that pass the filters."""
    query = visit.query
    size = params.page_size(query, default=100, cap=visit.region.page_cap)
    kind = params.event_type(query, visit.region.data.types)
    start, end = params.whole(query, "startTime"), params.whole(query, "endTime")
    params.in_order(start, end, name="startTime")
    session = _find(visit)
    filters = (session.id, kind, start, end)
    listing = PagedList(visit=visit, operation="list_events", filters=filters, size=size, last_cursor="null")
    place = listing.place()
    found = session.log.select(place.index, kind=kind, start=start, end=end)
    return listing.answer(place, found, session.log.event)


def _find(visit: Visit) -> SandboxSession:
    """Return the session that the path names."""
    try:
        return visit.region.data[visit.names["sessionId"]]
    except KeyError:
        answer = envelope(404, "SESSION_NOT_FOUND", "There is no session of this id.")
        raise params.RefusedError(answer) from None


@frozen
class Operation:
    """One operation of the API: its path, and the function that answers it.

    Attributes:
        name: Operation id of the contract, in snake case.
        path: Its path, with placeholders in braces.
        handle: Makes its answer.
        public: Whether it works without a key.
        rejects: Whether the contract lists a 400 for its parameters.
    """

    name: str
    path: str
    handle: Callable[[Visit], SandboxReply] = field(repr=False)
    public: bool = False
    rejects: bool = True
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    @_pattern.default
    def _compile(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))

    def match(self, raw_path: str) -> Mapping[str, str] | None:
        """Match a percent-encoded path.

        Returns:
            The placeholders' values, decoded after the path was split, so that an encoded slash stays in its
            segment; None when it is another path.
        """
        matched = self._pattern.fullmatch(raw_path)
        return matched and {name: unquote(value) for name, value in matched.groupdict().items()}


OPERATIONS: Final = (
    Operation("list_events", "/v1/sessions/{sessionId}/events", list_events),
    Operation("get_session_details", "/v1/sessions/{sessionId}/details", get_session_details),
    Operation("get_session", "/v1/sessions/{sessionId}", get_session),
    Operation("list_sessions", "/v1/sessions", list_sessions),
    Operation("list_users", "/v1/users", list_users, rejects=False),
    Operation("get_user_sessions", "/v1/users/{userId}/sessions", get_user_sessions),
    Operation("list_courses", "/v1/courses", list_courses, rejects=False),
    Operation("get_analytics", "/v1/analytics", get_analytics),
    Operation("get_stats", "/v1/stats", get_stats),
    Operation("get_usage", "/v1/usage", get_usage),
    Operation("get_integration", "/v1/integration", get_integration),
    Operation("health", "/health", health, public=True),
    Operation("openapi", "/openapi/v3.json", show_contract, public=True),
)
