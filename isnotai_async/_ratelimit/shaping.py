"""Even spacing: for bulk work, and for everything once the server has refused what should have fitted.

Two things defeat a client that uses its window in bursts, however exactly it counts. The server may count
approximately (two fixed windows, the older one weighted: blog.cloudflare.com, "How we built rate limiting"); measured
against such a counter, bursts up to an exact limit had 18 to 50 % refused, even spacing at 98 % of the rate none, at
100 % a few. And another program may use the same key. So:

1. Requests that are spaced come at 98 % of the rate, counted from when they were due rather than from when they
   came, so that late wake-ups do not add up; what may be caught up so is less than half of the 2 %.
2. A burst through half of the window is let pass by the approximate counter too, if spaced requests follow.
3. After an unexpected 429 everything is spaced for ten windows. Each one lowers the rate by a fifth, to no less than
   a tenth; it comes back by a twentieth of the full rate each window (additive increase, multiplicative decrease).
"""

from __future__ import annotations

from math import inf
from typing import Final

from attrs import define, field

_UTILISATION: Final = 0.98
_DECREASE: Final = 0.8
_LEAST_SHARE: Final = 0.1
_INCREASE: Final = 0.05  # of the full rate, each window
_SHAPED_WINDOWS: Final = 10.0


@define(eq=False, repr=False)
class Shape:
    """When the next spaced request is due. Times are seconds on any clock that does not go back.

    Args:
        length: Of the server's window, in seconds.
    """

    length: float
    _due: float = field(default=-inf, init=False)
    _share: float = field(default=1.0, init=False)
    _slowed_at: float = field(default=-inf, init=False)

    def is_on(self, now: float) -> bool:
        """Whether everything is spaced, and not only bulk work."""
        return now < self._slowed_at + _SHAPED_WINDOWS * self.length

    def share(self, now: float) -> float:
        """Part of the rate that is used now, from 0.1 to 1."""
        if self._share == 1.0:
            return 1.0
        return min(1.0, self._share + _INCREASE * (now - self._slowed_at) / self.length)

    def spacing(self, limit: int, now: float) -> float:
        """Seconds between two requests.

        Args:
            limit: Requests that the server allows in a window.
            now: The time.
        """
        return self.length / (_UTILISATION * limit * self.share(now))

    def wait(self, now: float) -> float:
        """Seconds until the next spaced request may go; 0 when it may."""
        return max(0.0, self._due - now)

    def spend(self, limit: int, now: float) -> None:
        """Count a spaced request that goes now. Arguments as of `spacing`."""
        spacing = self.spacing(limit, now)
        # A quarter of a request on the free tier, where 2 % are hardly more than one; towards 1 % on the others.
        catch_up = max(0.25, 0.01 * limit - 0.35)
        self._due = max(self._due, now - catch_up * spacing) + spacing

    def restart(self, now: float) -> None:
        """Count from now: there was no lateness to catch up with, but no need or no room."""
        self._due = max(self._due, now)

    def hurry(self, limit: int, now: float) -> None:
        """Forget what was due by a smaller limit than the present one. Arguments as of `spacing`."""
        self._due = min(self._due, now + self.spacing(limit, now))

    def slow_down(self, now: float) -> None:
        """Answer an unexpected 429."""
        self._share = max(_LEAST_SHARE, self.share(now) * _DECREASE)
        self._slowed_at = now
