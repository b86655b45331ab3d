"""`Runner`: one run of an export: it moves pages from a stream into the store, with regular commits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from attrs import define, field

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    ExportError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    StoreError,
    TransportError,
)
from isnotai_async.export.places import shown
from isnotai_async.export.report import OnProgress, show_progress
from isnotai_async.export.source import Stream, take_pages
from isnotai_async.export.thread import FileThread
from isnotai_async.export.tracker import SessionTracker
from isnotai_async.export.work_store import WorkStore

COMMIT_BYTES: Final = 4 << 20
COMMIT_SECONDS: Final = 1.0
_MOST_UNREPORTED: Final = 4  # pages, while more are ready

_DOWN: Final = (TransportError, AuthenticationError, RateLimitedError, ServerError)  # the walks meet it themselves


@define(kw_only=True, eq=False, repr=False)
class Runner:
    """Reads the sessions of an export into its store."""

    tracker: SessionTracker
    store: WorkStore  # it is open
    thread: FileThread  # of the store
    streaming: Mapping[str, Any]
    on_progress: OnProgress | None = None
    count: int | None = None  # of sessions, if that is known
    commit_bytes: int = COMMIT_BYTES
    _committed_done: int = field(default=0, init=False)
    _unreported: int = field(default=0, init=False)  # pages

    async def read(self) -> None:
        """Read until all sessions are done or have failed; what was taken by then is committed, also after an error.

        Raises:
            IsNotAIError: With ``on_error="raise"`` the first error; a refused key in any case.
            SinkError: The store cannot be written.
        """
        self._committed_done = self.tracker.done
        await self._check_account()
        try:
            await self._read_streams()
        except BaseException:
            if self.thread.trouble is None:
                await self._commit()  # to its end, even if this task was cancelled
            raise
        for refusal in self.tracker.refusals.values():
            raise refusal
        self._check_any_served()

    async def _check_account(self) -> None:
        """Check that the key may read a session of the store; it may have been removed, and a region may be down."""
        harmless = (NotFoundError,) if self.tracker.on_error == "raise" else (NotFoundError, *_DOWN)
        for name, session_id in self.tracker.witnesses.items():
            try:
                await self.tracker.source.client(name).get_session(session_id)
            except PermissionDeniedError:
                raise StoreError(
                    f"{shown(self.store.target)} was started with a key of another account, which may not read the "
                    "sessions it has; use that account's key, start over with resume=False (--no-resume), or choose "
                    "another target"
                ) from None
            except harmless:
                continue

    def _check_any_served(self) -> None:
        """Check that not every session was refused: then it is the command that is wrong, and not the sessions."""
        tracker = self.tracker
        refused, invalid = list(tracker.failed.values()), list(tracker.invalid.values())
        if tracker.done or tracker.rows or tracker.failures or not (refused or invalid):
            return
        if not refused:
            raise ConfigError(invalid[0].message)
        addresses = {tracker.source.client(failure.name).region.base_url for failure in refused}
        raise ExportError(
            f"{', '.join(sorted(addresses))} rejected {len(refused):,} of {len(refused):,} sessions, so nothing was "
            f"published; check ids, key and region. The first: {refused[0].message}"
        )

    async def _read_streams(self) -> None:
        for resumes in (True, False) if self.tracker.has_saved else (False,):
            for session in self.tracker.restarted:
                session.written = await self.thread.run(self.store.read_written, session.number)
            await self._read_stream(resumes=resumes)
            self.tracker.restart_expired()
            await self._commit()
            self._raise_failure()

    async def _read_stream(self, *, resumes: bool) -> None:
        async with self.tracker.open_stream(resumes=resumes, **self.streaming) as stream:
            while await take_pages(stream, COMMIT_SECONDS, partial(self._take, stream)):
                await self._commit()
                self._raise_failure()

    def _raise_failure(self) -> None:
        if self.tracker.on_error == "raise":
            for error in self.tracker.failures.values():
                raise error

    def _take(self, stream: Stream, page: Page[Event]) -> bool:
        self.tracker.add(page)
        self._unreported += 1
        if not stream.has_ready or self._unreported >= _MOST_UNREPORTED:
            self._report_progress()
        return self.tracker.size >= self.commit_bytes

    async def _commit(self) -> None:
        change = self.tracker.take_change()
        if change is not None:
            await self.thread.run(self.store.commit, change)
            self._committed_done = self.tracker.done
        else:
            await self.thread.run(self.store.check_place)  # or rows would be reported as safe that are gone
        self._report_progress()

    def _report_progress(self) -> None:
        self._unreported = 0
        tracker = self.tracker
        show_progress(
            self.on_progress,
            tracker.metrics,
            rows=tracker.rows,
            size=self.store.size,
            sessions_taken=tracker.taken,
            sessions_done=self._committed_done,
            sessions_failed=len(tracker.failed) + len(tracker.invalid) + len(tracker.failures),
            sessions=self.count,
        )
