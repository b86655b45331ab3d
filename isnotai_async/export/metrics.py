"""`ExportMetrics`: how many requests an export sent, and how long they waited."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import isfinite
from time import monotonic
from typing import Final

from attrs import define, field

from isnotai_async._models.tiers import Tier
from isnotai_async._notices import AttemptNotice, Notice, RetryNotice, TierNotice, WaitNotice

_MINUTE: Final = 60.0  # seconds


@define(eq=False, repr=False)
class ExportMetrics:
    """Counts of an export's requests, taken from the notices of its clients.

    Waits that overlap, of requests side by side, count once.
    """

    clock: Callable[[], float] = monotonic
    requests: int = field(default=0, init=False)
    refusals: int = field(default=0, init=False)  # requests that were answered 401
    reason: str = field(default="", init=False)
    _begun: float = field(init=False)
    _until: float = field(default=0.0, init=False)
    _waited: float = field(default=0.0, init=False)
    _times: deque[float] = field(factory=deque, init=False)  # of the last minute's requests
    _tiers: dict[str, Tier] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self.clock()

    def on_notice(self, notice: Notice) -> None:
        """Count a notice."""
        if isinstance(notice, AttemptNotice):
            self.requests += 1
            self._times.append(self.clock())
            self._forget()
            self.refusals += notice.status == 401
        elif isinstance(notice, WaitNotice | RetryNotice):
            self.reason = notice.reason
            if isfinite(notice.wait):
                now = self.clock()
                end = max(self._until, now + notice.wait)
                self._waited += end - max(self._until, now)
                self._until = end
        elif isinstance(notice, TierNotice):
            self._tiers[notice.region] = notice.tier

    @property
    def rate(self) -> int:
        """Requests of the last minute."""
        self._forget()
        return len(self._times)

    def _forget(self) -> None:
        since = self.clock() - _MINUTE
        while self._times and self._times[0] < since:
            self._times.popleft()

    @property
    def quota(self) -> int | None:
        """Requests that are allowed within a minute, or None while that is not known."""
        return sum(tier.requests_per_minute for tier in self._tiers.values()) or None

    @property
    def waiting(self) -> float:
        """Seconds until the current wait ends."""
        return max(0.0, self._until - self.clock())

    @property
    def waited(self) -> float:
        """Total seconds of all waits so far."""
        return max(0.0, self._waited - self.waiting)

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the export."""
        return self.clock() - self._begun
