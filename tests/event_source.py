"""Sessions of made-up events behind fetch functions, without HTTP, and what was asked of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from attrs import define, evolve, field

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventFilters, EventQuery
from isnotai_async._models.records import Event, EventCounts, SessionDetails, TimelineBucket
from isnotai_async._models.stream_positions import ANY, StreamPosition
from isnotai_async._models.tiers import Tier
from isnotai_async._streaming.options import StreamOptions
from isnotai_async._streaming.readers import EventFetcher
from isnotai_async._streaming.sources import Sessions, read_sessions
from isnotai_async._streaming.stream import EventStream
from isnotai_async.errors import NotFoundError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_COUNTS = EventCounts(0, 0, 0, 0, 0, 0)


def events(session_id: str, times: Iterable[int]) -> list[Event]:
    """Make events at these Unix milliseconds."""
    return [Event(f"{session_id}-{n}", n % 3, f"kind{n % 3}", at, n) for n, at in enumerate(times)]


def at(milliseconds: int) -> datetime:
    """Return an instant."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def details_of(session_id: str, rows: Sequence[Event], buckets: int = 10) -> SessionDetails:
    """Make truthful details, with the empty buckets left out."""
    times = [row.timestamp for row in rows] or [0]
    width = max(1, -(-(max(times) + 1 - min(times)) // buckets))
    counts = Counter(min(times) + (row.timestamp - min(times)) // width * width for row in rows)
    timeline = tuple(TimelineBucket(at(start), counts[start], "kind0", 1.0) for start in sorted(counts))
    total = evolve(NO_COUNTS, total=len(rows))
    return SessionDetails(session_id, at(min(times)), at(max(times)), 1.0, total, timeline, ())


@define(eq=False)
class Source:
    """Sessions, and how they are asked for.

    Attributes:
        sessions: Events by session id, in the order they are listed.
        fail: Called before each page with session id and cursor; what it raises comes out.
        pauses: How many turns of the loop a request takes at most.
        limit: Largest page.
        tier: What the answers say.
        round_trip: Seconds that a request seems to take, for what measures it.
        details: Details by session id; truthful ones where there are none.
    """

    sessions: Mapping[str, Sequence[Event]]
    fail: Callable[[str, str | None], None] = lambda session_id, cursor: None
    pauses: int = 2
    limit: int = 100
    tier: Tier | None = Tier.ENTERPRISE
    round_trip: float = 0.1
    region: str = "us"
    details: dict[str, SessionDetails | Exception] = field(factory=dict)
    random: Random = field(factory=lambda: Random(0))
    requests: list[tuple[str, str | None]] = field(factory=list)
    asked_details: list[str] = field(factory=list)
    fetched: int = 0
    now: float = 0.0
    in_flight: int = 0
    most_in_flight: int = 0

    async def fetch_page(self, query: EventQuery, cursor: str | None) -> Page[Event]:
        self.requests.append((query.session_id, cursor))
        async with self._flight():
            self.fail(query.session_id, cursor)
            if query.session_id not in self.sessions:
                raise NotFoundError("no such session", status=404)
            rows = [row for row in self.sessions[query.session_id] if _fits(row, query)]
        self.fetched += 1
        begin, size = int(cursor or 0), min(query.page_size or self.limit, self.limit)
        more = begin + size < len(rows)
        data, following = tuple(rows[begin : begin + size]), str(begin + size) if more else None
        return Page(data, following, more, size, self.tier, self.region, query.session_id)

    async def fetch_details(self, session_id: str) -> SessionDetails:
        self.asked_details.append(session_id)
        async with self._flight():
            details = self.details.get(session_id)
            if details is None:
                details = details_of(session_id, self.sessions.get(session_id, ()))
        if isinstance(details, Exception):
            raise details
        return details

    @asynccontextmanager
    async def _flight(self) -> AsyncIterator[None]:
        self.now += self.round_trip
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            for _ in range(self.random.randint(1, self.pauses)):
                await asyncio.sleep(0)
            yield
        finally:
            self.in_flight -= 1

    @property
    def fetcher(self) -> EventFetcher:
        return EventFetcher(self.region, self.fetch_page, self.fetch_details)

    def stream(self, sessions: Sessions | None = None, **options: Any) -> EventStream:
        """Make a stream as a client would."""
        names = ("page_size", "type", "start_time", "end_time")
        filters = {name: options.pop(name) for name in names if name in options}
        resume: StreamPosition | None = options.pop("resume", None)
        stream = EventStream(
            {ANY: read_sessions(list(self.sessions) if sessions is None else sessions, self.region)},
            find_fetcher=lambda name: self.fetcher,
            filters=EventFilters(**filters),
            options=StreamOptions(**options),
            resume=resume,
        )
        stream._reading.clock = lambda: self.now
        return stream

    def rows(self, *session_ids: str, **filters: Any) -> list[Event]:
        """Return what walks over these sessions (all by default) would give."""
        queries = [EventQuery(session_id=session_id, **filters) for session_id in session_ids or self.sessions]
        return [row for query in queries for row in self.sessions[query.session_id] if _fits(row, query)]


def _fits(row: Event, query: EventQuery) -> bool:
    return (
        (query.type is None or str(row.message_id) == query.type)
        and (query.start_time is None or row.timestamp >= query.start_time)
        and (query.end_time is None or row.timestamp <= query.end_time)
    )


def ids(rows: Iterable[Event]) -> list[str]:
    """Return the ids of events."""
    return [row.event_id for row in rows]


async def settle(turns: int = 200) -> None:
    """Let everything happen that can happen by itself."""
    for _ in range(turns):
        await asyncio.sleep(0)


def running_tasks() -> list[str]:
    """Name the tasks that run beside the present one, pytest's own and the sandbox's."""
    others = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [task for task in others if "TestRunner" not in task and "RequestHandler" not in task]
