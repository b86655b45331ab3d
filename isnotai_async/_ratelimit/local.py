"""`LocalLimiter`: the rate limit of one key in one process, with its queue of waiters.

1. Single calls go before bulk work; within each, first come, first served.
2. A waiter that is cancelled leaves the queue. If it already has a permit, the next waiter gets that permit.
3. One limiter may serve several event loops in several threads at once. All changes happen under one lock that is
   never held across an ``await``. A waiter is woken through its own loop, and each loop that has waiters has its own
   alarm, so a loop that is stuck delays only its own waiters.
4. If a permit is free, nothing is awaited and no future is created.

The lock is reentrant, because the garbage collector may finalise a waiting coroutine at any point, and that coroutine
then leaves the queue.

A process has one limiter for each key: all clients of a key share the server's window, so they share the limiter.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakSet

from attrs import define

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier, check_tier
from isnotai_async._models.validation import check_quota
from isnotai_async._notices import TOLD_SECONDS, log_fields, logger, until
from isnotai_async._ratelimit.constants import MINUTE
from isnotai_async._ratelimit.limiter import OnWait, Permit, QuotaState, RequestOutcome
from isnotai_async._ratelimit.policy import RateLimitPolicy
from isnotai_async.errors import ConfigError


@define(eq=False, repr=False)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Permit]
    bulk: bool
    is_queued: bool = True
    permit: Permit | None = None  # granted, but not yet returned by `acquire`


@define(eq=False, repr=False)
class _Alarm:
    """A timer of one loop. When it fires, the loop checks again whether its waiters may go."""

    waiters: int = 0
    due: float = math.inf
    handle: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.handle is not None:
            self.handle.cancel()
        self.due, self.handle = math.inf, None


class LocalLimiter:
    """The rate limiter of one key in one process. It keeps the requests within the server's sliding window.

    A client without ``limiter=`` shares one limiter with all clients of the same key and region. Create a limiter to
    pass it to several clients, or to use a window of another length.

    Example:
        >>> limiter = isnotai.LocalLimiter(tier="pro", quota=0.5)
        >>> limiter.quota_state
        QuotaState(limit=300, used=0, waiting=0, pause=0.0)
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client:
        ...     print(len(await client.list_events("big-100").to_list()))
        100

    Args:
        tier: Tier to start with; None for the lowest. The responses name the real tier.
        quota: Share of the tier's rate that this process may use, above 0, at most 1.
        window: Length of the server's window, in seconds. A tier allows the same number of requests in any window.
        name: Name of the key in the log.
        clock: Function that returns seconds and never goes back.

    Raises:
        ConfigError: A value is not valid.
    """

    def __init__(
        self,
        *,
        tier: Tier | str | None = None,
        quota: float = 1.0,
        window: float = MINUTE,
        name: str = "this key",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not isinstance(window, int | float) or isinstance(window, bool) or not 0 < window < math.inf:
            raise ConfigError(f"window must be seconds, more than 0, not {window!r:.50}; the API's is 60")
        self._policy = RateLimitPolicy(check_tier(tier), float(window), check_quota(quota))
        self._name = name
        self._clock = clock
        self._lock = threading.RLock()
        self._single: deque[_Waiter] = deque()
        self._bulk: deque[_Waiter] = deque()
        self._alarms: dict[asyncio.AbstractEventLoop, _Alarm] = {}
        self._logged_until = -math.inf

    @property
    def tier(self) -> Tier:
        """The tier whose limit is in use now."""
        return self._policy.tier

    @property
    def quota(self) -> float:
        """The share of the tier's rate that this process may use."""
        return self._policy.quota

    @property
    def quota_state(self) -> QuotaState:
        """State of the rate limit now."""
        with self._lock:
            policy, now, waiting = self._policy, self._clock(), len(self._single) + len(self._bulk)
            used, pause = policy.slots.occupied(now), policy.pause_left(now)
            return QuotaState(limit=policy.limit, used=used, waiting=waiting, pause=pause)

    def __repr__(self) -> str:
        state, policy = self.quota_state, self._policy
        used = f"{state.used} of {policy.tier.requests_per_minute} slots occupied"
        return f"<LocalLimiter {policy.tier}: {used}, {policy.slots.held} under way, {state.waiting} waiting>"

    def expect(self, tier: Tier) -> None:
        """Assume a tier, unless a response already named one."""
        with self._lock:
            self._policy.expect(tier)

    def is_idle(self) -> bool:
        """Return whether the limiter can be dropped: it has no waiters, and its window is empty."""
        with self._lock:
            return not self._alarms and self._policy.is_idle(self._clock())

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:
        """Wait until a request may be sent; see `Limiter.acquire`.

        Example:
            >>> limiter = isnotai.LocalLimiter(tier="pro")
            >>> permit = await limiter.acquire(bulk=False)
            >>> limiter.quota_state.used
            1
        """
        with self._lock:
            if (permit := self.acquire_nowait(bulk=bulk)) is not None:
                return permit
            now = self._clock()
            wait, reason = self._policy.wait(now, bulk=bulk)
            waiter = self._enter(bulk, now)
        try:
            self._log_wait(wait, reason, now)
            if on_wait is not None:
                on_wait(wait, reason or "others came first")
            return await waiter.future
        except BaseException:
            self._leave(waiter)
            raise

    def acquire_nowait(self, *, bulk: bool) -> Permit | None:
        """Return a permit if one is free and no waiter comes first; None if `acquire` would have to wait.

        Example:
            >>> limiter = isnotai.LocalLimiter(tier="free")
            >>> limiter.acquire_nowait(bulk=True)
            Permit(number=1)
        """
        with self._lock:
            is_next = not self._single and not (bulk and self._bulk)
            return self._policy.try_acquire(self._clock(), bulk=bulk) if is_next else None

    async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:
        """Record the outcome of a request; see `Limiter.release`.

        Example:
            >>> limiter = isnotai.LocalLimiter(tier="pro")
            >>> permit = await limiter.acquire(bulk=False)
            >>> await limiter.release(permit, isnotai.RequestOutcome(200, tier=isnotai.Tier.FREE))
            >>> limiter.quota_state.limit
            60
        """
        with self._lock:
            now, pause = self._clock(), 0.0
            if answer is None or answer.status:
                pause = self._policy.record_outcome(permit, answer, now)
            else:
                self._policy.withdraw(permit)
            if self._single or self._bulk:
                self._serve(now)
        if pause > TOLD_SECONDS:
            text = "429 from the API: all requests of %s pause for %s; %d are waiting"
            waiting = self.quota_state.waiting
            extra = log_fields("pause", limiter=self._name, wait=pause, waiting=waiting)
            logger.info(text, self._name, until(pause), waiting, extra=extra)

    def _log_wait(self, wait: float, reason: str, now: float) -> None:
        # Log once for all waiters of the same instant. Even spacing is normal (a second each on the free tier).
        if wait <= max(TOLD_SECONDS, 2 * self._policy.spacing(now)) or now < self._logged_until or wait == math.inf:
            return
        self._logged_until = now + wait
        limit = self._policy.tier.requests_per_minute
        text = "requests of %s wait for %s: %s (%d requests in %g s, tier %s)"
        extra = log_fields("wait", limiter=self._name, wait=wait, reason=reason)
        logger.info(text, self._name, until(wait), reason, limit, self._policy.length, self._policy.tier, extra=extra)

    # All that follows runs under the lock.

    def _enter(self, bulk: bool, now: float) -> _Waiter:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop, loop.create_future(), bulk)
        (self._bulk if bulk else self._single).append(waiter)
        self._alarms.setdefault(loop, _Alarm()).waiters += 1
        self._serve(now)
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.permit is not None:
                self._policy.withdraw(waiter.permit)
            elif waiter.is_queued:
                (self._bulk if waiter.bulk else self._single).remove(waiter)
                self._dismiss(waiter)
            self._serve(self._clock())

    def _dismiss(self, waiter: _Waiter) -> None:
        waiter.is_queued, loop = False, waiter.loop
        alarm = self._alarms[loop]
        alarm.waiters -= 1
        if not alarm.waiters:
            del self._alarms[loop]
            if loop is _running_loop():  # another loop's timer finds nothing to do when it fires
                alarm.stop()

    def _serve(self, now: float) -> None:
        """Grant permits to the waiters that may go, and set an alarm for the next one."""
        while queue := self._single or self._bulk:
            bulk = queue is self._bulk
            permit = self._policy.try_acquire(now, bulk=bulk)
            if permit is None:
                self._set_alarms(now, self._policy.wait(now, bulk=bulk)[0])
                return
            waiter = queue.popleft()
            self._dismiss(waiter)
            self._grant(waiter, permit)

    def _grant(self, waiter: _Waiter, permit: Permit) -> None:
        waiter.permit = permit
        if waiter.loop is _running_loop():
            _resolve(waiter.future, permit)
            return
        try:
            waiter.loop.call_soon_threadsafe(_resolve, waiter.future, permit)
        except RuntimeError:  # the waiter's loop was closed
            waiter.permit = None
            self._policy.withdraw(permit)

    def _set_alarms(self, now: float, wait: float) -> None:
        running, due = _running_loop(), now + wait
        for loop, alarm in list(self._alarms.items()):
            if alarm.due <= due:
                continue  # it fires early enough, and then sets the next alarm
            alarm.due = due
            if loop is running:
                if alarm.handle is not None:
                    alarm.handle.cancel()
                alarm.handle = loop.call_later(wait, self._ring, loop)
                continue
            try:
                loop.call_soon_threadsafe(self._ring, loop)
            except RuntimeError:  # the loop is closed, so nothing can resume its waiters
                self._forget(loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if alarm := self._alarms.get(loop):
                alarm.stop()
                self._serve(self._clock())

    def _forget(self, loop: asyncio.AbstractEventLoop) -> None:
        del self._alarms[loop]
        for queue in (self._single, self._bulk):
            for waiter in [waiter for waiter in queue if waiter.loop is loop]:
                queue.remove(waiter)
                waiter.is_queued = False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # called by the garbage collector between two loops
        return None


def _resolve(future: asyncio.Future[Permit], permit: Permit) -> None:
    if not future.done():  # a cancelled one passes its permit on when its task gets to run
        future.set_result(permit)


_shared: Final[dict[tuple[str, str], LocalLimiter]] = {}
_users: Final[dict[tuple[str, str], WeakSet[object]]] = {}
_registry: Final = threading.Lock()


def share_limiter(
    region: Region, fingerprint: str, user: object, *, tier: Tier | None, quota: float = 1.0, window: float = MINUTE
) -> LocalLimiter:
    """Find or create the limiter that all clients of a key share in this process.

    The limiter outlives the clients until its window is empty: closing a client does not empty the server's window.

    Args:
        region: The region with its base URL.
        fingerprint: Fingerprint of the key; the key itself is not stored here.
        user: The object that uses the limiter. It is held by a weak reference.
        tier: Tier to start with, or None.
        quota: Share of the tier's rate that this process may use.
        window: Length of the server's window, in seconds, if the limiter is created.

    Raises:
        ConfigError: The key's limiter has another quota.
    """
    about = region.base_url, fingerprint
    with _registry:
        for key in [key for key, users in _users.items() if not users and _shared[key].is_idle()]:
            del _shared[key], _users[key]
        limiter = _shared.get(about) or LocalLimiter(quota=quota, window=window, name=f"the key of {region.name}")
        if limiter.quota != quota:
            raise ConfigError(
                f"quota={quota:g}, but this process uses the same key with quota={limiter.quota:g}, or did in the "
                "last window; the clients of a key share one limiter: give all of them the same quota"
            )
        _shared[about] = limiter
        _users.setdefault(about, WeakSet()).add(user)
    if tier is not None:
        limiter.expect(tier)
    return limiter
