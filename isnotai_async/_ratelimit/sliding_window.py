"""The server's sliding window, as the client sees it: which requests may still count in it.

The server allows N requests within any window of length W, and counts a request when it arrives, which is some time
between its sending and its answer. Requests sent apart can so arrive together: a log of *sending* times that was
kept to 60 in a minute was seen with up to 76 arrivals in one. This is a log of *intervals*:

1. A request occupies a slot from before it is sent until W after its answer.
2. One may be sent when fewer than N slots are occupied.
3. Of a request that nobody answered (timed out, cancelled, reset) the server may hear later than we gave up:
   its slot is held a linger (5 s of a minute) longer.
4. The limit is no part of the log. When it changes, up or down, the history stays.

Proof that no window of the server then has more than N arrivals, if its clock runs as fast as ours. Request i is
sent at s_i, arrives at a_i, and is answered at r_i, with s_i <= a_i <= r_i. Take any window (T - W, T], and of its
arrivals the one that was sent last, j. Every other arrival i of it has r_i >= a_i > T - W >= a_j - W, so
r_i + W > a_j >= s_j, and s_i <= s_j: slot i was occupied when j was admitted. At most N - 1 slots were, so the window
has at most N arrivals.

A margin (0.25 s of a minute) is added to W, for clocks that do not run quite alike and for rounding.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final, Protocol

from attrs import define, field

MINUTE: Final = 60.0
"""Length of the API's window, in seconds (guide page "Rate limits"). Others are for tests."""

_MARGIN: Final = 0.25 / MINUTE
_LINGER: Final = 5.0 / MINUTE


def answered_lasts(length: float) -> float:
    """Return how long, in seconds, the slot of a request is occupied after its answer."""
    return length * (1 + _MARGIN)


def abandoned_lasts(length: float) -> float:
    """Return how long, in seconds, the slot of a request is occupied after it was given up without an answer."""
    return length * (1 + _MARGIN + _LINGER)


class Slots(Protocol):
    """The occupied slots of one key, as `policy` needs them. Times are seconds on a clock that does not go back."""

    @property
    def held(self) -> int:
        """Requests that are under way."""
        ...

    def occupied(self, now: float) -> int:
        """Count the slots that are occupied."""
        ...

    def next_leaving(self) -> float:
        """When the next slot is left; infinite if all occupied ones wait for an answer."""
        ...

    def take(self) -> None:
        """Occupy a slot; a request is about to be sent."""
        ...

    def give_back(self) -> None:
        """Free a slot at once; the request was never sent."""
        ...

    def answered(self, now: float) -> None:
        """Note that a request was answered."""
        ...

    def abandoned(self, now: float) -> None:
        """Note that a request was given up without an answer."""
        ...


@define(eq=False, repr=False)
class IntervalLog:
    """The occupied slots. Times are seconds on any clock that does not go back.

    Args:
        length: Of the server's window, in seconds. Margin and linger scale with it.
    """

    length: float = MINUTE
    _held: int = field(default=0, init=False)
    # When each slot is left; rising, because each queue adds the same length to a rising clock.
    _answered: deque[float] = field(factory=deque, init=False)
    _abandoned: deque[float] = field(factory=deque, init=False)

    def occupied(self, now: float) -> int:
        """Count the slots that are occupied."""
        answered, abandoned = self._answered, self._abandoned
        while answered and answered[0] <= now:
            answered.popleft()
        while abandoned and abandoned[0] <= now:
            abandoned.popleft()
        return self._held + len(answered) + len(abandoned)

    def next_leaving(self) -> float:
        """When the next slot is left; infinite where all occupied ones wait for an answer."""
        first = self._answered[0] if self._answered else inf
        return min(first, self._abandoned[0]) if self._abandoned else first

    @property
    def held(self) -> int:
        """Requests that are under way."""
        return self._held

    def take(self) -> None:
        """Occupy a slot; a request is about to be sent."""
        self._held += 1

    def give_back(self) -> None:
        """Free a slot at once; the request was never sent."""
        self._held -= 1

    def answered(self, now: float) -> None:
        """A request was answered."""
        self._held -= 1
        self._answered.append(now + answered_lasts(self.length))

    def abandoned(self, now: float) -> None:
        """A request was given up without an answer."""
        self._held -= 1
        self._abandoned.append(now + abandoned_lasts(self.length))
