"""Rate limit policy of one key: when a request may go, and what an outcome changes. Arithmetic only.

A key is in one of four states:

- *open*: a request may go if a slot is free (`sliding_window`) and, if it has to be spaced, if it is due (`pacer`).
- *paused*: nothing goes until `paused_until`.
- *due for a probe*: the pause is over, and one request, the probe, may go as in *open*.
- *probing*: the probe is under way, and nothing else goes.

| from | what happens | to |
|---|---|---|
| open | 429 | paused: for ``Retry-After``, or without one until the oldest slot is free |
| paused | 429 of an older request with a later ``Retry-After`` | paused, for longer |
| paused | the time passes | due for a probe |
| due for a probe | a request goes | probing |
| probing | the probe gets a 429 | paused; each time without ``Retry-After`` for twice as long |
| probing | the probe gets another response | open |
| probing | the probe gets no response, or was not sent | due for a probe |

Rules:

1. Only the window limits single calls. Bulk work is spaced, but may use half the window of an idle key in one burst.
   A key is idle if less than a quarter of its window was in use for a whole window: an approximate counter remembers
   the window before the last, and would reject a burst right after a full window.
2. After two unexpected 429s within ten windows, all requests are spaced (`pacer`).
3. Responses to requests that were sent before a pause neither end it nor lower the rate again.
4. The tier starts low and follows ``x-isnotai-tier``: up after two equal responses, down after one.
5. A process may use a share (`quota`) of the tier's limit, rounded down, so that all shares together never exceed it.
   A share below one request a window is not rounded up to one: all its requests are spaced evenly.
"""

from __future__ import annotations

from math import floor, inf
from typing import Final

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.constants import CONSTANTS, MINUTE
from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.policy_state import PolicyState
from isnotai_async._ratelimit.sliding_window import OccupiedSlots, SlidingWindowLog

FULL: Final = "the window is full"
SPACED: Final = "requests are spaced evenly"
PAUSED: Final = "paused by a 429"
PROBING: Final = "the first request after a 429 is under way"


