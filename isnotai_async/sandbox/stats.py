"""Counters that tests read."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Final

from attrs import define, field

_KEPT_ARRIVALS: Final = 1_000_000


@define(eq=False)
class RegionStats:
    """What one region has seen since it was made. Live: it goes on counting while you look.

    Attributes:
        requests: Requests of any kind.
        in_flight: Requests that have arrived and are not answered yet.
        max_in_flight: The most there were at once.
        admitted: Requests with the right key that the limiter let pass; what ``/v1/usage`` counts as `ApiCalls`.
        rejected: Requests that the limiter answered with 429.
        arrivals: When each authenticated request reached the limiter, refused ones included: seconds on
            the event loop's monotonic clock, rising. Beyond a million the older half is dropped.
        paths: Requests by path, percent-encoded as they came, without the query.
        statuses: Answers by status. 0 stands for no answer: reset, or left by its client.
    """

    requests: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    admitted: int = 0
    rejected: int = 0
    arrivals: array[float] = field(factory=lambda: array("d"), repr=False)
    paths: Counter[str] = field(factory=Counter, repr=False)
    statuses: Counter[int] = field(factory=Counter)

    def begin(self, path: str) -> None:
        """Count a request that begins."""
        self.requests += 1
        self.paths[path] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def end(self, status: int) -> None:
        """Count its answer."""
        self.in_flight -= 1
        self.statuses[status] += 1

    def arrive(self, now: float) -> None:
        """Note the arrival of an authenticated request at the limiter."""
        if len(self.arrivals) >= _KEPT_ARRIVALS:
            del self.arrivals[: _KEPT_ARRIVALS // 2]
        self.arrivals.append(now)
