"""Rate limit policy of one key: when a request may go, even spacing, 429 pause and probe, tiers. Arithmetic only.

1. A request may go when a slot is free (`sliding_window`) and, if it has to be spaced, when it is due (`Shape`).
2. Single calls are bounded by the window alone. Bulk work is spaced, but that an idle key may burst through half of
   its window. Idle is one of which less than a quarter was used for a whole window: an approximate counter remembers
   the window before the last, and would refuse a burst right after a full one.
3. A 429 closes the gate: for as long as ``Retry-After`` says, else until the oldest slot is left. Then one request,
   the probe, goes first; its answer opens the gate, or closes it again. A probe that nobody answers is followed by
   another. Answers to requests that were sent before the gate closed do not open it, and are not held against the
   rate once more.
4. The tier starts low and follows ``x-isnotai-tier``: up after two equal sightings, down at once.
5. Of the tier's limit a process may use a share (``quota``), rounded down, so that all shares together never exceed
   it. A share below one request a window is not rounded up: all its requests are spaced evenly.

Even spacing: for bulk work, and for everything once the server has refused what should have fitted.

Two things defeat a client that uses its window in bursts, however exactly it counts. The server may count
approximately (two fixed windows, the older one weighted: blog.cloudflare.com, "How we built rate limiting"); measured
against such a counter, bursts up to an exact limit had 18 to 50 % refused, even spacing at 98 % of the rate none, at
100 % a few. And another program may use the same key. So:

1. Requests that are spaced come at 98 % of the rate, counted from when they were due rather than from when they
   came, so that late wake-ups do not add up; what may be caught up so is less than half of the 2 %.
2. A burst through half of the window is let pass by the approximate counter too, if spaced requests follow.
3. Each unexpected 429 lowers the rate of spaced work by a fifth, to no less than a tenth; it comes back by a
   twentieth of the full rate each window (additive increase, multiplicative decrease). After the second within ten
   windows, everything is spaced for ten more. After one alone, single calls are not: a stray 429 would slow 20 of
   them on the free tier from 2 s to 25 s, and what the rule is for (an approximate counter, another program) sends
   the second 429 soon. That is one more refused request before it holds, for each time it begins (docs/network.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, inf
from typing import Any, Final

from attrs import define, field

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Answer, Permit
from isnotai_async._ratelimit.sliding_window import MINUTE, IntervalLog, Slots

_UTILISATION: Final = 0.98
_DECREASE: Final = 0.8
_LEAST_SHARE: Final = 0.1
_INCREASE: Final = 0.05  # of the full rate, each window
_SHAPED_WINDOWS: Final = 10.0
_ROUNDING: Final = 1e-9  # 600 times a third is a little less than 200


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
    _spaced_until: float = field(default=-inf, init=False)

    def is_on(self, now: float) -> bool:
        """Whether everything is spaced, and not only bulk work."""
        return now < self._spaced_until

    def share(self, now: float) -> float:
        """Part of the rate that is used now, from 0.1 to 1."""
        if self._share == 1.0:
            return 1.0
        return min(1.0, self._share + _INCREASE * (now - self._slowed_at) / self.length)

    def spacing(self, rate: float, now: float) -> float:
        """Seconds between two requests.

        Args:
            rate: Requests that are allowed in a window.
            now: The time.
        """
        return self.length / (_UTILISATION * rate * self.share(now))

    def wait(self, now: float) -> float:
        """Seconds until the next spaced request may go; 0 when it may."""
        return max(0.0, self._due - now)

    def spend(self, rate: float, now: float) -> None:
        """Count a spaced request that goes now. Arguments as of `spacing`."""
        spacing = self.spacing(rate, now)
        # A quarter of a request on the free tier, where 2 % are hardly more than one; towards 1 % on the others.
        catch_up = max(0.25, 0.01 * rate - 0.35)
        self._due = max(self._due, now - catch_up * spacing) + spacing

    def restart(self, now: float) -> None:
        """Count from now: there was no lateness to catch up with, but no need or no room."""
        self._due = max(self._due, now)

    def hurry(self, rate: float, now: float) -> None:
        """Forget what was due by a smaller rate than the present one. Arguments as of `spacing`."""
        self._due = min(self._due, now + self.spacing(rate, now))

    def slow_down(self, now: float) -> None:
        """Answer an unexpected 429."""
        if now < self._slowed_at + _SHAPED_WINDOWS * self.length:
            self._spaced_until = now + _SHAPED_WINDOWS * self.length
        self._share = max(_LEAST_SHARE, self.share(now) * _DECREASE)
        self._slowed_at = now


MAX_PAUSE: Final = 900.0
"""Longest pause, in seconds, that a ``Retry-After`` can bring upon a whole key before a probe asks again.

