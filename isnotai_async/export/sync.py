"""Bring an event store up to date: list the regions, read what the rules choose, judge what audits found.

The rules are in `sync_rules`, their effect on the database in `event_store`.

1. All regions are listed at once. One that cannot be listed ends alone; its error is raised when the others are done.
2. The sessions that the plan names are read and committed (`sync_reading`).
3. If audits found rows, the records of their sessions are asked for: one whose updatedAt has changed since the
   listing is no reason to distrust it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import anyio
from attrs import define, field

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.queries import EventFilters, SessionQuery
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async._models.times import MILLISECOND, to_milliseconds
from isnotai_async._models.validation import explain_names
from isnotai_async._notices import capture_notices
from isnotai_async._streaming.options import StreamOptions
from isnotai_async.errors import ConfigError, ExportError, IsNotAIError, quoted
from isnotai_async.export.api import check_target_name
from isnotai_async.export.event_store import EventStore
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.report import OnProgress, SessionFailure, StoreReport, is_for_good, show_progress
from isnotai_async.export.session_reading import SessionReading
from isnotai_async.export.source import ExportSource, find_source
from isnotai_async.export.store_file import READER_SECONDS, StoreFile
from isnotai_async.export.store_schema import encode_time
from isnotai_async.export.sync_listing import RegionLister, SessionListing
from isnotai_async.export.sync_reading import SessionReader
from isnotai_async.export.sync_rules import Choice, State, SyncRules
from isnotai_async.export.thread import FileThread

Duration = timedelta | float
"""A `timedelta`, or seconds."""

_WATCH: Final = timedelta(days=7)
_SETTLE: Final = timedelta(hours=24)
_MAX_OPEN: Final = timedelta(days=30)


@explain_names
async def update_store(
    source: Client | SessionManager,
    path: str | os.PathLike[str],
    *,
    start_date: datetime | date | str | None = None,
    watch: Duration = _WATCH,
    settle: Duration = _SETTLE,
    max_open: Duration = _MAX_OPEN,
    include_open: bool = False,
    type: int | str | None = None,
    status: str | None = None,
    bot_only: bool = False,
    concurrency: int = 16,
    on_progress: OnProgress | None = None,
) -> StoreReport:
    """Bring an SQLite database of sessions and events up to date, each event once.

    The first call makes the database; the same call, each night say, adds what is new. A session is read whole once
    it has been quiet for `settle`, and again if it was not; rows are only added. After an error, a cancellation,
    ``kill -9`` or a power cut, the same call continues. Other programs can read the database at any time.

    Example:
        >>> report = await isnotai.update_store(client, "events.db", bot_only=True)
        >>> report.sessions, report.rows, report.is_complete
        (7, 2379, True)

    Args:
        source: A `Client`, or a `SessionManager` for all its regions.
        path: The database. Tables: ``events`` and ``sessions``.
        start_date: Sessions created at or after it, for the first call; None for all. A later call may extend the
            store to an earlier date.
        watch: How long after its creation a session's record is looked at again. A `timedelta`, or seconds, as the
            next two.
        settle: How long a session has to be quiet before it is read; at most `watch`.
        max_open: After how long an active session is read for the last time; at least `watch`.
        include_open: Read active sessions too, and again in each call until they are quiet.
        type: Message-type byte or short name of the events. The filters are the same in each call.
        status: Only sessions that were listed with this status.
        bot_only: Only sessions with a bot score of at least 0.7.
        concurrency: Most requests in flight.
        on_progress: Called with an `ExportProgress` as sessions are listed and as pages are committed, on the event
            loop, so it has to be quick. What it raises is logged and ignored.

    Returns:
        What was done. If it `is_complete` is False, sessions have failed that the same call tries again.

    Raises:
        ConfigError: At once, for an option that cannot work.
        ExportLockedError: Another sync is updating this store.
        StoreError: The file is no event store, or has other filters, another API or another account.
        SinkError: The store cannot be written. What was committed is safe.
        IsNotAIError: A region could not be listed or refused the key. The others were brought up to date.
    """
    rules = SyncRules(
        watch=_read_duration(watch, "watch"),
        settle=_read_duration(settle, "settle"),
        max_open=_read_duration(max_open, "max_open"),
        include_open=include_open,
    )
    if not rules.settle <= rules.watch <= rules.max_open:
        raise ConfigError(
            f"settle={_show(rules.settle)} must not be above watch={_show(rules.watch)}, nor that above "
            f"max_open={_show(rules.max_open)}"
        )
    sessions = SessionQuery(status=status, bot_only=bot_only or None, start_date=start_date)
    StreamOptions(concurrency=concurrency)  # rejects what cannot work before anything is touched
    start = None if sessions.start_date is None else to_milliseconds(datetime.fromisoformat(sessions.start_date))
    filters = {name: value for name, value in sessions.filters.items() if name != "start_date"}
    sync = Sync(
        source=find_source(source),
        path=check_target_name(path),
        rules=rules,
        events=EventFilters(type=type).filters,
        sessions=filters,
        start=start,
        concurrency=concurrency,
        on_progress=on_progress,
    )
    return await sync.run()


def _read_duration(value: Duration, name: str) -> int:
    """Return a duration in milliseconds."""
    if isinstance(value, timedelta):
        milliseconds = value / MILLISECOND
    elif isinstance(value, int | float) and not isinstance(value, bool):
        milliseconds = value * 1000
    else:
        raise ConfigError(f"{name} must be a timedelta or seconds, not {value.__class__.__name__}")
    if not 0 < milliseconds < 1e15:
        shown = str(value) if isinstance(value, timedelta) else quoted(value)
        raise ConfigError(f"{name} is {shown}; it must be longer than 0 s and shorter than 1e12 s")
    return round(milliseconds)


def _show(milliseconds: int) -> str:
    """Return a duration as text, such as ``10 days`` or ``1:30:00``."""
    return str(timedelta(milliseconds=milliseconds)).removesuffix(", 0:00:00")


@define(kw_only=True, eq=False)
class Sync:
    """One run."""

    source: ExportSource
    path: Path
    rules: SyncRules
    events: Mapping[str, Any]
    sessions: Mapping[str, Any]
    start: int | None = None  # creation from which the first run lists, in Unix milliseconds
    concurrency: int = 16  # most requests in flight
    on_progress: OnProgress | None = None  # called with an `ExportProgress`, or None
    patience: float = READER_SECONDS  # seconds that a commit waits for programs that read the store
    _store: EventStore = field(init=False)
    _thread: FileThread = field(init=False)  # of the store
    _metrics: ExportMetrics = field(factory=ExportMetrics, init=False)
    _counts: Counter[str] = field(factory=Counter, init=False)  # by the names of `StoreReport`
    _listings: dict[str, SessionListing] = field(factory=dict, init=False)
    _listed: int = field(default=0, init=False)  # sessions, so far
    _errors: list[Exception] = field(factory=list, init=False)  # each ended a region
    _rows: int = field(default=0, init=False)  # in the store, before this run
    _failures: Mapping[SessionRef, IsNotAIError] = field(factory=dict, init=False)  # so far
    _grown: list[SessionReading] = field(factory=list, init=False)  # audits that found rows

    async def run(self) -> StoreReport:
        """Run, and return what was done; errors as of `update_store`."""
        file = StoreFile(self.path, self.patience)
        self._store = EventStore(file, self.rules)
        with FileThread(file.explain) as self._thread, capture_notices(self._metrics.on_notice):
            try:
                await self._thread.run(file.open, {**self.events, **self.sessions})
                return await self._run()
            finally:
                await self._thread.run(file.close)

    async def _run(self) -> StoreReport:
        self._rows = await self._thread.run(self._store.count_rows)
        async with anyio.create_task_group() as group:
            for name in self.source.regions:
                group.start_soon(self._list, name)
        for error in self._errors:
            if isinstance(error, ExportError) or not isinstance(error, IsNotAIError):
                raise error
        reader = SessionReader(
            source=self.source,
            store=self._store,
            thread=self._thread,
            filters=self.events,
            concurrency=self.concurrency,
            times={name: listing.now for name, listing in self._listings.items()},
            on_commit=self._note,
        )
        self._failures = reader.failures
        await reader.run()
        await self._judge_growth()
        for error in [*reader.refusals.values(), *self._errors]:
            raise error
        return await self._report()

    async def _list(self, name: str) -> None:
        lister = RegionLister(
            name=name,
            place=self.source.regions[name],
            # Without a deadline: like a stream, a listing waits for the quota as long as it takes.
            client=self.source.client(name).with_options(deadline=None),
            store=self._store,
            thread=self._thread,
            filters=self.sessions,
            start=self.start,
            on_page=self._note_listed,
        )
        try:
            listing = self._listings[name] = await lister.run()
        except Exception as error:  # noqa: BLE001 - raised when all regions are through
            self._errors.append(error)
            return
        self._counts.update(listed=listing.listed, new_sessions=listing.new, waiting=listing.waiting)

    def _note_listed(self, sessions: int) -> None:
        self._listed += sessions
        self._show_progress()

    def _note(self, readings: Sequence[SessionReading], added: int) -> None:
        """Count the rows of a commit."""
        self._counts["added"] += added
        for reading in readings:
            is_audit = reading.choice is Choice.AUDIT and reading.is_through
            self._counts.update(
                read=reading.is_through,
                audited=is_audit,
                abandoned=reading.state is State.ABANDONED,
                expired=reading.is_expired,
                differing=reading.differing if reading.is_through else 0,
            )
            if is_audit and reading.added:
                self._grown.append(reading)
        self._show_progress()

    async def _judge_growth(self) -> None:
        """Decide whether audits that found rows are a reason to distrust updatedAt; the store does until now."""
        for name, listing in self._listings.items():
            grown = [reading for reading in self._grown if reading.region == name]
            unseen = [reading for reading in grown if not await self._has_new_record(reading)]
            self._counts["unseen"] += sum(reading.added for reading in unseen)
            if grown and not unseen and listing.is_trusted:
                await self._thread.run(self._store.trust, name)

    async def _has_new_record(self, reading: SessionReading) -> bool:
        """Return whether the updatedAt of a session has changed since it was listed."""
        known = await self._thread.run(self._store.find_updated_at, reading.region, reading.session_id)
        try:
            record = await self.source.client(reading.region).get_session(reading.session_id)
        except IsNotAIError:
            return False
        return record.updated_at is not None and encode_time(record.updated_at) != known

    async def _report(self) -> StoreReport:
        failures, store = self._failures, self._store
        rejected, gaps = await self._thread.run(store.take_doubts)
        return StoreReport(
            path=self.path,
            rows=self._rows + self._counts["added"],
            sessions=await self._thread.run(store.count_sessions),
            size=store.file.size,
            **self._counts,
            rejected=rejected,
            gaps=gaps,
            failures=tuple(SessionFailure.describe(*target, error) for target, error in failures.items()),
            requests=self._metrics.requests,
            waited=self._metrics.waited,
            elapsed=self._metrics.elapsed,
            is_complete=all(map(is_for_good, failures.values())),
        )

    def _show_progress(self) -> None:
        is_listed = len(self._listings) + len(self._errors) == len(self.source.regions)
        planned = sum(listing.planned for listing in self._listings.values())
        show_progress(
            self.on_progress,
            self._metrics,
            rows=self._rows + self._counts["added"],
            size=self._store.file.size,
            sessions_taken=self._listed,
            sessions_done=self._counts["read"],
            sessions_failed=len(self._failures),
            sessions=planned if is_listed else None,
        )
