"""What one process still has to report to the store, and what it can restore if the store loses its data."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from attrs import define, field, frozen

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.shared.protocol import CompletedRequest, ScriptReply, ScriptRequest
from isnotai_async._ratelimit.sliding_window import abandoned_lasts


@frozen
class SharedLimiterConfig:
    """The options of a shared limiter, the same for all its keys.

    Attributes:
        tier: Tier to start with, or None.
        window: Length of the server's window, in seconds.
        lease: Seconds after its permit within which a request has reached the server.
        workers: Number of processes that divide the limit while the store is unavailable; None to fail instead.
    """

    tier: Tier | None
    window: float
    lease: float
    workers: int | None


@define(eq=False)
class SharedSlotState:
    """The slots that this process took in the last window, and the outcomes that it still has to report.

    Times are seconds on the process's own clock.

    Args:
        config: Options of the limiter.
        prefix: Prefix of the names of its slots; no other process may use it.
    """

    _config: SharedLimiterConfig
    prefix: str = ""
    _first: int = field(default=0, init=False)
    _epoch: str | None = field(default=None, init=False)
    _number: int = field(default=0, init=False)
    _held: dict[int, tuple[str, int]] = field(
        factory=dict, init=False
    )  # by number of the permit: name, shared number
    _left: deque[tuple[float, str]] = field(factory=deque, init=False)  # ended: when each becomes free, and its name
    _ended: list[CompletedRequest] = field(factory=list, init=False)  # not reported yet, as the next
    _unused: list[str] = field(factory=list, init=False)

    @property
    def has_news(self) -> bool:
        """Whether there is something to report."""
        return bool(self._ended or self._unused)

    def make_name(self) -> str:
        """Return a name for a slot that is taken without the store."""
        self._first += 1
        return f"{self.prefix}{self._first - 1}"

    def hold(self, permit: Permit, name: str, number: int) -> None:
        """Record that a permit occupies a slot.

        Args:
            permit: The permit in this process.
            name: Name of the slot.
            number: Number of the permit in the shared state, or 0.
        """
        self._held[permit.number] = name, number

    def end(self, permit: Permit, answer: RequestOutcome | None, now: float) -> None:
        """Record that a request ended."""
        name, number = self._held.pop(permit.number)
        self._left.append((now + self._longest, name))
        self._ended.append(CompletedRequest(name, number, answer))

    def give_back(self, permit: Permit) -> None:
        """Record that a permit was not used."""
        self._unused.append(self._held.pop(permit.number)[0])

    def write(self, now: float, tier: Tier | None, *, singles: int = 0, bulk: int = 0) -> ScriptRequest:
        """Create the next request to the store. It contains all outcomes that are not reported yet.

        Args:
            now: The current time.
            tier: The tier that this process knows or starts with; None if it has neither.
            singles: Permits wanted for single calls.
            bulk: Permits wanted for bulk work.
        """
        if self._is_empty(now):
            self._epoch = None  # this process has no slots that the store could have lost
        first, self._first = self._first, self._first + singles + bulk
        ended, self._ended = self._ended, []
        unused, self._unused = self._unused, []
        return ScriptRequest(
            length=self._config.window,
            lease=self._config.lease,
            expected=0 if tier is None else tier.requests_per_minute,
            epoch=self._epoch,
            number=self._number,
            prefix=self.prefix,
            first=first,
            singles=singles,
            bulk=bulk,
            ended=ended,
            unused=unused,
            joining=self._remembered(now) if self._epoch is None else (),
        )

    def take(self, ask: ScriptRequest, reply: ScriptReply) -> Iterator[tuple[bool, str, int]]:
        """Read the reply to a request.

        Returns:
            For each permit granted: whether it is for bulk work, the name of its slot, its shared number.
        """
        if reply.is_lost:
            self._epoch = None
            self._ended[:0], self._unused[:0] = ask.ended, ask.unused
            return
        self._epoch, self._number = reply.epoch, reply.number
        number = reply.number - reply.singles - reply.bulk
        for index in (*range(reply.singles), *range(ask.singles, ask.singles + reply.bulk)):
            number += 1
            yield index >= ask.singles, f"{ask.prefix}{ask.first + index}", number

    def refuse(self, name: str) -> None:
        """Record that a granted permit has no waiter any more."""
        self._unused.append(name)

    def miss(self, ask: ScriptRequest) -> None:
        """Record that no reply came. The store may have granted permits, so the next request gives them back.

        Outcomes not yet reported are dropped, and the process joins again.
        """
        self._unused[:0] = ask.for_resend().unused
        self.drop_news()

    def drop_news(self) -> None:
        """Drop the outcomes that could not be reported. The process reports their slots when it joins again."""
        self._ended.clear()
        self._epoch = None

    def _is_empty(self, now: float) -> bool:
        while self._left and self._left[0][0] <= now:
            self._left.popleft()
        return not self._held and not self._left

    def _remembered(self, now: float) -> list[tuple[str, float, bool]]:
        held = [(name, self._config.lease + self._longest, False) for name, _ in self._held.values()]
        return held + [(name, left - now, True) for left, name in self._left if left > now]

    @property
    def _longest(self) -> float:
        return abandoned_lasts(self._config.window)  # after a response a slot is free a little earlier
