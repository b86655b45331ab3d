"""The server's sliding window, as the client sees it: which requests may still count in it.

The server allows N requests within any window of length W, and counts a request when it arrives. That is some time
between its sending and its response, so requests that were sent apart can arrive together: a log of *sending* times
that allowed 60 a minute led to up to 76 arrivals in one minute. This is a log of *intervals*:

1. A request occupies a slot from before it is sent until W after its response.
2. A request may be sent if fewer than N slots are occupied.
3. A request without a response (timed out, cancelled, reset) may reach the server after the client gave up. So its
   slot is held longer, by a linger (5 s for a window of a minute).
4. The limit is not part of the log. If it changes, up or down, the history stays.

Proof that no window of the server then has more than N arrivals, if its clock runs as fast as ours: request i is
sent at s_i, arrives at a_i, and is answered at r_i, with s_i <= a_i <= r_i. Take any window (T - W, T], and among its
arrivals the request j that was sent last. Every other arrival i in the window has r_i >= a_i > T - W >= a_j - W, so
r_i + W > a_j >= s_j, and s_i <= s_j. So slot i was occupied when j was admitted. At most N - 1 slots were occupied
then, so the window has at most N arrivals.

A margin (0.25 s for a window of a minute) is added to W, for clocks that differ slightly and for rounding.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Protocol

from attrs import define, field

from isnotai_async._ratelimit.constants import CONSTANTS, MINUTE


def answered_lasts(length: float) -> float:
    """Return how long, in seconds, the slot of a request stays occupied after its response."""
    return length * (1 + CONSTANTS.margin)


def abandoned_lasts(length: float) -> float:
    """Return how long, in seconds, the slot of a request stays occupied after it ended without a response."""
    return length * (1 + CONSTANTS.margin + CONSTANTS.linger)


class OccupiedSlots(Protocol):
    """The occupied slots of one key, as `policy` needs them. Times are seconds on a monotonic clock."""

    @property
    def held(self) -> int:
        """Number of requests that are under way."""
        ...

    def occupied(self, now: float) -> int:
        """Return the number of occupied slots."""
        ...

    def next_leaving(self) -> float:
        """Return when the next slot becomes free; infinite if all occupied slots wait for a response."""
        ...

    def take(self) -> None:
        """Occupy a slot, because a request is about to be sent."""
        ...

    def give_back(self) -> None:
        """Free a slot now, because the request was never sent."""
        ...

    def answered(self, now: float) -> None:
        """Record that a request got a response."""
        ...

    def abandoned(self, now: float) -> None:
        """Record that a request ended without a response."""
        ...


@define(eq=False, repr=False)
class SlidingWindowLog:
    """The occupied slots of one key in one process. Times are seconds on any monotonic clock.

    Args:
        length: Length of the server's window, in seconds. Margin and linger scale with it.
    """

    length: float = MINUTE
    _held: int = field(default=0, init=False)
    _answered_lasts: float = field(init=False)
    _abandoned_lasts: float = field(init=False)
    # When each slot becomes free. Each queue is sorted, because it adds the same length to a monotonic clock.
    _answered: deque[float] = field(factory=deque, init=False)
    _abandoned: deque[float] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._answered_lasts, self._abandoned_lasts = answered_lasts(self.length), abandoned_lasts(self.length)

    def occupied(self, now: float) -> int:
        """Return the number of occupied slots."""
        answered, abandoned = self._answered, self._abandoned
        while answered and answered[0] <= now:
            answered.popleft()
        while abandoned and abandoned[0] <= now:
            abandoned.popleft()
        return self._held + len(answered) + len(abandoned)

    def next_leaving(self) -> float:
        """Return when the next slot becomes free; infinite if all occupied slots wait for a response."""
        first = self._answered[0] if self._answered else inf
        return min(first, self._abandoned[0]) if self._abandoned else first

    @property
    def held(self) -> int:
        """Number of requests that are under way."""
        return self._held

    def take(self) -> None:
        """Occupy a slot, because a request is about to be sent."""
        self._held += 1

    def give_back(self) -> None:
        """Free a slot now, because the request was never sent."""
        self._held -= 1

    def answered(self, now: float) -> None:
        """Record that a request got a response."""
        self._held -= 1
        self._answered.append(now + self._answered_lasts)

    def abandoned(self, now: float) -> None:
        """Record that a request ended without a response."""
        self._held -= 1
        self._abandoned.append(now + self._abandoned_lasts)
