"""Rate limit policy of one key: when a request may go, even spacing, 429 pause and probe, tiers. Arithmetic only.

1. A request may go when a slot is free (`sliding_window`). If it has to be spaced, it must also be due (`Pacer`).
2. Only the window limits single calls. Bulk work is spaced, except that it may use half of the window of an idle key
   in one burst. A key is idle if less than a quarter of its window was in use for a whole window. The reason: an
   approximate counter remembers the window before the last, and would reject a burst right after a full window.
3. A 429 closes the gate for the time in ``Retry-After``, or without one until the oldest slot is free. Then one
   request, the probe, goes first; its response opens the gate, or closes it again. If the probe gets no response,
   another probe follows. Responses to requests that were sent before the gate closed do not open it, and do not
   lower the rate a second time.
4. The tier starts low and follows ``x-isnotai-tier``: up after two equal responses, down after one.
5. A process may use a share (``quota``) of the tier's limit. The share is rounded down, so that all shares together
   never exceed the limit. A share below one request a window is not rounded up: all its requests are spaced evenly.

Even spacing applies to bulk work, and to every request after the server rejected requests that were within the limit.

A client that uses its window in bursts gets a 429 for two reasons, even if it counts exactly. First, the server may
count approximately (two fixed windows, the older one weighted: blog.cloudflare.com, "How we built rate limiting").
Measured against such a counter, 18 to 50 % of the requests of bursts up to the exact limit were rejected; with even
spacing, none at 98 % of the rate and a few at 100 %. Second, another program may use the same key. So:

1. Spaced requests are sent at 98 % of the rate. The spacing counts from the time a request was due, not from the
   time it was sent, so that late wake-ups do not add up. Such catching up uses less than half of the 2 %.
2. The approximate counter also accepts a burst of half of the window, if spaced requests follow.
3. Each unexpected 429 lowers the rate of spaced work by a fifth, to no less than a tenth; each window raises it again
   by a twentieth of the full rate (additive increase, multiplicative decrease). After a second 429 within ten
   windows, all requests are spaced for ten more windows. After a first one, single calls are not spaced: a stray 429
   would slow 20 of them on the free tier from 2 s to 25 s. An approximate counter or another program, the causes that
   the rule is for, soon send the second 429. The cost is one more rejected request each time (docs/network.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, inf
from typing import Any, Final

from attrs import define, field

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.sliding_window import MINUTE, OccupiedSlots, SlidingWindowLog

_UTILISATION: Final = 0.98
_DECREASE: Final = 0.8
_LEAST_SHARE: Final = 0.1
_INCREASE: Final = 0.05  # of the full rate, each window
_SHAPED_WINDOWS: Final = 10.0
_ROUNDING: Final = 1e-9  # 600 times a third is a little less than 200


@define(eq=False, repr=False)
class Pacer:
    """The pacer of spaced requests: it knows when the next one is due. Times are seconds on any monotonic clock.

    Args:
        length: Length of the server's window, in seconds.
    """

    length: float
    _due: float = field(default=-inf, init=False)
    _share: float = field(default=1.0, init=False)
    _slowed_at: float = field(default=-inf, init=False)
    _spaced_until: float = field(default=-inf, init=False)

    def is_on(self, now: float) -> bool:
        """Return whether all requests are spaced, not only bulk work."""
        return now < self._spaced_until

    def share(self, now: float) -> float:
        """Return the part of the rate that is used now, from 0.1 to 1."""
        if self._share == 1.0:
            return 1.0
        return min(1.0, self._share + _INCREASE * (now - self._slowed_at) / self.length)

    def spacing(self, rate: float, now: float) -> float:
        """Return the seconds between two requests.

        Args:
            rate: Requests that are allowed in a window.
            now: The current time.
        """
        return self.length / (_UTILISATION * rate * self.share(now))

    def wait(self, now: float) -> float:
        """Return the seconds until the next spaced request may go; 0 if it may go now."""
        return max(0.0, self._due - now)

    def spend(self, rate: float, now: float) -> None:
        """Count a spaced request that is sent now. The arguments are those of `spacing`."""
        spacing = self.spacing(rate, now)
        # A quarter of a request on the free tier, because 2 % of its 60 are hardly more than one; on higher tiers up
        # to 1 % of the rate.
        catch_up = max(0.25, 0.01 * rate - 0.35)
        self._due = max(self._due, now - catch_up * spacing) + spacing

    def restart(self, now: float) -> None:
        """Start the spacing from now: the delay had another cause than late wake-ups, so it is not caught up."""
        self._due = max(self._due, now)

    def hurry(self, rate: float, now: float) -> None:
        """Move the next due time forward after the rate has risen. The arguments are those of `spacing`."""
        self._due = min(self._due, now + self.spacing(rate, now))

    def slow_down(self, now: float) -> None:
        """Lower the rate after an unexpected 429."""
        if now < self._slowed_at + _SHAPED_WINDOWS * self.length:
            self._spaced_until = now + _SHAPED_WINDOWS * self.length
        self._share = max(_LEAST_SHARE, self.share(now) * _DECREASE)
        self._slowed_at = now


MAX_PAUSE: Final = 900.0
"""Longest pause of a key, in seconds, that a ``Retry-After`` can cause; after it a probe is sent.

