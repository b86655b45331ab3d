"""The server's sliding window of requests, as pure arithmetic: time is an argument, in seconds.

Which of the two the real edge uses is not documented, so both are here:

- `ExactLog` keeps the time of every counted request, and admits a request if the last window has fewer than `limit`.
- `ApproximateCounter` keeps two numbers, the counts of the current fixed window and of the previous one. It assumes
  that the previous window was evenly spread: ``previous x (share of it still in the sliding window) + current``. See
  https://blog.cloudflare.com/counting-things-a-lot-of-different-things/. It rejects bursts that an exact log allows.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field


@define
class ExactLog:
    """Sliding window, its length in seconds, over an exact log; rejected requests may fill it too."""

    window: float
    count_rejected: bool = False
    _times: deque[float] = field(factory=deque, init=False, repr=False)

    def accept(self, limit: int, now: float) -> float | None:
        """Count a request.

        Args:
            limit: Requests allowed within a window. It may change between calls; the history stays.
            now: Seconds on a clock that never goes back.

        Returns:
            None when the request is admitted, else the seconds after which one would be.
        """
        times = self._times
        while times and times[0] <= now - self.window:
            times.popleft()
        admitted = len(times) < limit
        if admitted or self.count_rejected:
            times.append(now)
        return None if admitted else times[len(times) - limit] + self.window - now


@define
class ApproximateCounter:
    """Sliding window, its length in seconds, over two counters; rejected requests may fill it too."""

    window: float
    count_rejected: bool = False
    _number: int = field(default=0, init=False)  # of the present fixed window, counted from the clock's zero
    _previous: int = field(default=0, init=False)
    _present: int = field(default=0, init=False)

    def accept(self, limit: int, now: float) -> float | None:
        """Count a request; see `ExactLog.accept`."""
        number = int(now // self.window)
        if number != self._number:
            self._previous = self._present if number == self._number + 1 else 0
            self._number, self._present = number, 0
        left = (number + 1) * self.window - now
        admitted = self._previous * left / self.window + self._present < limit
        if admitted or self.count_rejected:
            self._present += 1
        return None if admitted else self._wait(limit, left)

    def _wait(self, limit: int, left: float) -> float:
        if self._present < limit:
            # The old count fades evenly; find when the sum falls to the limit.
            return left - (limit - self._present) / self._previous * self.window
        return left + (self._present - limit) / self._present * self.window


RequestCounter = ExactLog | ApproximateCounter
"""One key's count of requests."""
