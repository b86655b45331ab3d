"""Even spacing of requests: when the next spaced request is due, and at which rate. Arithmetic only.

A client that uses its window in bursts gets a 429 for two reasons, even if it counts exactly. First, the server may
count approximately (two fixed windows, the older one weighted: blog.cloudflare.com, "How we built rate limiting").
Measured against such a counter, 18 to 50 % of the requests of bursts up to the exact limit were rejected; with even
spacing, none at 98 % of the rate and a few at 100 %. Second, another program may use the same key. So:

1. Spaced requests are sent at 98 % of the rate. The spacing counts from the time a request was due, not from the
   time it was sent, so that late wake-ups do not add up. Such catching up uses less than half of the 2 %.
2. The approximate counter also accepts a burst of half of the window, if spaced requests follow.
3. Each unexpected 429 lowers the rate of spaced requests by a fifth, to no less than a tenth; each window raises it
   again by a twentieth of the full rate (additive increase, multiplicative decrease). After a second 429 within ten
   windows, all requests are spaced for ten more windows. After a first one, single calls are not spaced: a stray 429
   would slow 20 of them on the free tier from 2 s to 25 s. An approximate counter or another program, the causes that
   the rule is for, soon send the second 429. The cost is one more rejected request each time (docs/network.md).
"""

from __future__ import annotations

from math import inf

import msgspec

from isnotai_async._ratelimit.constants import CONSTANTS, MINUTE


class Pacer(msgspec.Struct, eq=False):
    """State of the spacing of one key's requests. Times are seconds on any monotonic clock.

    Attributes:
        length: Length of the server's window, in seconds.
        due: Time at which the next spaced request may go.
        lowered: Share of the rate that is used, as it was at `lowered_at`; from 0.1 to 1.
        lowered_at: Time of the last unexpected 429.
        spaced_until: Time until which all requests are spaced, not only bulk work.
    """

    length: float = MINUTE
    due: float = -inf
    lowered: float = 1.0
    lowered_at: float = -inf
    spaced_until: float = -inf

    def spaces_all(self, now: float) -> bool:
        """Return whether all requests are spaced, not only bulk work."""
        return now < self.spaced_until

    def share(self, now: float) -> float:
        """Return the share of the rate that is used now, from 0.1 to 1."""
        return min(1.0, self.lowered + CONSTANTS.increase * (now - self.lowered_at) / self.length)

    def spacing(self, rate: float, now: float) -> float:
        """Return the seconds between two requests.

        Args:
            rate: Requests that are allowed in a window.
            now: The current time.
        """
        return self.length / (CONSTANTS.utilisation * rate * self.share(now))

    def wait(self, now: float) -> float:
        """Return the seconds until the next spaced request may go; 0 if it may go now."""
        return max(0.0, self.due - now)

    def spend(self, rate: float, now: float) -> None:
        """Count a spaced request that is sent now. The arguments are those of `spacing`."""
        spacing = self.spacing(rate, now)
        catch_up = max(CONSTANTS.catch_up_least, CONSTANTS.catch_up_rate * rate - CONSTANTS.catch_up_offset)
        self.due = max(self.due, now - catch_up * spacing) + spacing

    def restart(self, now: float) -> None:
        """Start the spacing from now: the delay had another cause than late wake-ups, so it is not caught up."""
        self.due = max(self.due, now)

    def hurry(self, rate: float, now: float) -> None:
        """Move the next due time forward after the rate has risen. The arguments are those of `spacing`."""
        self.due = min(self.due, now + self.spacing(rate, now))

    def slow_down(self, now: float) -> None:
        """Lower the rate after an unexpected 429."""
        spaced = CONSTANTS.spaced_windows * self.length
        if now < self.lowered_at + spaced:
            self.spaced_until = now + spaced
        self.lowered = max(CONSTANTS.least_share, self.share(now) * CONSTANTS.decrease)
        self.lowered_at = now
