"""Read the sessions that a sync has planned, and commit what comes (rules 3 and 4 of `sync_rules`).

1. One stream reads the sessions of the plan, those first that an earlier run left in the middle.
2. What was taken is committed each second or 32,000 rows, together with how far its sessions are. So the next run
   continues one that was killed, whenever that was.
3. Long active sessions (`include_open`) are read from their newest events on, one after another.
4. A session whose cursor was refused is read whole once more, after all others: its rows are a set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Position
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import SessionRef, UnfinishedSession
from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    InvalidCursorError,
    IsNotAIError,
    NotFoundError,
    PaginationError,
)
from isnotai_async.export.event_store import EventStore
from isnotai_async.export.rejected import Rejected
from isnotai_async.export.report import is_for_good, is_of_a_cursor
from isnotai_async.export.session_reading import Rows, SessionReading
from isnotai_async.export.source import ExportSource, Stream, Targets, take_pages
from isnotai_async.export.store_schema import to_datetime
from isnotai_async.export.sync_rules import Choice
from isnotai_async.export.thread import FileThread

COMMIT_SECONDS: Final = 1.0
COMMIT_ROWS: Final = 32_000  # some 4 MiB
_MOST_PLANNED: Final = 1_000  # readings that are taken out of the plan at a time


@define(kw_only=True, eq=False)
class SessionReader:
    """Reads planned sessions into the store."""

    source: ExportSource
    store: EventStore  # it is open
    thread: FileThread  # of the store
    filters: Mapping[str, Any]
    concurrency: int  # most requests in flight
    times: Mapping[str, int]  # by region, the time of this run; a region that was not listed is not read
    on_commit: Callable[[Sequence[SessionReading], int], None]  # those that have moved, and how many rows were added
    failures: dict[SessionRef, IsNotAIError] = field(factory=dict, init=False)  # sessions that were not read
    refusals: dict[str, AuthenticationError] = field(factory=dict, init=False)  # by region, that its key was refused
    _readings: dict[SessionRef, SessionReading] = field(factory=dict, init=False)  # under way
    _resumed: set[SessionRef] = field(factory=set, init=False)  # those that an earlier run started
    _restarted: dict[SessionRef, SessionReading] = field(factory=dict, init=False)  # whose cursor was refused
    _long: list[SessionReading] = field(factory=list, init=False)  # active, and too long to be read whole each time
    _pages: list[tuple[SessionReading, Rows]] = field(factory=list, init=False)  # taken, and not committed yet
    _rejected: list[Rejected] = field(factory=list, init=False)  # not committed yet
    _pending: int = field(default=0, init=False)  # rows of those pages

    async def run(self) -> None:
        """Read the planned sessions.

        Raises:
            ExportError: The store cannot be written. What is wrong with single sessions is in `failures`.
        """
        unfinished = [each for name in self.times for each in await self._resume(name)]
        await self._read({name: self._take(name) for name in self.times}, unfinished=unfinished)
        for reading in self._long:
            await self._read_long(reading)
        restarted = list(self._restarted)
        await self._read({name: _give(restarted, name) for name in dict.fromkeys(each.name for each in restarted)})

    async def _resume(self, name: str) -> list[UnfinishedSession]:
        """Return the sessions of a region that an earlier run has left in the middle."""
        unfinished = list[UnfinishedSession]()
        for reading in await self.thread.run(self.store.find_saved, name, self.times[name]):
            if walks := _read_walks(reading):
                self._readings[reading.target] = reading
                self._resumed.add(reading.target)
                unfinished.append(UnfinishedSession(name, walks))
        return unfinished

    async def _take(self, name: str) -> Targets:
        """Take the sessions of a region out of the plan, as they can be read."""
        number, now = 0, self.times[name]
        next_readings = self.store.next_readings
        while readings := await self.thread.run(next_readings, name, now, after=number, most=_MOST_PLANNED):
            number = readings[-1][0]
            for _, reading in readings:
                if name in self.refusals:
                    return
                if reading.choice is Choice.READ_NEW:
                    self._long.append(reading)
                elif reading.target not in self._resumed:
                    self._readings[reading.target] = reading
                    yield reading.target

    async def _read_long(self, reading: SessionReading) -> None:
        self._readings[reading.target] = reading
        start = to_datetime(self.store.rules.read_from(reading.choice, reading.newest))
        await self._read({reading.region: _give([reading.target], reading.region)}, start_time=start)

    async def _read(self, targets: Mapping[str, Targets], **options: Any) -> None:  # noqa: ANN401 - of stream_events
        """Read the sessions of each region, and commit their rows."""
        if not targets:
            return
        stream = self.source.open_stream(
            targets, filters=self.filters, on_error="collect", concurrency=self.concurrency, **options
        )
        try:
            async with stream:
                stream.take_news()  # from now on, it returns what has changed
                while await take_pages(stream, COMMIT_SECONDS, self._take_page):
                    await self._commit(stream)
        finally:
            if self.thread.trouble is None:
                await self._commit(stream)  # to its end, also if this task is cancelled
        if self.thread.trouble is not None:  # of a region's plan; the stream takes it for that region's only
            raise self.thread.trouble

    def _take_page(self, page: Page[Event]) -> bool:
        """Hold a page until the next commit; return whether it is due."""
        target = SessionRef(page.name, page.session_id or "")
        if page.data:
            self._pages.append((self._readings[target], Rows.of(page)))
        self._rejected += [Rejected.of(*target, record) for record in page.rejected]
        self._pending += len(page.data)
        return self._pending >= COMMIT_ROWS

    async def _commit(self, stream: Stream) -> None:
        pages, self._pages, self._pending = self._pages, [], 0
        moves, failures = stream.take_news()
        standing = [self._describe(target, session) for target, session in moves.items()]
        rejected, self._rejected, added = self._rejected, [], 0
        refused = [reading for target, error in failures.items() if (reading := self._note_failure(target, error))]
        if standing or refused or rejected:
            commit = self.store.commit
            added = await self.thread.run(commit, pages, standing, refused=refused, rejected=rejected)
        self.on_commit(list(dict.fromkeys([*standing, *refused])), added)  # each once

    def _describe(self, target: SessionRef, session: UnfinishedSession | None) -> SessionReading:
        """Update a reading to the position of the stream."""
        if session is None:
            reading = self._readings.pop(target)
            reading.is_through = True
            return reading
        reading = self._readings[target]
        reading.walks = [json.loads(walk.to_json()) for walk in session.walks]
        return reading

    def _note_failure(self, target: SessionRef, error: IsNotAIError) -> SessionReading | None:
        """Note that a session could not be read; return its reading if the API refused it for good."""
        reading = self._readings.pop(target)
        reading.is_gone = isinstance(error, NotFoundError)
        if isinstance(error, AuthenticationError):
            self.refusals.setdefault(target.name, error)
        elif target not in self._restarted and self._has_lost_cursor(target, error):
            began = self.times[target.name]
            fresh = SessionReading(
                region=target.name, session_id=target.session_id, choice=reading.choice, began=began
            )
            self._readings[target] = self._restarted[target] = fresh
        else:
            if reading.choice is not Choice.AUDIT or not is_for_good(error):
                self.failures[target] = error
            return reading if is_for_good(error) else None
        return None

    def _has_lost_cursor(self, target: SessionRef, error: IsNotAIError) -> bool:
        if isinstance(error, InvalidCursorError | PaginationError):
            return True
        return target in self._resumed and is_of_a_cursor(error)


def _read_walks(reading: SessionReading) -> tuple[Position, ...]:
    """Return the position of a reading; nothing if it cannot be used, so that the session is read from its start."""
    try:
        walks = tuple(Position.from_json(json.dumps(walk)) for walk in reading.walks)
    except ConfigError:  # of another release
        return ()
    return walks if any(walk.cursor is not None for walk in walks) else ()


async def _give(targets: Iterable[SessionRef], name: str) -> Targets:
    for target in targets:
        if target.name == name:
            yield target
