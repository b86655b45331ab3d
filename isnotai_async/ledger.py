"""What a stream has taken from its source, and what it has handed out of that.

The rules:

1. Taken means read from the source. Handed out means that the consumer has it: what was fetched and still waits in
   the buffer counts as nothing.
2. A session is cut into windows. Those that are being read are kept one by one, each with the position of what was
   handed out of it; those that are not begun are kept as one span with the cuts in it. So the ledger is as large as
   what is under way, and not as what was or will be.
3. A session that was handed out to its end is forgotten. One that failed is kept, so that resuming tries it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from typing import NoReturn

from attrs import define, evolve, field

from isnotai_async.errors import ConfigError
from isnotai_async.positions import Position
from isnotai_async.queries import EventQuery
from isnotai_async.stream_positions import StreamPosition, Target, Unfinished


@define(eq=False)
class Window:
    """A walk over a part of a session, or over all of it.

    Attributes:
        query: What it asks.
        position: What of it was handed out.
    """

    query: EventQuery
    position: Position


@define(eq=False)
class Span:
    """A part of a session that is not begun.

    Attributes:
        query: What it asks.
        cuts: Unix milliseconds at which its windows begin, but for the first.
    """

    query: EventQuery
    cuts: deque[int] = field(factory=deque)

    def take(self) -> EventQuery:
        """Take the first window off; only while there are cuts."""
        at = self.cuts.popleft()
        first = evolve(self.query, end_time=at - 1)
        self.query = evolve(self.query, start_time=at)
        return first


@define(eq=False)
class SessionWork:
    """A session that is under way.

    Attributes:
        target: Which, and where.
        region: Name of its region.
        waiting: Its parts that nobody reads yet, in time order.
        windows: Those that are read, in time order.
        is_stopped: Whether no more of it will be read.
    """

    target: Target
    region: str
    waiting: deque[Window | Span]
    windows: dict[Window, None] = field(factory=dict)
    is_stopped: bool = False

    def take(self) -> Window | None:
        """Take the next window to read; None when there is none left."""
        if self.is_stopped or not self.waiting:
            return None
        part = self.waiting[0]
        if isinstance(part, Span) and part.cuts:
            window = self._begin(part.take())
        else:
            self.waiting.popleft()
            window = part if isinstance(part, Window) else self._begin(part.query)
        self.windows[window] = None
        return window

    def _begin(self, query: EventQuery) -> Window:
        return Window(query, Position.start(query, self.region))

    @property
    def is_finished(self) -> bool:
        """Whether all of it was handed out."""
        return not self.windows and not self.waiting

    def positions(self) -> Iterator[Position]:
        """Tell where each unfinished part stands; neighbours that nothing was handed out of count as one."""
        parts = [*self.windows, *self.waiting]
        last: EventQuery | None = None
        for part in parts:
            begun = isinstance(part, Window) and part.position != Position.start(part.query, self.region)
            if last is not None and (begun or not _are_neighbours(last, part.query)):
                yield Position.start(last, self.region)
                last = None
            if begun and isinstance(part, Window):
                yield part.position
            else:
                last = part.query if last is None else evolve(last, end_time=part.query.end_time)
        if last is not None:
            yield Position.start(last, self.region)


def _are_neighbours(first: EventQuery, second: EventQuery) -> bool:
    return first.end_time is not None and first.end_time + 1 == second.start_time


def _is_within(query: EventQuery, asked: EventQuery) -> bool:
    starts_late = asked.start_time is None or (query.start_time is not None and query.start_time >= asked.start_time)
    ends_early = asked.end_time is None or (query.end_time is not None and query.end_time <= asked.end_time)
    return starts_late and ends_early


class Ledger:
    """The books of a stream.

    Args:
        template: The query of every session, but for its id.
        resume: Where an earlier stream stood, whose sessions are to be counted first and to be the same; or None.

    Raises:
        ConfigError: That stream had other filters.
    """

    def __init__(self, template: EventQuery, resume: StreamPosition | None = None) -> None:
        if resume is not None:
            resume.check(template.filters)
        self._template = template
        self._resume = resume
        self._taken = 0
        self._digest = blake2b(digest_size=16)
        self._under_way: dict[SessionWork, None] = {}

    def __str__(self) -> str:
        return f"{self._taken} sessions taken, {len(self._under_way)} of them unfinished"

    @property
    def is_behind(self) -> bool:
        """Whether sessions are to be counted that an earlier stream has taken."""
        return self._resume is not None and self._taken < self._resume.taken

    def count(self, target: Target | None) -> None:
        """Count a session that was read from the source.

        Args:
            target: The session; None where the source has ended.

        Raises:
            ConfigError: The source is not the one of the stream that is resumed.
        """
        if target is not None:
            self._taken += 1
            # With the lengths before them, no two lists of sessions give the same bytes.
            for text in target:
                data = text.encode(errors="surrogatepass")
                self._digest.update(b"%d:%b" % (len(data), data))
        resume = self._resume
        if resume is None or self._taken > resume.taken:
            return
        if target is None:
            self._refuse(f"it has only {self._taken:,} sessions")
        if self._taken == resume.taken and self._digest.hexdigest() != resume.digest:
            self._refuse("they are other sessions, or come in another order")

    def _refuse(self, reason: str) -> NoReturn:
        taken = 0 if self._resume is None else self._resume.taken
        raise ConfigError(
            f"the position to resume from has {taken:,} sessions taken from its source, and with this source "
            f"{reason}; pass the same sessions in the same order, or start without resume="
        )

    def open(self, target: Target, region: str) -> SessionWork:
        """Begin a session.

        Raises:
            ConfigError: The id cannot be one.
        """
        work = SessionWork(target, region, deque([Span(evolve(self._template, session_id=target.session_id))]))
        self._under_way[work] = None
        return work

    def reopen(self, unfinished: Unfinished, region: str) -> SessionWork:
        """Begin a session where it was left.

        Raises:
            ConfigError: It was left in another region, or its walks are none of this stream's.
        """
        parts = deque(self._reopen_part(position, region) for position in unfinished.walks)
        target = Target(unfinished.name, parts[0].query.session_id)
        work = SessionWork(target, region, parts)
        self._under_way[work] = None
        return work

    def _reopen_part(self, position: Position, region: str) -> Window | Span:
        asked, filters = self._template, position.filters
        try:
            query = EventQuery(session_id=position.session_id or "", **filters)  # type: ignore[arg-type]
        except TypeError:
            raise ConfigError("the stream position has a walk with filters that events do not have") from None
        start = Position.start(evolve(query, start_time=asked.start_time, end_time=asked.end_time), region)
        whole = evolve(position, filters=start.filters)
        whole.check(Position.start(evolve(asked, session_id=query.session_id), region))
        if not _is_within(query, asked):
            raise ConfigError("the stream position has a walk outside of start_time and end_time; it was altered")
        return Span(query) if position == Position.start(query, region) else Window(query, position)

    def finish(self, work: SessionWork, window: Window) -> None:
        """Note that a window was handed out to its end."""
        work.windows.pop(window, None)
        if work.is_finished:
            self._under_way.pop(work, None)

    @property
    def position(self) -> StreamPosition:
        """Where the stream stands."""
        taken, digest = self._taken, self._digest.hexdigest()
        if self._resume is not None and self.is_behind:
            taken, digest = self._resume.taken, self._resume.digest
        return StreamPosition(
            taken=taken,
            digest=digest,
            filters=self._template.filters,
            unfinished=tuple(Unfinished(work.target.name, tuple(work.positions())) for work in self._under_way),
        )
