"""`SessionTracker`: which sessions an export has taken, and where each of them stands.

The rules:

1. A session is taken once, whatever the order of the source, in this run or an earlier one. It gets a number when it
   is taken, and is written in the order of these numbers.
2. What is true of the pages that were taken from the stream is true of the store, because both go into one commit. So
   the stream's own position is what is saved.
3. A session is open, done or failed. Failed is what the API itself refused; any other trouble leaves it open. Every
   run reads open and failed sessions again, from their positions.
4. A saved cursor that is refused is not the session's end, once a run: the session is read again from its start, and
   rows that are in the store already are left out, by their event ids. So the sessions with saved cursors are read by
   a stream of their own, which no error ends, before the others. A cursor of the second reading that is refused with
   the same status is the session's answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Literal

import msgspec
from attrs import define, field

from isnotai_async._models.pages import Page, RejectedRecord
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import SessionRef, UnfinishedSession
from isnotai_async._models.validation import FilterValue, check_id
from isnotai_async._streaming.stream import set_aside
from isnotai_async.errors import AuthenticationError, ConfigError, IsNotAIError
from isnotai_async.export.batches import pack_page
from isnotai_async.export.identity import digest_target, sum_digests
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.report import SessionFailure, is_for_good, is_of_a_cursor
from isnotai_async.export.source import ExportSource, Stream, Targets, Unlisted, read_nothing
from isnotai_async.export.tracked_session import TrackedSession
from isnotai_async.export.work_rows import PAGE_BITS, Change, RejectedRow, SessionRow, Totals

OnExportError = Literal["raise", "collect"]


@define(kw_only=True, eq=False, repr=False)
class SessionTracker:
    """State of all sessions of an export; the rules are above."""

    source: ExportSource
    filters: Mapping[str, FilterValue]
    on_error: OnExportError
    metrics: ExportMetrics
    totals: Totals = field(factory=Totals, init=False)  # as of the last commit that was prepared
    rows: int = field(default=0, init=False)  # that were taken, those of earlier runs too
    size: int = field(default=0, init=False)  # bytes that are held until the next commit
    done: int = field(default=0, init=False)
    failures: dict[SessionRef, IsNotAIError] = field(factory=dict, init=False)  # of open sessions, in this run
    failed: dict[SessionRef, SessionFailure] = field(factory=dict, init=False)  # the API refused them
    invalid: dict[SessionRef, SessionFailure] = field(factory=dict, init=False)  # they cannot be asked for
    refusals: dict[str, AuthenticationError] = field(factory=dict, init=False)  # by name, if its key was refused
    witnesses: dict[str, str] = field(factory=dict, init=False)  # by name, a session that was read to its end
    _seen: set[bytes] = field(factory=set, init=False)
    _number: int = field(default=0, init=False)  # of the next session
    _tracked: dict[SessionRef, TrackedSession] = field(factory=dict, init=False)
    _changed: dict[SessionRef, TrackedSession] = field(factory=dict, init=False)  # since the last commit
    _rejected: list[RejectedRow] = field(factory=list, init=False)  # not committed yet
    _expired: list[TrackedSession] = field(factory=list, init=False)
    _stream: Stream | None = field(default=None, init=False)
    _refused: int = field(default=0, init=False)  # answers 401 that were looked into
    _reads_source: bool = field(default=True, init=False)

    def load(self, rows: Iterable[SessionRow], totals: Totals, *, only_failed: bool) -> None:
        """Load the state of the store."""
        self.totals, self.rows, self._reads_source = totals, totals.rows, not only_failed
        for row in rows:
            self._seen.add(digest_target(row.target))
            self._number = row.number + 1
            if row.state == "done":
                self.done += 1
                self.witnesses.setdefault(row.region, row.session_id)
            else:
                self._tracked[row.target] = TrackedSession.load(row)

    @property
    def taken(self) -> int:
        """How many sessions were taken, those of earlier runs too."""
        return len(self._seen)

    @property
    def taken_digest(self) -> Mapping[str, Any]:
        """Number and digest of the sessions that were taken."""
        return sum_digests(self._seen)

    @property
    def is_fruitless(self) -> bool:
        """Whether there is nothing in the store that another run would use."""
        return not (self.rows or self.done or self.totals.rejected)

    @property
    def restarted(self) -> list[TrackedSession]:
        """Sessions that are read again, and whose ids are not known yet."""
        return [session for session in self._tracked.values() if session.is_restarted and session.written is None]

    @property
    def has_open(self) -> bool:
        """Whether a session is neither done nor failed for good."""
        return bool(self._tracked)

    @property
    def has_saved(self) -> bool:
        """Whether a session stands at a cursor of an earlier run."""
        return any(session.saved for session in self._tracked.values())

    def open_stream(self, *, resumes: bool, **options: Any) -> Stream:  # noqa: ANN401 - those of stream_events
        """Return the stream over the sessions with saved cursors, or that over the others and the source."""
        sources = self.source.read()
        if self._reads_source and not resumes:
            targets = {name: self._take(name, source) for name, source in sources.items()}
        else:
            targets = {name: read_nothing() for name in sources}
        unfinished = [
            UnfinishedSession(target.name, session.walks)
            for target, session in self._tracked.items()
            if bool(session.saved) == resumes and target not in self.failures
        ]
        on_error = "collect" if resumes else self.on_error
        self._stream = self.source.open_stream(
            targets, filters=self.filters, unfinished=unfinished, on_error=on_error, **options
        )
        set_aside(self._stream)  # the rows are in the store, and the records that cannot be read next to them
        self._stream.take_news()  # the first call returns all that is resumed; from now on, it returns what is new
        return self._stream

    async def _take(self, name: str, source: Targets) -> Targets:
        async with aclosing(source) as targets:
            async for target in targets:
                digest = digest_target(target)
                if digest in self._seen or self._is_refused(target.name):
                    continue
                fault = self._find_fault(target)
                if fault is not None and self.on_error == "raise":
                    raise fault
                self._seen.add(digest)
                if fault is not None:
                    self.invalid[target] = SessionFailure.describe(*target, fault)
                    continue
                self._tracked[target] = TrackedSession(self._number, name, target)
                self._number += 1
                yield target

    def _is_refused(self, name: str) -> bool:
        """Return whether a key was refused: its sessions stay in the source, for a run with another key."""
        if self.metrics.refusals != self._refused:  # so that the failures are not read for each session
            self._refused = self.metrics.refusals
            self._look()
        return name in self.refusals

    def _find_fault(self, target: SessionRef) -> IsNotAIError | None:
        if isinstance(target.session_id, Unlisted):
            return target.session_id.error
        try:
            check_id(target.session_id)
            self.source.client(target.name)
        except ConfigError as error:
            return error
        return None

    def add(self, page: Page[Event]) -> None:
        """Hold a page that was taken from the stream, until the next commit."""
        session = self._tracked.get(SessionRef(page.name, page.session_id or ""))
        if session is None:
            return  # another window of it has failed for good; what is saved does not include this page
        if len(session.saved) == 1:  # of several walks, this page may be of another one
            session.saved = ()
        data = page.data
        if session.written:
            data = tuple(event for event in data if event.event_id not in session.written)
        if data:
            packed = pack_page(data)
            session.held.append((len(data), packed))
            session.rows += len(data)
            self.rows += len(data)
            self.size += len(packed)
        for record in page.rejected:
            self._set_aside(session, record)

    def _set_aside(self, session: TrackedSession, record: RejectedRecord) -> None:
        if session.written and record.raw in session.written:
            return
        data = msgspec.msgpack.encode((record.index, record.reason, record.raw))
        self._rejected.append(RejectedRow(session.number << PAGE_BITS | session.rejected, data))
        session.rejected += 1
        self.size += len(data)

    def _look(self) -> None:
        """Take over what the stream reports of its sessions since the last look."""
        if self._stream is None:
            return
        moves, failures = self._stream.take_news()
        for target, unfinished in moves.items():
            session = self._tracked.get(target)
            if session is None:
                continue
            if unfinished is None:
                session.state, session.walks, session.failure = "done", (), None
            else:
                session.walks = unfinished.walks
            self._changed[target] = session
        for target, error in failures.items():
            self._fail(target, error)

    def _fail(self, target: SessionRef, error: IsNotAIError) -> None:
        session = self._tracked.get(target)
        if isinstance(error, AuthenticationError):
            self.refusals[target.name] = error
        if session is not None and _is_expired(session, error):
            session.refused = getattr(error, "status", 0)
            self._expired.append(session)
        elif session is not None and self._is_answer(session, error):
            session.state, session.failure = "failed", SessionFailure.describe(*target, error)
            self._changed[target] = session
        else:
            self.failures[target] = error

    def _is_answer(self, session: TrackedSession, error: IsNotAIError) -> bool:
        """Return whether an error is the API's answer for a session, and does not end the export."""
        return self.on_error == "collect" and (is_for_good(error) or _is_refused_again(session, error))

    def restart_expired(self) -> None:
        """Restart the sessions whose saved cursors were refused, after the stream has ended."""
        self._look()
        expired, self._expired, self._stream = self._expired, [], None
        for session in expired:
            session.restart()
            self._changed[session.target] = session

    def take_change(self) -> Change | None:
        """Return what changed since the last commit, pages included; None for nothing.

        Raises:
            ExportError: A session has more pages than a store can number.
        """
        self._look()
        if not self._changed and not self._rejected:
            return None
        changed, self._changed = self._changed, {}
        pages = [row for session in changed.values() for row in session.take_pages()]
        sessions = [session.to_row() for session in changed.values()]
        for target, session in changed.items():
            if session.state != "open":
                self._forget(target, session)
        rejected, self._rejected, self.size = self._rejected, [], 0
        before = self.totals
        self.totals = Totals(
            before.sessions + sum(not session.is_stored for session in changed.values()),
            before.rows + sum(row.rows for row in pages),
            before.rejected + len(rejected),
        )
        for session in changed.values():
            session.is_stored = True
        return Change(sessions, pages, rejected, self.totals)

    def _forget(self, target: SessionRef, session: TrackedSession) -> None:
        """Drop everything about a session that the report does not need."""
        del self._tracked[target]
        if session.failure is not None:
            self.failed[target] = session.failure
        else:
            self.done += 1
            self.witnesses.setdefault(target.name, target.session_id)

    def describe_failures(self) -> Iterator[SessionFailure]:
        """Return all failures: refused by the API, not to be asked for, and those that another run may mend."""
        yield from self.failed.values()
        yield from self.invalid.values()
        for target, error in self.failures.items():
            yield SessionFailure.describe(*target, error)


def _is_refused_again(session: TrackedSession, error: IsNotAIError) -> bool:
    return bool(session.refused) and is_of_a_cursor(error) and getattr(error, "status", 0) == session.refused


def _is_expired(session: TrackedSession, error: IsNotAIError) -> bool:
    return is_of_a_cursor(error) and error.position in session.saved
