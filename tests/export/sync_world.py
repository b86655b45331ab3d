"""An API whose sessions, rows and clock a test moves between the runs of a sync and during them.

The truth is kept apart from what is served: `World.exists` has every row that ever arrived, in plain tuples.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from attrs import define, field

from isnotai_async import Client, Tier, Unlimited
from isnotai_async.export.report import StoreReport
from isnotai_async.export.source import find_source
from isnotai_async.export.sync import Sync
from isnotai_async.export.sync_rules import SyncRules

KEY = "aik_v1_" + "k" * 40
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_780_000_000_000  # a full second

Row = tuple[str, str, str, int, str, int, int]


@define
class Played:
    """A world, and the store that syncs fill from it.

    Attributes:
        world: The world.
        client: A client for it.
        path: The store.
        rules: Class of the rules; a test may switch one off.
    """

    world: World
    client: Client
    path: Path
    rules: type[SyncRules] = SyncRules

    async def sync(self, *, start: int | None = None, patience: float = 60.0, **rules: Any) -> StoreReport:
        """Run a sync, and look at nothing but what it asked for."""
        self.world.read.clear()
        self.world.requests.clear()
        chosen = self.rules(**{"watch": 7 * DAY, "settle": DAY, "max_open": 30 * DAY, **rules})
        source, options = find_source(self.client), {"start": start, "patience": patience}
        return await Sync(source=source, path=self.path, rules=chosen, events={}, sessions={}, **options).run()  # type: ignore[arg-type]

    def rows(self) -> list[Row]:
        """Return the rows of the store."""
        return read_rows(self.path)

    def is_whole(self) -> bool:
        """Return whether the store has what exists, each row once."""
        return self.rows() == sorted(self.world.exists.values())


def read_rows(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as db:
        columns = "region, session_id, event_id, message_id, event_type_name, timestamp, payload_size"
        return sorted(db.execute(f"SELECT {columns} FROM events"))


@define
class Served:
    """A session as the API has it.

    Attributes:
        id: Its id.
        created: Unix milliseconds; None for a record that does not say.
        updated: When it changed, as its record says.
        rows: Its rows, in the order of arrival.
        is_gone: Whether the API says that it is not there.
        changes: Fields of its record that are otherwise than a record's usually are.
    """

    id: str
    created: int
    updated: int | None
    status: str = "active"
    rows: list[dict[str, Any]] = field(factory=list)
    is_gone: bool = False
    changes: dict[str, Any] = field(factory=dict)


async def go_on() -> None:
    """Hold nothing."""


@define(eq=False)
class World:
    """One region.

    Attributes:
        region: Its name.
        now: Its clock, in Unix milliseconds.
        page_size: Largest page of events.
        overlaps: Whether a page starts with the last row of the page before.
        clamps: Whether a page is no larger than it was asked for.
        list_size: Largest page of sessions.
        order: How rows are listed: by "arrival", by "time" or "falling".
        tells_time: Whether the header Date of an answer is a date.
        tells_updates: Whether a record's updatedAt moves when a row arrives.
        history: How far back events are given, in milliseconds; None for all.
        window: How far back sessions are listed, likewise; None for as long as the tier's documented history.
        during: Called before each answer, with the kind of the request, so that a test can move things.
        hold: Awaited before each page of events.
        refuse: Called before each answer; what it returns is the status of an error.
    """

    region: str = "us"
    now: int = START
    page_size: int = 3
    overlaps: bool = False
    clamps: bool = True
    list_size: int = 2
    order: str = "arrival"
    tier: str = "enterprise"
    tells_updates: bool = True
    tells_time: bool = True
    history: int | None = None
    window: int | None = None
    during: Callable[[str], None] = lambda kind: None
    hold: Callable[[], Awaitable[None]] = go_on
    refuse: Callable[[str, web.Request], int | None] = lambda kind, request: None
    sessions: dict[str, Served] = field(factory=dict)
    exists: dict[tuple[str, str, str], Row] = field(factory=dict)
    requests: Counter[str] = field(factory=Counter)
    read: list[str] = field(factory=list)
    epoch: int = 0

    def add_session(self, session_id: str, created: int | None = None, **options: Any) -> Served:
        """Create a session."""
        at = self.now if created is None else created
        self.sessions[session_id] = Served(session_id, at, at, **options)
        return self.sessions[session_id]

    def grow(self, session_id: str, *times: int, moves: bool | None = None) -> None:
        """Let rows of these times arrive; the record says so unless `moves` or `tells_updates` is False."""
        session = self.sessions[session_id]
        for time in times:
            number = len(session.rows)
            row = (self.region, session_id, f"{session_id}-{number}", number % 3, f"kind{number % 3}", time, number)
            names = ("eventId", "messageId", "eventTypeName", "timestamp", "payloadSize")
            session.rows.append(dict(zip(names, row[2:], strict=True)))
            self.exists[row[:3]] = row
        if self.tells_updates if moves is None else moves:
            session.updated = self.now

    def expire_cursors(self) -> None:
        """Refuse all cursors that were given so far."""
        self.epoch += 1

    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Client]:
        """Serve, and give a client for it."""
        runner = await self.start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}"
        try:
            async with Client(KEY, region=self.region, base_url=url, limiter=Unlimited()) as client:
                yield client
        finally:
            await runner.cleanup()

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/sessions", self._list)
        app.router.add_get("/v1/sessions/{id}", self._session)
        app.router.add_get("/v1/sessions/{id}/events", self._events)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _health(self, request: web.Request) -> web.Response:
        return self._json({"status": "healthy", "version": "1", "timestamp": iso(self.now)})

    async def _list(self, request: web.Request) -> web.Response:
        if error := self._begin("list", request):
            return error
        since = request.query.get("startDate")
        first = 0 if since is None else to_ms(datetime.fromisoformat(since))
        status = request.query.get("status")
        oldest = self.now - (self.window or Tier(self.tier).history // timedelta(milliseconds=1))
        if first and first < oldest:
            return self._page(request, [], 1)  # documented: no error
        first = max(first, oldest)
        found = [s for s in self.sessions.values() if s.created >= first and status in {None, s.status}]
        keyed = [([-s.created, s.id], record(s)) for s in sorted(found, key=lambda s: (-s.created, s.id))]
        return self._page(request, keyed, self.list_size)

    async def _session(self, request: web.Request) -> web.Response:
        if error := self._begin("session", request):
            return error
        found = self.sessions.get(request.match_info["id"])
        return self._error(404) if found is None or found.is_gone else self._json({"data": record(found)})

    async def _events(self, request: web.Request) -> web.Response:
        session_id = request.match_info["id"]
        await self.hold()
        if "cursor" not in request.query:
            self.read.append(session_id)
        if error := self._begin("events", request):
            return error
        found = self.sessions.get(session_id)
        if found is None or found.is_gone:
            return self._error(404)
        oldest = -(2**62) if self.history is None else self.now - self.history
        oldest = max(oldest, int(request.query.get("startTime", oldest)))
        kind = request.query.get("type")
        keyed = [
            (self._key(number, row), row)
            for number, row in enumerate(found.rows)
            if row["timestamp"] >= oldest and kind in {None, str(row["messageId"])}
        ]
        return self._page(request, sorted(keyed, key=lambda pair: pair[0]), self.page_size)

    def _key(self, number: int, row: dict[str, Any]) -> list[Any]:
        time = {"arrival": 0, "time": row["timestamp"], "falling": -row["timestamp"]}[self.order]
        return [time, number]

    def _begin(self, kind: str, request: web.Request) -> web.Response | None:
        self.requests[kind] += 1
        self.during(kind)
        status = self.refuse(kind, request)
        if status is None and request.headers.get("Authorization") != f"Bearer {KEY}":
            status = 401
        if status is None and "cursor" in request.query and decode(request.query["cursor"])[0] != self.epoch:
            status = 400
        return None if status is None else self._error(status)

    def _page(self, request: web.Request, keyed: Sequence[Sequence[Any]], most: int) -> web.Response:
        if "cursor" in request.query:
            behind = decode(request.query["cursor"])[1]
            keyed = [pair for pair in keyed if pair[0] > behind or (self.overlaps and pair[0] == behind)]
        size = min(most, int(request.query.get("pageSize", most))) if self.clamps else most
        given, more = keyed[:size], len(keyed) > size
        cursor = encode([self.epoch, given[-1][0]]) if more else None
        page = {"hasMore": more, "limit": size, "nextCursor": cursor}
        return self._json({"data": [row for _, row in given], "pagination": page})

    def _error(self, status: int) -> web.Response:
        codes = {400: "INVALID_CURSOR", 401: "INVALID_API_KEY", 403: "FORBIDDEN", 404: "SESSION_NOT_FOUND"}
        body = {"error": {"code": codes.get(status, "ERROR"), "message": "no", "details": {"field": "cursor"}}}
        return self._json(body, status)

    def _json(self, body: object, status: int = 200) -> web.Response:
        if not self.tells_time:
            return web.json_response(body, status=status, headers={"Date": "soon", "x-isnotai-tier": self.tier})
        date = format_datetime(EPOCH + timedelta(seconds=self.now // 1000), usegmt=True)
        return web.json_response(body, status=status, headers={"Date": date, "x-isnotai-tier": self.tier})


def record(session: Served) -> dict[str, Any]:
    return {
        "id": session.id,
        "createdAt": iso(session.created),
        "updatedAt": iso(session.updated if session.updated is not None else session.created),
        "status": session.status,
        "botScore": None,
        "detectionFlags": [],
        **session.changes,
    }


def iso(milliseconds: int) -> str:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def encode(cursor: object) -> str:
    return urlsafe_b64encode(json.dumps(cursor).encode()).decode()


def decode(cursor: str) -> Any:
    return json.loads(urlsafe_b64decode(cursor))