The call that met a longer one fails at once and says so; but one absurd header must not stop a program for years.
"""

# Of a minute's window: how long a 429 without Retry-After pauses the key at least, and at most.
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
class Gate:
    """State of one key's limit. Times are seconds on any clock that does not go back.

    Args:
        tier: Tier to start with.
        length: Of the server's window, in seconds.
        quota: Share of the tier's rate that is used, above 0, at most 1.
        slots: The occupied slots; None for those of this process alone.
    """

    tier: Tier = Tier.FREE
    length: float = MINUTE
    quota: float = 1.0
    slots: Slots | None = None
    _log: Slots = field(init=False)
    _shape: Shape = field(init=False)
    _limit: int = field(init=False)
    _rate: float = field(init=False)  # the limit, or what is below one request a window
    _is_told: bool = field(default=False, init=False)  # whether an answer named the tier
    _rising: Tier | None = field(default=None, init=False)  # a higher tier that was seen once
    _number: int = field(default=0, init=False)
    _was_held_up: bool = field(default=False, init=False)  # by a full window or a pause, not by spacing
    _is_bursting: bool = field(default=True, init=False)
    _idle_from: float = field(default=-inf, init=False)
    _closed: bool = field(default=False, init=False)
    _closed_until: float = field(default=-inf, init=False)
    _closed_after: int = field(default=0, init=False)  # number of the last permit before it closed
    _refusals: int = field(default=0, init=False)  # times it closed without opening in between
    _probe: int = field(default=0, init=False)  # number of the probe that is under way, or 0

    def __attrs_post_init__(self) -> None:
        self._log, self._shape = self.slots or IntervalLog(self.length), Shape(self.length)
        self._set_tier(self.tier)

    @property
    def known_tier(self) -> Tier | None:
        """The tier that an answer named or another process knew; None if it is only assumed."""
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
        """Requests that have a permit and no answer yet."""
        return self._log.held

    def occupied(self, now: float) -> int:
        """Count the slots that are occupied."""
        return self._log.occupied(now)

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to remember but the tier."""
        return not self._closed and not self._shape.is_on(now) and not self._log.occupied(now)

    def spacing(self, now: float) -> float:
        """Seconds between two requests, where they are spaced."""
        return self._shape.spacing(self._rate, now)

    def wait(self, now: float, *, bulk: bool) -> tuple[float, str]:
        """Tell when to ask again, and why.

        Args:
            now: The time.
            bulk: Whether it is for bulk work.

        Returns:
            Seconds, 0 where a request may go now, infinite where only an answer can change something; and the reason.
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

    def admit(self, now: float, *, bulk: bool) -> Permit | None:
        """Let a request go, if one may; arguments as of `wait`."""
        occupied = self._log.occupied(now)  # counted once: this is on the way of every request
        wait, reason = self._wait(now, occupied, bulk=bulk)
        if wait > 0:
            self._was_held_up = reason is not SPACED
            return None
        is_spaced = not self._may_burst(now, occupied) or self._is_all_spaced(now)
        if self._was_held_up or not is_spaced:
            self._was_held_up = False
            self._shape.restart(now)
        if is_spaced:
            self._shape.spend(self._rate, now)  # single calls too: bulk work then makes room for them
        return self._record(now, occupied)

    def record(self, now: float) -> Permit:
        """Count a request that goes, whether this gate let it or another did that knows more."""
        return self._record(now, self._log.occupied(now))

    def _record(self, now: float, occupied: int) -> Permit:
        if 4 * occupied >= self._limit:
            self._idle_from = now + 2 * self.length  # its slot is left after one window, and then one has to pass
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
        """Take back a permit that was not used."""
        self._log.give_back()
        if permit.number == self._probe:
            self._probe = 0

    def forget_probe(self) -> None:
        """Let another probe follow: the one that is under way will not be answered, or was not sent."""
        self._probe = 0

    def settle(self, permit: Permit, answer: Answer | None, now: float) -> float:
        """Learn what became of a request.

        Args:
            permit: What it was sent with.
            answer: What the answer told, or None where nobody answered.
            now: The time.

        Returns:
            Seconds for which this closed the gate; 0 where it did not.
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
        """Return all but the slots, for `restore`."""
        plain = {name: getattr(self, f"_{name}") for name in _SAVED}
        shape = {name: getattr(self._shape, f"_{name}") for name in _SAVED_SHAPE}
        return {"tier": self.tier.value, "rising": self._rising and self._rising.value, **plain, **shape}

    @classmethod
    def restore(cls, saved: Mapping[str, Any], *, length: float, slots: Slots) -> Gate:
        """Make a gate of what `save` returned.

        Raises:
            ValueError: It is something else.
        """
        try:
            gate = cls(Tier(saved["tier"]), length, slots=slots)
            gate._rising = None if saved["rising"] is None else Tier(saved["rising"])
            for names, target in ((_SAVED, gate), (_SAVED_SHAPE, gate._shape)):
                for name in names:
                    _set(target, f"_{name}", saved[name])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a saved gate: {error!r}") from None
        return gate

    def expect(self, tier: Tier) -> None:
        """Start with a tier, unless an answer has told better."""
        if not self._is_told:
            self._set_tier(tier)

    def adopt(self, tier: Tier) -> None:
        """Take over the tier of the state that this process shares with others, which knows the answers of all."""
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
            return 0.0  # the news are old
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
        # Doubled with each refused probe: our own oldest slot says little when others use the key.
        least = min(shortest * 2.0 ** min(self._refusals - 1, 10), longest)
        self._log.occupied(now)  # forgets the slots that were left since it was last asked
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
