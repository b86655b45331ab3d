"""Progress of a stream: the sessions that were taken from the source, and the position of each unfinished one.

The rules:

1. A session is taken when it is read from the source. A record is handed out when the consumer has it; records that
   were fetched and wait in the buffer do not count.
2. A session is cut into windows. Each window that is being read is kept with the position of its last record that was
   handed out. The windows that are not started are kept as one range with the times of the cuts. So the size depends
   on the sessions under way, not on those that are finished or still to come.
3. A session that was handed out to its end is removed. A session that failed is kept, so that a resumed stream tries
   it again.
4. A source is counted, with a digest of its sessions, to prove that a resumed stream reads the same source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from typing import Any, NoReturn

from attrs import define, evolve, field

from isnotai_async._models.positions import Position
from isnotai_async._models.queries import EventFilters, EventQuery
from isnotai_async._models.stream_positions import ANY, SessionRef, SourceCount, StreamPosition, UnfinishedSession
from isnotai_async._models.validation import FilterValue, Milliseconds
from isnotai_async.errors import ConfigError, quoted


class SourceProgress:
    """Counts the sessions of one source.

    Args:
        resume: Count and digest of an earlier stream; its sessions must come first and be the same. Or None.
        what: Name of the source in messages.
    """

    def __init__(self, resume: SourceCount | None = None, *, what: str = "its source") -> None:
        self._resume = resume
        self._what = what
        self._count = 0
        self._digest = blake2b(digest_size=16)

    @property
    def is_behind(self) -> bool:
        """Whether sessions follow that an earlier stream has taken."""
        return self._resume is not None and self._count < self._resume.count

    @property
    def taken(self) -> SourceCount:
        """Count and digest of the sessions taken; while `is_behind`, those of the earlier stream."""
        if self._resume is not None and self.is_behind:
            return self._resume
        return SourceCount(self._count, self._digest.hexdigest())

    def count(self, target: SessionRef | None) -> None:
        """Count a session that was read from the source.

        Args:
            target: The session, or None at the end of the source.

        Raises:
            ConfigError: The source is not the one of the stream that is resumed.
        """
        if target is not None:
            self._count += 1
            # With the lengths before them, no two lists of sessions give the same bytes.
            for text in target:
                data = text.encode(errors="surrogatepass")
                self._digest.update(b"%d:%b" % (len(data), data))
        resume = self._resume
        if resume is None or self._count > resume.count:
            return
        if target is None:
            self._refuse(resume, f"it has only {self._count:,} sessions")
        if self._count == resume.count and self._digest.hexdigest() != resume.digest:
            self._refuse(resume, "they are other sessions, or come in another order")

    def _refuse(self, resume: SourceCount, reason: str) -> NoReturn:
        raise ConfigError(
            f"the position to resume from has {resume.count:,} sessions taken from {self._what}, and with this "
            f"source {reason}; pass the same sessions in the same order, or start without resume="
        )


@define(eq=False, repr=False)
class TimeWindow:
    """A walk over a part of a session, or over all of it.

    Attributes:
        query: Its query.
        position: Position after the last record that was handed out.
    """

    query: EventQuery
    position: Position


@define(eq=False, repr=False)
class PendingRange:
    """A part of a session that is not started.

    Attributes:
        query: Its query.
        cuts: Unix milliseconds at which its windows start, except the first.
    """

    query: EventQuery
    cuts: deque[int] = field(factory=deque)

    def take(self) -> EventQuery:
        """Remove the first window and return its query; only if there are cuts."""
        at = self.cuts.popleft()
        first = evolve(self.query, end_time=Milliseconds(at - 1))
        self.query = evolve(self.query, start_time=Milliseconds(at))
        return first


@define(eq=False, repr=False)
class SessionProgress:
    """A session that is under way.

    Attributes:
        target: The session and the name of its region.
        region: Name of its region.
        waiting: Its parts that are not being read yet, in time order.
        windows: The windows that are being read, in time order.
        is_stopped: Whether no more of it will be read.
    """

    target: SessionRef
    region: str
    waiting: deque[TimeWindow | PendingRange]
    windows: dict[TimeWindow, None] = field(factory=dict)
    is_stopped: bool = False

    def take(self) -> TimeWindow | None:
        """Take the next window to read; None when there is none left."""
        if self.is_stopped or not self.waiting:
            return None
        part = self.waiting[0]
        if isinstance(part, PendingRange) and part.cuts:
            window = self._begin(part.take())
        else:
            self.waiting.popleft()
            window = part if isinstance(part, TimeWindow) else self._begin(part.query)
        self.windows[window] = None
        return window

    def _begin(self, query: EventQuery) -> TimeWindow:
        return TimeWindow(query, _start_of(query, self.region))

    @property
    def is_finished(self) -> bool:
        """Whether all of it was handed out."""
        return not self.windows and not self.waiting

    def positions(self) -> Iterator[Position]:
        """Return the positions of the unfinished parts; neighbours without a record handed out are one part."""
        parts = [*self.windows, *self.waiting]
        last: EventQuery | None = None
        for part in parts:
            begun = isinstance(part, TimeWindow) and part.position != _start_of(part.query, self.region)
            if last is not None and (begun or not _are_neighbours(last, part.query)):
                yield _start_of(last, self.region)
                last = None
            if begun and isinstance(part, TimeWindow):
                yield part.position
            else:
                last = part.query if last is None else evolve(last, end_time=part.query.end_time)
        if last is not None:
            yield _start_of(last, self.region)


def _start_of(query: EventQuery, region: str) -> Position:
    return Position.start("list_events", region, query)


def _are_neighbours(first: EventQuery, second: EventQuery) -> bool:
    return first.end_time is not None and first.end_time + 1 == second.start_time


def _is_within(query: EventQuery, asked: EventQuery) -> bool:
    starts_late = asked.start_time is None or (query.start_time is not None and query.start_time >= asked.start_time)
    ends_early = asked.end_time is None or (query.end_time is not None and query.end_time <= asked.end_time)
    return starts_late and ends_early


class StreamProgress:
    """The state of a stream that a `StreamPosition` is made of.

    Args:
        filters: Filters of the events, for every session.
        sources: Names of the sources; `ANY` for one source with the sessions of all names.
        resume: Position of an earlier stream; its sessions must come first and be the same. Or None.

    Attributes:
        by_source: How far each source was read, by name.

    Raises:
        ConfigError: That stream had other filters, or other sources; or `resume` is no such position.
    """

    def __init__(
        self, filters: EventFilters, sources: Collection[str] = (ANY,), resume: StreamPosition | None = None
    ) -> None:
        if resume is not None:
            if not isinstance(resume, StreamPosition):
                kind = type(resume).__name__
                raise ConfigError(f"resume must be a StreamPosition, not {kind}; use StreamPosition.from_json(text)")
            resume.check(filters.filters)
        self._filters = filters
        self.by_source = _open_sources(sources, resume)
        self._under_way: dict[SessionProgress, None] = {}
        self._moved: dict[SessionProgress, None] | None = None  # since the last `take_moves`

    def __str__(self) -> str:
        return f"{self._count:,} sessions taken, {len(self._under_way)} of them unfinished"

    @property
    def _count(self) -> int:
        return sum(source.taken.count for source in self.by_source.values())

    def open(self, target: SessionRef, region: str) -> SessionProgress:
        """Start a session.

        Raises:
            ConfigError: The id is invalid.
        """
        return self._add(target, region, [PendingRange(self._filters.of(target.session_id))])

    def reopen(self, unfinished: UnfinishedSession, region: str) -> SessionProgress:
        """Resume a session of an earlier stream.

        Raises:
            ConfigError: Its position is of another region, or its walks do not belong to this stream.
        """
        session_id = next((position.session_id for position in unfinished.walks), None)
        if session_id is None:
            raise ConfigError("the stream position has a session without a walk over its events; it was altered")
        asked = self._filters.of(session_id)
        parts = [_reopen_part(position, asked, region) for position in unfinished.walks]
        return self._add(SessionRef(unfinished.name, session_id), region, parts)

    def _add(self, target: SessionRef, region: str, parts: Iterable[TimeWindow | PendingRange]) -> SessionProgress:
        work = SessionProgress(target, region, deque(parts))
        self._under_way[work] = None
        self.move(work)
        return work

    def finish(self, work: SessionProgress, window: TimeWindow) -> None:
        """Note that a window was handed out to its end."""
        work.windows.pop(window, None)
        if work.is_finished:
            self._under_way.pop(work, None)

    def move(self, work: SessionProgress) -> None:
        """Note that a session was started, or that some of its records were handed out."""
        if self._moved is not None:
            self._moved[work] = None

    def take_moves(self) -> dict[SessionRef, UnfinishedSession | None]:
        """Return the sessions that have changed since the last call, with their positions; None for a finished one.

        The first call returns all that are under way. A caller that stores the progress of a long stream uses this,
        because `position` visits all unfinished and failed sessions.
        """
        moved, self._moved = self._under_way if self._moved is None else self._moved, {}
        return {work.target: _describe(work) if work in self._under_way else None for work in moved}

    @property
    def position(self) -> StreamPosition:
        """The position of the stream."""
        named = {name: source.taken for name, source in self.by_source.items() if name != ANY}
        digest = (SourceProgress() if named else self.by_source[ANY]).taken.digest
        return StreamPosition(
            taken=self._count,
            digest=digest,
            filters=self._filters.filters,
            unfinished=tuple(map(_describe, self._under_way)),
            sources=named,
        )


def _describe(work: SessionProgress) -> UnfinishedSession:
    return UnfinishedSession(work.target.name, tuple(work.positions()))


def _reopen_part(position: Position, asked: EventQuery, region: str) -> TimeWindow | PendingRange:
    """Return the part of a session that a walk had; it may have only the times from `asked`."""
    start_time, end_time = (_as_milliseconds(position.filters.get(name)) for name in ("start_time", "end_time"))
    query = evolve(asked, start_time=start_time, end_time=end_time)
    start = _start_of(query, region)
    position.check(start)
    if not _is_within(query, asked):
        raise ConfigError("the stream position has a walk outside of start_time and end_time; it was altered")
    return PendingRange(query) if position == start else TimeWindow(query, position)


def _open_sources(sources: Collection[str], resume: StreamPosition | None) -> dict[str, SourceProgress]:
    if resume is None:
        return {name: SourceProgress() for name in sources}
    taken = resume.sources or {ANY: SourceCount(resume.taken, resume.digest)}
    if set(taken) != set(sources):
        raise ConfigError(
            f"the position to resume from was made with {_show_sources(taken)}, this stream has "
            f"{_show_sources(sources)}; pass the sessions as you did then, or start without resume="
        )
    if resume.sources and not all(session.name in taken for session in resume.unfinished):
        raise ConfigError("the stream position has a session of a name that has no source; it was altered")
    return {name: SourceProgress(taken[name], what=_show_sources([name])) for name in sources}


def _show_sources(names: Iterable[str]) -> str:
    named = ", ".join(quoted(name) for name in names if name != ANY)
    return f"a source for {named}" if named else "one source"


def _as_milliseconds(value: FilterValue | None) -> Any:  # noqa: ANN401 - the query checks its type
    """Mark a saved time as milliseconds, so that it is not rejected as looking like seconds.

    It was checked earlier, or is a boundary of a split.
    """
    return Milliseconds(value) if type(value) is int and -(2**63) <= value < 2**63 else value
