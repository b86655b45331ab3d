"""The books of a running export: which sessions were taken from the source, and what of them is written.

The rules:

1. A session is taken once, whatever the order of the source, in this run or an earlier one. So a session that is
   through is never asked for again, and what is new in the source is taken too.
2. What is true of the pages that were handed out is true of the rows, because what was taken is written before each
   commit. So the stream's own position is what goes into the checkpoint.
3. Sessions that an earlier run left in the middle come first, and the source is not read before each of them has
   got on. A cursor can have expired meanwhile: then those that have not got on yet are read again from where their
   walk began, and the rows that are in the file already are left out, by their event ids.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Literal

from attrs import define, evolve, field

from isnotai_async._models.pages import Page
from isnotai_async._models.positions import ANY, Position, StreamPosition, Taken, Target, Unfinished
from isnotai_async._models.records import Event
from isnotai_async._models.validation import FilterValue, check_id
from isnotai_async._streaming.progress import Tally
from isnotai_async.errors import AuthenticationError, ConfigError, InvalidCursorError, IsNotAIError
from isnotai_async.export.checkpoint import DIGEST_BYTES, Checkpoint, digest_target
from isnotai_async.export.meter import Meter
from isnotai_async.export.origin import AnySessions, Origin, Stream, Targets, read_nothing
from isnotai_async.export.report import SessionFailure, is_for_good, is_its_fault

OnExportError = Literal["raise", "collect", "skip"]


@define(kw_only=True, eq=False)
class Books:
    """What is known of the sessions of an export.

    Attributes:
        origin: Where the events come from.
        sessions: The source of sessions.
        filters: The filters of the events.
        checkpoint: What is committed.
        on_error: What becomes of sessions that fail.
        rows: Rows handed out so far, those of earlier runs too.
        unmoved: Sessions left in the middle that have not got on yet, and where their walks stood.
        written: By session that was begun again, the event ids that are in the file already.
        meter: What the requests cost.
        failures: What has failed and is worth another try, as of the last look.
        refusals: By name, that its key was refused.
    """

    origin: Origin
    sessions: AnySessions
    filters: Mapping[str, FilterValue]
    checkpoint: Checkpoint
    on_error: OnExportError
    meter: Meter
    rows: int = field(init=False)
    unmoved: dict[Target, tuple[Position, ...]] = field(init=False)
    written: dict[Target, set[str]] = field(factory=dict, init=False)
    failures: dict[Target, IsNotAIError] = field(factory=dict, init=False)
    refusals: dict[str, AuthenticationError] = field(factory=dict, init=False)
    _refusals: int = field(default=0, init=False)  # that were looked into
    _seen: set[bytes] = field(init=False)
    _fresh: list[Target] = field(factory=list, init=False)  # taken since the last commit
    _restarted: list[Target] = field(factory=list, init=False)  # since the last commit
    _failed: dict[Target, SessionFailure] = field(factory=dict, init=False)  # for good, since the last commit
    _settled: set[Target] = field(init=False)  # that have failed for good, in all
    _moved: dict[Target, None] = field(factory=dict, init=False)  # since the last commit
    _unfinished: dict[Target, Unfinished] = field(init=False)
    _stream: Stream | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        taken = bytes(self.checkpoint.taken)
        self._seen = {taken[at : at + DIGEST_BYTES] for at in range(0, len(taken), DIGEST_BYTES)}
        self._unfinished = dict(self.checkpoint.unfinished)
        self._settled = set(self.checkpoint.failed)
        self.rows = self.checkpoint.rows
        self.unmoved = {
            target: walks
            for target, session in self._unfinished.items()
            if (walks := tuple(walk for walk in session.walks if walk.cursor is not None))
        }

    @property
    def taken(self) -> int:
        """How many sessions were begun."""
        return len(self._seen)

    def open_stream(self, **options: Any) -> Stream:  # noqa: ANN401 - those of stream_events
        """Open the next stream: over the sessions left in the middle, and the source if all those have got on."""
        sources = self.origin.read(self.sessions)
        targets: Targets
        if self.unmoved:
            targets = {name: read_nothing() for name in sources}
        else:
            targets = {name: self._take(source) for name, source in sources.items()}
        self._stream = self.origin.open_stream(targets, resume=self._position(targets), **self.filters, **options)
        self.failures.clear()  # they are tried again
        self._look()  # from now on, it tells what has changed
        return self._stream

    def _position(self, sources: Iterable[str]) -> StreamPosition | None:
        if not self._unfinished:
            return None
        nothing = Tally().taken.digest
        return StreamPosition(
            taken=0,
            digest=nothing,
            filters=self.filters,
            unfinished=tuple(self._unfinished.values()),
            sources={name: Taken(0, nothing) for name in sources if name != ANY},
        )

    async def _take(self, source: AsyncGenerator[Target, None]) -> AsyncGenerator[Target, None]:
        async with aclosing(source) as targets:
            async for target in targets:
                digest = digest_target(target)
                if digest in self._seen or self._is_refused(target.name):
                    continue
                error = self._find_fault(target)
                if error is not None and self.on_error == "raise":
                    raise error
                self._seen.add(digest)
                self._fresh.append(target)
                if error is None:
                    yield target
                else:
                    self._failed[target] = SessionFailure.describe(*target, error)

    def _is_refused(self, name: str) -> bool:
        """Tell whether a key was refused: its sessions stay in the source, for a run with another key."""
        if self.meter.refusals != self._refusals:  # so that the failures are not gone through for each session
            self._refusals = self.meter.refusals
            self._look()
        return name in self.refusals

    def _find_fault(self, target: Target) -> ConfigError | None:
        try:
            check_id(target.session_id)
            self.origin.client(target.name)
        except ConfigError as error:
            return error
        return None

    def enter(self, page: Page[Event]) -> Page[Event]:
        """Enter a page that was handed out; return it without the events that are in the file already."""
        if page.rejected:  # without a place to set them aside, losing them in silence would be worse than to stop
            raise page.rejected[0].as_error()
        target = Target(page.name, page.session_id or "")
        if len(self.unmoved.get(target, ())) == 1:  # of several walks, this page tells nothing about the others
            del self.unmoved[target]
        if written := self.written.get(target):
            page = evolve(page, data=tuple(event for event in page.data if event.event_id not in written))
        self.rows += len(page.data)
        return page

    def _look(self) -> None:
        """See what the stream says of its sessions."""
        if self._stream is None:
            return
        moves, failures = self._stream.take_news()
        for target, session in moves.items():
            self._moved[target] = None
            if session is None or target in self._settled:
                self._unfinished.pop(target, None)
            else:
                self._unfinished[target] = session
        for target, error in failures.items():
            if is_for_good(error) and target.session_id:  # one without an id is the listing of its region
                self._settle(target, error)
            else:
                self.failures[target] = error
            if isinstance(error, AuthenticationError):
                self.refusals[target.name] = error

    def _settle(self, target: Target, error: IsNotAIError) -> None:
        """Never ask for a session again."""
        self._unfinished.pop(target, None)
        self._moved[target] = None
        self._settled.add(target)
        self._failed[target] = SessionFailure.describe(*target, error)

    def restart(self, error: IsNotAIError | None = None) -> bool:
        """Begin the walks again whose cursors have expired, after the stream has ended.

        Args:
            error: What ended the stream; None where it collected errors.

        Returns:
            Whether there are any.
        """
        self._look()
        stuck = [error] if error is not None else list(self.failures.values())
        walks = [walk for walks in self.unmoved.values() for walk in walks]
        if not any(isinstance(error, InvalidCursorError) and error.position in walks for error in stuck):
            return False
        for target, expired in self.unmoved.items():
            if session := self._unfinished.get(target):
                self._unfinished[target] = evolve(session, walks=tuple(_restart(w, expired) for w in session.walks))
                self._moved[target] = None
                self._restarted.append(target)
        self._stream = None
        self.unmoved.clear()
        return True

    def give_up(self) -> None:
        """Count what has failed as failed for good, after the stream has ended, but for what is none of its fault."""
        self._look()
        for target, error in list(self.failures.items()):
            if is_its_fault(error) and target.session_id:
                self._settle(target, self.failures.pop(target))

    def change(self) -> dict[str, Any] | None:
        """Return what changed since the last commit, as `Store.commit` takes it; None for nothing."""
        self._look()
        committed, present = self.checkpoint.unfinished, self._unfinished
        gone = [target for target in self._moved if target in committed and target not in present]
        here = [(target, present[target]) for target in self._moved if target in present]
        moved = [session for target, session in here if committed.get(target) != session]
        if not (self._fresh or moved or gone or self._failed or self.rows != self.checkpoint.rows):
            return None
        through = [target for target in (*gone, *self._fresh) if target not in present and target not in self._failed]
        known = self.checkpoint.witnesses
        witnesses = {name: session_id for name, session_id in reversed(through) if name not in known}
        for target in gone:
            self.written.pop(target, None)
        change = {
            "rows": self.rows,
            "taken": b"".join(digest_target(target) for target in self._fresh),
            "moved": moved,
            "gone": gone,
            "failed": list(self._failed.values()),
            "restarted": self._restarted,
            "witnesses": witnesses,
        }
        self._fresh, self._failed, self._restarted, self._moved = [], {}, [], {}
        return change


def _restart(walk: Position, expired: tuple[Position, ...]) -> Position:
    return evolve(walk, cursor=None, index=0, watermark=None) if walk in expired else walk
