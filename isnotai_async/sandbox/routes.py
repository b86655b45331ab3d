"""The operations of the API: a table, and a function for each. No HTTP library is known here.

A new operation is one more function and one more row of `OPERATIONS`, and its name in
`plans`; a new list also needs a mint in `region`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from isnotai_async.sandbox import params, reports
from isnotai_async.sandbox.data import Log, Session
from isnotai_async.sandbox.generated import BOT_SCORE
from isnotai_async.sandbox.pagination import Listing, Visit
from isnotai_async.sandbox.responses import Answer, envelope, json_answer
from isnotai_async.sandbox.times import DAY_MS, NOW_MS, iso


def health(_visit: Visit) -> Answer:
    """Say that the server is alive."""
    return json_answer({"status": "healthy", "version": "1.0.17.0", "timestamp": iso(NOW_MS)})


def get_integration(visit: Visit) -> Answer:
    """Show the masked key; the rest of the real schema is not public."""
    key = visit.region.key
    return json_answer({"data": {"apiKeyMasked": f"{key[:7]}****{key[-4:]}"}})


def list_sessions(visit: Visit) -> Answer:
    """List the sessions that pass the filters."""
    query, region = visit.query, visit.region
    size = params.page_size(query, default=50, cap=region.page_cap)
    status, bot_only = query.get("status"), params.boolean(query, "botOnly")
    start, end = params.instant(query, "startDate"), params.instant(query, "endDate")
    params.in_order(start, end, name="startDate")
    listing = Listing(
        visit=visit,
        operation="list_sessions",
        filters=(status, bot_only, start, end),
        size=size,
        last_cursor="absent",
    )
    ids = region.data.ids

    def admits(session: Session) -> bool:
        return (
            (status is None or session.status == status)
            and (not bot_only or (session.bot_score is not None and session.bot_score >= BOT_SCORE))
            and (start is None or session.start_ms >= start)
            and (end is None or session.start_ms <= end)
        )

    def indexes(first: int) -> Iterator[int]:
        return (index for index in range(first, len(ids)) if admits(_session(visit, ids[index])))

    place = listing.place()
    # Documented: a startDate before the tier's history window gives an empty page, not an error.
    too_early = start is not None and start < NOW_MS - region.plan.history_days * DAY_MS
    found = iter(()) if too_early else indexes(place.index)
    return listing.answer(place, found, lambda index: region.data.show(_session(visit, ids[index])))


def get_session(visit: Visit) -> Answer:
    """Show one session."""
    return json_answer({"data": visit.region.data.show(_session(visit, visit.names["sessionId"]))})


def get_session_details(visit: Visit) -> Answer:
    """Show timeline, counts and pages of one session."""
    return json_answer({"data": visit.region.data.details(_session(visit, visit.names["sessionId"]))})


def list_events(visit: Visit) -> Answer:
    """List the events of one session that pass the filters."""
    query = visit.query
    size = params.page_size(query, default=100, cap=visit.region.page_cap)
    kind = params.event_type(query, visit.region.data.types)
    start, end = params.milliseconds(query, "startTime"), params.milliseconds(query, "endTime")
    params.in_order(start, end, name="startTime")
    session = _session(visit, visit.names["sessionId"])
    log: Log = visit.region.data.log(session)
    listing = Listing(
        visit=visit,
        operation="list_events",
        filters=(session.id, kind, start, end),
        size=size,
        last_cursor="null",
    )
    place = listing.place()
    return listing.answer(place, log.select(place.index, kind=kind, start=start, end=end), log.event)


def _session(visit: Visit, session_id: str) -> Session:
    session: Session | None = visit.region.data.find(session_id)
    if session is None:
        raise params.RefusedError(envelope(404, "NOT_FOUND", "There is no session of this id."))
    return session


@frozen
class Operation:
    """One row of the API.

    Attributes:
        name: Operation id of the contract, in snake case.
        path: Its path, with placeholders in braces.
        handle: Makes its answer.
        public: Whether it works without a key.
    """

    name: str
    path: str
    handle: Callable[[Visit], Answer] = field(repr=False)
    public: bool = False
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
    Operation("list_users", "/v1/users", reports.list_users),
    Operation("get_user_sessions", "/v1/users/{userId}/sessions", reports.get_user_sessions),
    Operation("list_courses", "/v1/courses", reports.list_courses),
    Operation("get_analytics", "/v1/analytics", reports.get_analytics),
    Operation("get_stats", "/v1/stats", reports.get_stats),
    Operation("get_usage", "/v1/usage", reports.get_usage),
    Operation("get_integration", "/v1/integration", get_integration),
    Operation("health", "/health", health, public=True),
)