class RateLimitPolicy:
    """The rules of one key's rate limit, over its state. Times are seconds on any monotonic clock.

    Args:
        tier: Tier to start with.
        length: Length of the server's window, in seconds.
        quota: Share of the tier's rate that may be used, above 0, at most 1.
        slots: The occupied slots; None to count the slots of this process only.
        state: What was remembered; None to start with an open key.
    """

    def __init__(
        self,
        tier: Tier = Tier.FREE,
        length: float = MINUTE,
        quota: float = 1.0,
        *,
        slots: OccupiedSlots | None = None,
        state: PolicyState | None = None,
    ) -> None:
        self.length, self.quota = length, quota
        self.state = PolicyState(tier) if state is None else state
        self._pacer, self.state.pacer.length = self.state.pacer, length
        self.slots = slots or SlidingWindowLog(length)
        self._set_tier(self.state.tier)

    def _set_tier(self, tier: Tier) -> None:
        self.state.tier, allowed = tier, tier.requests_per_minute * self.quota
        self.limit = max(1, floor(allowed + CONSTANTS.rounding))
        self._burst, self._idle = CONSTANTS.burst_share * self.limit, CONSTANTS.idle_share * self.limit
        self.rate = min(self.limit, allowed)  # as `limit`, but not rounded up if it is below one request a window
        self._is_below_one = self.rate < 1 - CONSTANTS.rounding

    @property
    def tier(self) -> Tier:
        """The tier whose limit is in use."""
        return self.state.tier

    @property
    def known_tier(self) -> Tier | None:
        """The tier that a response named or another process knew; None if the tier is only assumed."""
        return self.state.tier if self.state.is_tier_known else None

    def pause_left(self, now: float) -> float:
        """Return the seconds until the pause ends; 0 if there is none."""
        return max(0.0, self.state.paused_until - now) if self.state.is_paused else 0.0

    def is_idle(self, now: float) -> bool:
        """Return whether the key has no state except the tier."""
        return not self.state.is_paused and not self._pacer.spaces_all(now) and not self.slots.occupied(now)

    def spacing(self, now: float) -> float:
        """Return the seconds between two spaced requests."""
        return self._pacer.spacing(self.rate, now)

    def wait(self, now: float, occupied: int | None = None, *, bulk: bool) -> tuple[float, str]:
        """Return the seconds to wait and the reason: 0 if a request may go now, infinite until a response comes.

        Args:
            now: The current time.
            occupied: Number of occupied slots; None to count them.
            bulk: Whether the request is bulk work.
        """
        state, occupied = self.state, self.slots.occupied(now) if occupied is None else occupied
        if state.is_paused:
            if state.probe:
                return inf, PROBING
            if now < state.paused_until:
                return state.paused_until - now, PAUSED
        if occupied >= self.limit:
            return self.slots.next_leaving() - now, FULL
        if (bulk and not self._may_burst(now, occupied)) or self._spaces_all(now):
            return self._pacer.wait(now), SPACED
        return 0.0, ""

    def try_acquire(self, now: float, *, bulk: bool) -> Permit | None:
        """Return a permit if a request may go now, else None. The arguments are those of `wait`."""
        occupied = self.slots.occupied(now)  # counted once, because this runs for every request
        wait, reason = self.wait(now, occupied, bulk=bulk)
        if wait > 0:
            self.state.was_held_up = reason is not SPACED
            return None
        is_spaced = not self._may_burst(now, occupied) or self._spaces_all(now)
        if self.state.was_held_up or not is_spaced:
            self.state.was_held_up = False
            self._pacer.restart(now)
        if is_spaced:
            self._pacer.spend(self.rate, now)  # single calls too, so that bulk work leaves room for them
        return self.record(now, occupied)

    def record(self, now: float, occupied: int | None = None) -> Permit:
        """Count a request that may go by `try_acquire`, or by a store, which knows the requests of all processes."""
        state, occupied = self.state, self.slots.occupied(now) if occupied is None else occupied
        if occupied >= self._idle:
            state.idle_from = now + CONSTANTS.idle_windows * self.length
        self.slots.take()
        state.number += 1
        if state.is_paused:
            state.probe = state.number
        return Permit(state.number)

    def _may_burst(self, now: float, occupied: int) -> bool:
        state = self.state
        if state.is_bursting:
            state.is_bursting = occupied < self._burst
        else:
            state.is_bursting = occupied < self._idle and now >= state.idle_from
        return state.is_bursting

    def _spaces_all(self, now: float) -> bool:
        return self._is_below_one or self._pacer.spaces_all(now)

    def withdraw(self, permit: Permit) -> None:
        """Free the slot of a permit that was not used."""
        self.slots.give_back()
        if permit.number == self.state.probe:
            self.forget_probe()

    def forget_probe(self) -> None:
        """Allow another probe, because the current one was not sent or will get no response."""
        self.state.probe = 0

    def record_outcome(self, permit: Permit, answer: RequestOutcome | None, now: float) -> float:
        """Record the outcome of a request.

        Args:
            permit: The permit of the request.
            answer: The outcome, or None if no response came.
            now: The current time.

        Returns:
            Seconds for which this outcome paused the key; 0 if it did not pause it.
        """
        if was_probe := permit.number == self.state.probe:
            self.forget_probe()
        if answer is None:
            self.slots.abandoned(now)
            return 0.0
        self.slots.answered(now)
        self._follow_tier(answer.tier, now)
        if answer.status == 429:
            return self._reject(permit, answer.retry_after, now)
        if was_probe:
            self.state.is_paused, self.state.rejections = False, 0
        return 0.0

    def _reject(self, permit: Permit, retry_after: float | None, now: float) -> float:
        state = self.state
        if permit.number > state.paused_after:
            state.rejections += 1
            state.is_paused, state.paused_after, state.was_held_up = True, state.number, True
            self._pacer.slow_down(now)
        elif not state.is_paused or retry_after is None:
            return 0.0  # sent before the pause, and it says nothing new
        until = now + self._pause(retry_after, now)
        if until <= state.paused_until:
            return 0.0
        state.paused_until = until
        return until - now

    def _pause(self, retry_after: float | None, now: float) -> float:
        shortest = self.length * CONSTANTS.shortest_pause
        if retry_after is not None:
            return min(max(retry_after, shortest), CONSTANTS.max_pause)
        longest = self.length * CONSTANTS.longest_pause
        # Doubled with each rejected probe: our own oldest slot says little if other programs use the key.
        least = min(shortest * 2.0 ** min(self.state.rejections - 1, CONSTANTS.most_doublings), longest)
        self.slots.occupied(now)  # drops the slots that became free since the last call
        return min(max(least, self.slots.next_leaving() - now), longest)  # the rejected request has a slot itself

    def expect(self, tier: Tier) -> None:
        """Assume a tier, unless a response already named one."""
        if not self.state.is_tier_known:
            self._set_tier(tier)

    def adopt(self, tier: Tier) -> None:
        """Set the tier from the shared state, which knows the responses of all processes."""
        self.state.is_tier_known, self.state.rising_tier = True, None
        if tier is not self.state.tier:  # this runs for every reply of a store
            self._set_tier(tier)

    def _follow_tier(self, tier: Tier | None, now: float) -> None:
        if tier is None:
            return
        state, seen = self.state, self.state.rising_tier
        state.rising_tier, state.is_tier_known = None, True
        if tier is state.tier:
            return
        if tier.requests_per_minute > state.tier.requests_per_minute and tier is not seen:
            state.rising_tier = tier
            return
        self._set_tier(tier)
        self._pacer.hurry(self.rate, now)
