"""One run of an export: pages out of a stream, into the store, and a commit now and then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

import anyio
from attrs import define, field

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async._models.validation import FilterValue
from isnotai_async.errors import (
    AuthenticationError,
    InvalidCursorError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from isnotai_async.export.books import Books, OnExportError
from isnotai_async.export.checkpoint import Checkpoint, Identity
from isnotai_async.export.meter import Meter
from isnotai_async.export.origin import AnySessions, Origin, Stream
from isnotai_async.export.report import ExportProgress, SessionFailure
from isnotai_async.export.store import NO_ROOM, Store, explain_failure, explain_other_account
from isnotai_async.export.thread import FileThread

T = TypeVar("T")
P = ParamSpec("P")

OnProgress = Callable[[ExportProgress], None]

COMMIT_BYTES: Final = 4 << 20
COMMIT_SECONDS: Final = 1.0
_MOST_PAGES: Final = 4  # that go to the thread together; more would keep the interpreter from the loop for too long

_DOWN: Final = (AuthenticationError, RateLimitedError, ServerError)  # the walks of that region meet it themselves

_logger: Final = logging.getLogger("isnotai_async")


@define(kw_only=True, eq=False)
class Exporter:
    """An export under way.

    Attributes:
        origin: Where the events come from.
        sessions: Their sessions.
        filters: The filters of the events.
        streaming: The other options of the stream.
        on_error: What becomes of sessions that fail.
        target: The file or folder to be.
        store: The disk's side.
        thread: Where the store is used.
        meter: What the requests cost.
        on_progress: Whom to tell, or None.
        count: How many sessions there are, where that is known.
        commit_bytes: Bytes after which to commit, at the latest.
    """

    origin: Origin
    sessions: AnySessions
    filters: Mapping[str, FilterValue]
    streaming: Mapping[str, Any]
    on_error: OnExportError
    target: Path
    store: Store
    thread: FileThread
    meter: Meter
    on_progress: OnProgress | None = None
    count: int | None = None
    commit_bytes: int = COMMIT_BYTES
    resumed_rows: int = field(default=0, init=False)
    _books: Books = field(init=False)
    _pages: list[Page[Event]] = field(factory=list, init=False)  # taken, and not written yet
    _is_broken: bool = field(default=False, init=False)  # the disk; nothing more is written
    _committed: float = field(default=0.0, init=False)  # when
    _committed_size: int = field(default=0, init=False)

    async def run(self, identity: Identity, *, resume: bool, force: bool) -> int | None:
        """Export.

        Args:
            identity: Which export this is.
            resume: Whether to go on where an earlier run stood.
            force: Whether the target may be replaced.

        Returns:
            Bytes of the finished target; None where sessions have failed that are worth another try.
        """
        checkpoint = await self._disk(self.store.open, identity, resume=resume, force=force)
        self.resumed_rows = checkpoint.rows
        self._open_books(checkpoint)
        if not checkpoint.is_done:
            await self._check_account(checkpoint)
            try:
                await self._read()
            except BaseException:
                if not self._is_broken:
                    await self._commit()  # to its end, the cancellation of this task notwithstanding
                raise
            for refusal in self._books.refusals.values():
                raise refusal
            if self._books.failures:
                return None
        await self._disk(self.store.seal)
        with self.thread.too_late_to_cancel():
            return await self._disk(self.store.publish, force=force)

    def _open_books(self, checkpoint: Checkpoint) -> None:
        self._committed, self._committed_size = monotonic(), self.store.size
        self._books = Books(
            origin=self.origin,
            sessions=self.sessions,
            filters=self.filters,
            checkpoint=checkpoint,
            on_error=self.on_error,
            meter=self.meter,
        )

    async def _check_account(self, checkpoint: Checkpoint) -> None:
        # It may have been removed meanwhile; and a region that is down must not keep the others from going on.
        harmless = (NotFoundError,) if self.on_error == "raise" else (NotFoundError, TransportError, *_DOWN)
        for name, session_id in checkpoint.witnesses.items():
            with suppress(*harmless):
                try:
                    await self.origin.client(name).get_session(session_id)
                except PermissionDeniedError:
                    raise explain_other_account(self.target) from None

    async def _read(self) -> None:
        for target in self._books.checkpoint.restarted:
            self._books.written[target] = await self._disk(self.store.written_ids, *target)
        while self._books.unmoved:
            await self._read_unmoved()
        await self._read_stream()
        if self.on_error == "skip":
            self._books.give_up()
        await self._commit()

    async def _read_unmoved(self) -> None:
        """Read those left in the middle until each has got on, or begins again because its cursor has expired."""
        books = self._books
        try:
            await self._read_stream()
            restarted = books.restart()
        except InvalidCursorError as error:
            if not books.restart(error):
                raise
            restarted = True
        await self._commit()
        if restarted:
            for target in books.checkpoint.restarted:
                books.written[target] = await self._disk(self.store.written_ids, *target)
        books.unmoved.clear()

    async def _read_stream(self) -> None:
        """Write what a stream gives, to its end; or, of sessions left in the middle, until each has got on."""
        is_first = bool(self._books.unmoved)
        on_error = "raise" if self.on_error == "raise" else "collect"
        buffer = 1 if is_first else None  # what waits there when they have all got on is fetched once more
        async with self._books.open_stream(on_error=on_error, buffer=buffer, **self.streaming) as stream:
            while not (is_first and not self._books.unmoved):
                page = await self._next_page(stream)
                if page is None:
                    return
                self._pages.append(self._books.enter(page))
                if not stream.has_ready or len(self._pages) >= _MOST_PAGES:
                    await self._write()

    async def _next_page(self, stream: Stream) -> Page[Event] | None:
        """Take a page; commit what there is while none comes."""
        while True:
            with anyio.move_on_after(self._committed + COMMIT_SECONDS - monotonic()) as scope:
                return await anext(stream, None)
            if scope.cancelled_caught:
                await self._commit()

    async def _write(self) -> None:
        """Write what was taken; that is done to its end once it is begun, so nothing is ever put back."""
        pages, self._pages = self._pages, []
        if any(page.data for page in pages):
            await self._disk(self.store.write, pages)
        if self.store.size - self._committed_size >= self.commit_bytes:
            await self._commit()
        self._tell()

    async def _commit(self) -> None:
        pages, self._pages = self._pages, []
        change = self._books.change()
        if change is not None:  # else there are no rows in the pages
            await self._disk(self.store.commit, pages, change)
        self._committed, self._committed_size = monotonic(), self.store.size
        self._tell()

    async def _disk(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self.thread.run(call, *args, **kwargs)
        except OSError as error:
            self._is_broken = True
            rows = self._books.checkpoint.rows if hasattr(self, "_books") else None
            if rows is not None and error.errno in NO_ROOM:
                with suppress(OSError):
                    await self.thread.run(self.store.rollback)
            raise explain_failure(error, self.target, rows) from None
        except Exception:
            self._is_broken = True
            raise

    @property
    def failures(self) -> tuple[SessionFailure, ...]:
        """What has failed, for good or for now."""
        pending = tuple(SessionFailure.describe(*target, error) for target, error in self._books.failures.items())
        return (*self._books.checkpoint.failed.values(), *pending)

    @property
    def checkpoint(self) -> Checkpoint:
        """What is committed."""
        return self._books.checkpoint

    def _tell(self) -> None:
        if self.on_progress is None:
            return
        checkpoint, books = self._books.checkpoint, self._books
        progress = ExportProgress(
            rows=books.rows,
            size=self.store.size,
            sessions_taken=books.taken,
            sessions_done=checkpoint.sessions - len(checkpoint.unfinished),
            sessions_failed=len(checkpoint.failed) + len(books.failures),
            sessions=self.count,
            requests=self.meter.requests,
            rate=self.meter.rate,
            quota=self.meter.quota,
            waited=self.meter.waited,
            waiting=self.meter.waiting,
            reason=self.meter.reason,
            elapsed=self.meter.elapsed,
        )
        try:
            self.on_progress(progress)
        except Exception:  # a broken progress bar must not break the export that it shows
            _logger.exception("on_progress raised; the export goes on")