A call that received a longer ``Retry-After`` fails immediately and reports it. The bound is there because one absurd
header must not stop a program for years.
"""

# Shortest and longest pause after a 429 without Retry-After, in windows (for a window of one minute: 1 s and 61 s).
_SHORTEST_PAUSE: Final = 1.0 / MINUTE
_LONGEST_PAUSE: Final = 61.0 / MINUTE

_SAVED: Final = (
    *("is_told", "number", "was_held_up", "is_bursting", "idle_from", "closed", "closed_until", "closed_after"),
    *("refusals", "probe"),
)
_SAVED_SHAPE: Final = ("due", "share", "slowed_at", "spaced_until")

FULL: Final = "the window is full"
SPACED: Final = "requests are spaced evenly"
PAUSED: Final = "paused by a 429"
PROBING: Final = "the first request after a 429 is under way"


@define(eq=False, repr=False)
class RateLimitPolicy:
    """State of one key's rate limit, and its rules. Times are seconds on any monotonic clock.

    Args:
        tier: Tier to start with.
        length: Length of the server's window, in seconds.
        quota: Share of the tier's rate that may be used, above 0, at most 1.
        slots: The occupied slots; None to count the slots of this process only.
    """

    tier: Tier = Tier.FREE
    length: float = MINUTE
    quota: float = 1.0
    slots: OccupiedSlots | None = None
    _log: OccupiedSlots = field(init=False)
    _shape: Pacer = field(init=False)
    _limit: int = field(init=False)
    _rate: float = field(init=False)  # as `_limit`, but not rounded up if it is below one request a window
    _is_told: bool = field(default=False, init=False)  # whether an answer named the tier
    _rising: Tier | None = field(default=None, init=False)  # a higher tier that was seen once
    _number: int = field(default=0, init=False)
    _was_held_up: bool = field(default=False, init=False)  # by a full window or a pause, not by spacing
    _is_bursting: bool = field(default=True, init=False)
    _idle_from: float = field(default=-inf, init=False)
    _closed: bool = field(default=False, init=False)
    _closed_until: float = field(default=-inf, init=False)
    _closed_after: int = field(default=0, init=False)  # number of the last permit before it closed
    _refusals: int = field(default=0, init=False)  # how often it closed since it was last open
    _probe: int = field(default=0, init=False)  # number of the probe that is under way, or 0

    def __attrs_post_init__(self) -> None:
        self._log, self._shape = self.slots or SlidingWindowLog(self.length), Pacer(self.length)
        self._set_tier(self.tier)

    @property
    def known_tier(self) -> Tier | None:
        """The tier that a response named or another process knew; None if the tier is only assumed."""
        return self.tier if self._is_told else None

    @property
    def number(self) -> int:
        """Number of the last permit."""
        return self._number

    @property
    def probe(self) -> int:
        """Number of the permit of the probe that is under way, or 0."""
        return self._probe

    @property
    def under_way(self) -> int:
        """Number of requests that have a permit and no response yet."""
        return self._log.held

    def occupied(self, now: float) -> int:
        """Count the slots that are occupied."""
        return self._log.occupied(now)

    def is_idle(self, now: float) -> bool:
        """Return whether the gate has no state except the tier."""
        return not self._closed and not self._shape.is_on(now) and not self._log.occupied(now)

    def spacing(self, now: float) -> float:
        """Return the seconds between two spaced requests."""
        return self._shape.spacing(self._rate, now)

    def wait(self, now: float, *, bulk: bool) -> tuple[float, str]:
        """Return how long a request has to wait, and why.

        Args:
            now: The current time.
            bulk: Whether the request is bulk work.

        Returns:
            Seconds and the reason. 0 if a request may go now; infinite if only a response can open the gate.
        """
        return self._wait(now, self._log.occupied(now), bulk=bulk)

    def _wait(self, now: float, occupied: int, *, bulk: bool) -> tuple[float, str]:
        if self._closed and self._probe:
            return inf, PROBING
        if self._closed and now < self._closed_until:
            return self._closed_until - now, PAUSED
        if occupied >= self._limit:
            return self._log.next_leaving() - now, FULL
        if (bulk and not self._may_burst(now, occupied)) or self._is_all_spaced(now):
            return self._shape.wait(now), SPACED
        return 0.0, ""

    def try_acquire(self, now: float, *, bulk: bool) -> Permit | None:
        """Return a permit if a request may go now, else None. The arguments are those of `wait`."""
        occupied = self._log.occupied(now)  # counted once, because this runs for every request
        wait, reason = self._wait(now, occupied, bulk=bulk)
        if wait > 0:
            self._was_held_up = reason is not SPACED
            return None
        is_spaced = not self._may_burst(now, occupied) or self._is_all_spaced(now)
        if self._was_held_up or not is_spaced:
            self._was_held_up = False
            self._shape.restart(now)
        if is_spaced:
            self._shape.spend(self._rate, now)  # single calls too, so that bulk work leaves room for them
        return self._record(now, occupied)

    def record(self, now: float) -> Permit:
        """Count a request that is sent, whether this gate admitted it or a store that knows all processes did."""
        return self._record(now, self._log.occupied(now))

    def _record(self, now: float, occupied: int) -> Permit:
        if 4 * occupied >= self._limit:
            self._idle_from = now + 2 * self.length  # one window until its slot is free, and one idle window
        self._log.take()
        self._number += 1
        if self._closed:
            self._probe = self._number
        return Permit(self._number)

    def _may_burst(self, now: float, occupied: int) -> bool:
        if self._is_bursting:
            self._is_bursting = 2 * occupied < self._limit
        else:
            self._is_bursting = 4 * occupied < self._limit and now >= self._idle_from
        return self._is_bursting

    def withdraw(self, permit: Permit) -> None:
        """Free the slot of a permit that was not used."""
        self._log.give_back()
        if permit.number == self._probe:
            self._probe = 0

    def forget_probe(self) -> None:
        """Allow another probe, because the current one was not sent or will get no response."""
        self._probe = 0

    def record_outcome(self, permit: Permit, answer: RequestOutcome | None, now: float) -> float:
        """Record the outcome of a request.

        Args:
            permit: The permit of the request.
            answer: The outcome, or None if no response came.
            now: The current time.

        Returns:
            Seconds for which this outcome closed the gate; 0 if it did not close it.
        """
        was_probe = permit.number == self._probe
        if was_probe:
            self._probe = 0
        if answer is None:
            self._log.abandoned(now)
            return 0.0
        self._log.answered(now)
        self._follow(answer.tier, now)
        if answer.status == 429:
            return self._refused(permit, answer.retry_after, now)
        if was_probe:
            self._closed, self._refusals = False, 0
        return 0.0

    def save(self) -> dict[str, Any]:
        """Return the state without the slots, for `restore`."""
        plain = {name: getattr(self, f"_{name}") for name in _SAVED}
        shape = {name: getattr(self._shape, f"_{name}") for name in _SAVED_SHAPE}
        return {"tier": self.tier.value, "rising": self._rising and self._rising.value, **plain, **shape}

    @classmethod
    def restore(cls, saved: Mapping[str, Any], *, length: float, slots: OccupiedSlots) -> RateLimitPolicy:
        """Create a gate from what `save` returned.

        Raises:
            ValueError: The value did not come from `save`.
        """
        try:
            policy = cls(Tier(saved["tier"]), length, slots=slots)
            policy._rising = None if saved["rising"] is None else Tier(saved["rising"])
            for names, target in ((_SAVED, policy), (_SAVED_SHAPE, policy._shape)):
                for name in names:
                    _set(target, f"_{name}", saved[name])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a saved gate: {error!r}") from None
        return policy

    def expect(self, tier: Tier) -> None:
        """Assume a tier, unless a response already named one."""
        if not self._is_told:
            self._set_tier(tier)

    def adopt(self, tier: Tier) -> None:
        """Set the tier from the shared state, which knows the responses of all processes."""
        self._is_told = True
        if tier is not self.tier:
            self._set_tier(tier)
            self._rising = None

    def _set_tier(self, tier: Tier) -> None:
        self.tier, self._limit = tier, self._limit_of(tier)
        self._rate = min(self._limit, tier.requests_per_minute * self.quota)

    def _limit_of(self, tier: Tier) -> int:
        return max(1, floor(tier.requests_per_minute * self.quota + _ROUNDING))

    def _is_all_spaced(self, now: float) -> bool:
        return self._rate < 1 - _ROUNDING or self._shape.is_on(now)

    def _refused(self, permit: Permit, retry_after: float | None, now: float) -> float:
        if permit.number > self._closed_after:
            self._refusals += 1
            self._closed, self._closed_after, self._was_held_up = True, self._number, True
            self._shape.slow_down(now)
        elif not self._closed or retry_after is None:
            return 0.0  # sent before the gate closed, and it says nothing new
        until = now + self._pause(retry_after, now)
        if until <= self._closed_until:
            return 0.0
        self._closed_until = until
        return until - now

    def _pause(self, retry_after: float | None, now: float) -> float:
        shortest = self.length * _SHORTEST_PAUSE
        if retry_after is not None:
            return min(max(retry_after, shortest), MAX_PAUSE)
        longest = self.length * _LONGEST_PAUSE
        # Doubled with each rejected probe: our own oldest slot says little if other programs use the key.
        least = min(shortest * 2.0 ** min(self._refusals - 1, 10), longest)
        self._log.occupied(now)  # drops the slots that became free since the last call
        leaving = self._log.next_leaving() - now
        return min(max(least, leaving), longest) if leaving < inf else least

    def _follow(self, tier: Tier | None, now: float) -> None:
        if tier is None:
            return
        self._is_told = True
        seen, self._rising = self._rising, None
        if tier is self.tier:
            return
        if tier.requests_per_minute > self.tier.requests_per_minute and tier is not seen:
            self._rising = tier
            return
        self._set_tier(tier)
        self._shape.hurry(self._rate, now)


def _set(target: object, name: str, value: object) -> None:
    if type(value) is not type(getattr(target, name)):
        raise TypeError(name)
    setattr(target, name, value)
