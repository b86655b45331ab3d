"""One region of the sandbox: its key, tier and data, and the counters that tests read."""

from __future__ import annotations

import base64
import hmac
from array import array
from collections import Counter
from collections.abc import Mapping, MutableSequence
from functools import cached_property
from hashlib import sha256
from typing import Final

from attrs import define, field

from isnotai_async.sandbox.analytics import Entries, take_census, users
from isnotai_async.sandbox.cursors import Mint
from isnotai_async.sandbox.data import Data
from isnotai_async.sandbox.faults import FaultQueue
from isnotai_async.sandbox.limits import PLANS, Plan
from isnotai_async.sandbox.options import SandboxOptions, bounds_of
from isnotai_async.sandbox.rate_limit import ApproximateCounter, ExactLog, RequestCounter
from isnotai_async.sandbox.seed_data import Dice

_KEPT_ARRIVALS: Final = 1_000_000


@define(eq=False)
class RegionStats:
    """The counters of one region since it was created. They are live, and continue to change.

    Example:
        >>> events = await client.list_events("big-1000").to_list()
        >>> sandbox.stats.requests, dict(sandbox.stats.statuses), sandbox.stats.max_in_flight
        (10, {200: 10}, 1)

    Attributes:
        requests: Requests of any kind.
        in_flight: Requests that have arrived and are not answered yet.
        max_in_flight: The largest value of `in_flight` so far.
        admitted: Requests with the right key that the limiter admitted; ``/v1/usage`` counts them as `ApiCalls`.
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
    arrivals: MutableSequence[float] = field(factory=lambda: array("d"), repr=False)
    paths: Counter[str] = field(factory=Counter, repr=False)
    statuses: Counter[int] = field(factory=Counter)

    def begin(self, path: str) -> None:
        """Count a request that starts."""
        self.requests += 1
        self.paths[path] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def end(self, status: int) -> None:
        """Count the answer of a request."""
        self.in_flight -= 1
        self.statuses[status] += 1

    def arrive(self, now: float) -> None:
        """Note the arrival of an authenticated request at the limiter."""
        if len(self.arrivals) >= _KEPT_ARRIVALS:
            del self.arrivals[: _KEPT_ARRIVALS // 2]
        self.arrivals.append(now)


@define(eq=False, kw_only=True)
class SandboxRegion:
    """State of one region.

    Args:
        name: `us` or `eu`.
        key: The API key that works here and only here.
        tier: Name of the key's tier; may be set at any time.
        seed: Seed of what is its own: cursors and latencies.
        options: The options of the sandbox.
        data: Its sessions, whose kind only they themselves need to know.
        faults: Queue that the regions share.
    """

    name: str
    key: str = field(repr=False)
    tier: str
    seed: int = field(repr=False)
    options: SandboxOptions = field(repr=False)
    data: Data = field(repr=False)
    faults: FaultQueue = field(repr=False)
    stats: RegionStats = field(factory=RegionStats, init=False)
    mints: Mapping[str, Mint] = field(init=False, repr=False)
    _dice: Dice = field(init=False, repr=False)
    _windows: dict[str, RequestCounter] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.mints = make_mints(self.seed, self.options.cursor_ttl)
        self._dice = Dice(self.seed, "latency")

    @property
    def plan(self) -> Plan:
        """The tier's limits."""
        return PLANS[self.tier]

    @property
    def page_cap(self) -> int:
        """Largest page size of the tier."""
        return self.options.page_size_cap or self.plan.page_size

    @cached_property
    def census(self) -> Entries:
        """All sessions with the values that are counted; computed on first use."""
        return take_census(self.data)

    @cached_property
    def users(self) -> tuple[dict[str, object], ...]:
        """All users, as the API shows them; computed on first use."""
        return users(self.census)

    def authenticate(self, headers: Mapping[str, str]) -> str | None:
        """Check the key of a request.

        Args:
            headers: The request's headers, case-insensitive.

        Returns:
            The edge bucket that the request counts in, or None when its key is missing, malformed or unknown.
        """
        # Authorization wins when both are sent, also when it is the one that is wrong.
        if (authorization := headers.get("Authorization")) is not None:
            scheme, _, given = authorization.partition(" ")
            bucket = "key"
            given = given.strip() if scheme.lower() == "bearer" else ""
        else:
            given = headers.get("x-api-key", "")
            # Documented: callers that use x-api-key share one bucket per tier.
            bucket = f"tier {self.tier}"
        known = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.key.encode())
        return bucket if known else None

    def accept(self, bucket: str, now: float) -> float | None:
        """Count a request in its window; see `ExactLog.accept`."""
        self.stats.arrive(now)
        options = self.options
        limit = self.plan.requests if options.rate_limit == "tier" else options.rate_limit
        if limit is None:
            self.stats.admitted += 1
            return None
        if (window := self._windows.get(bucket)) is None:
            kind = ExactLog if options.counter == "log" else ApproximateCounter
            window = self._windows[bucket] = kind(options.window, options.count_rejected)
        wait = window.accept(limit, now)
        if wait is None:
            self.stats.admitted += 1
        else:
            self.stats.rejected += 1
        return wait

    def latency(self) -> tuple[float, float]:
        """Return the seconds to wait before the request reaches the limiter, and after the answer.

        A part is before the limiter, because only a varying wait there can push requests together in its window.
        """
        low, high = bounds_of(self.options.latency)
        if high == 0:
            return 0.0, 0.0
        total = low + self._dice.fraction() * (high - low)
        inward = total * self._dice.fraction()
        return inward, total - inward


def make_key(seed: object, region: str) -> str:
    """Return an API key in the documented form: ``aik_v1_`` and 40 base64url characters."""
    digest = sha256(f"key\x1f{seed}\x1f{region}".encode()).digest()
    return f"aik_v1_{base64.urlsafe_b64encode(digest).decode()[:40]}"


def make_mints(seed: int, ttl: float | None) -> dict[str, Mint]:
    """Return a cursor factory for each list. Their alphabets differ.

    `list_sessions` uses plain base64: a client that puts ``+``, ``/`` or ``=`` into a URL unencoded is found out.
    """
    secret = sha256(f"cursors\x1f{seed}".encode()).digest()
    return {
        "list_events": Mint(secret, altchars=b"-_", padded=False, ttl=ttl),
        "list_sessions": Mint(secret, altchars=b"+/", padded=True, ttl=ttl),
        "list_users": Mint(secret, altchars=b"-_", padded=True, ttl=ttl),
        "get_user_sessions": Mint(secret, altchars=b"+/", padded=False, ttl=ttl),
        "list_courses": Mint(secret, altchars=b"~.", padded=False, ttl=ttl),
    }
