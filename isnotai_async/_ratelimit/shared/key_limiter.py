"""The limiter of one key in one process that asks the store for permits on behalf of all waiters.

1. A background task runs while there are waiters or outcomes to report. One call to the store reports the ended
   requests and asks for permits for all waiters. Between calls the task sleeps for the time in the reply, at most a
   second, because responses to other processes may end a pause. It wakes earlier if a request ends in this process.
2. Single calls go before bulk work; within each, first come, first served. A waiter that is cancelled leaves the
   queue. If it already has a permit, the permit is given back.
3. A policy of this process records every request. While the store is unavailable, this policy decides, with the
   process's share of the limit. It then already knows what was sent.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
from collections.abc import Callable
from contextvars import Context
from typing import Final

from attrs import define, field

from isnotai_async._models.tiers import Tier
from isnotai_async._notices import TOLD_SECONDS, log_fields, logger, until
from isnotai_async._ratelimit.limiter import OnWait, Permit, QuotaState, RequestOutcome
from isnotai_async._ratelimit.policy import PAUSED, SPACED, RateLimitPolicy
from isnotai_async._ratelimit.shared.protocol import TIERS, ScriptReply, ScriptRequest
from isnotai_async._ratelimit.shared.state import SharedLimiterConfig, SharedSlotState
from isnotai_async._ratelimit.shared.store import Store
from isnotai_async._ratelimit.shared.wait_queue import Waiter, WaitQueue
from isnotai_async.errors import ConfigError, LimiterError

_POLL: Final = 1.0  # longest sleep between two calls, and shortest time between two tries if the store is down


@define(eq=False)
class SharedKeyLimiter:
    """The limiter of one key in one process; `RedisLimiter` and `FileLimiter` create one for each key.

    Args:
        store: The store that processes share.
        keys: Names of the state and of the slots.
        config: Options of the limiter, the same for all keys.
        name: Name of the key in the log.
        clock: Function that returns seconds and never goes back.
    """

    _store: Store
    _keys: tuple[str, str]
    _config: SharedLimiterConfig
    _name: str = field(kw_only=True)
    _clock: Callable[[], float] = field(kw_only=True)
    lease: float = field(init=False)
    _policy: RateLimitPolicy = field(init=False)
    _slots: SharedSlotState = field(init=False)
    _queue: WaitQueue = field(factory=WaitQueue, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _trouble: str | None = field(default=None, init=False)  # why the store is unavailable; None if it works
    _revival: asyncio.Task[None] | None = field(default=None, init=False)
    _tried_at: float = field(default=-math.inf, init=False)
    _logged_until: float = field(default=-math.inf, init=False)
    _used: int = field(default=0, init=False)  # slots that were occupied at the store's last reply
    _used_at: float = field(default=-math.inf, init=False)
    _paused_until: float = field(default=-math.inf, init=False)
    _is_closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._policy = RateLimitPolicy(
            self._config.tier or Tier.FREE, self._config.window, 1 / (self._config.workers or 1)
        )
        self._slots = SharedSlotState(self._config)
        self.lease = self._config.lease

    @property
    def tier(self) -> Tier:
        """The last tier that this process knows."""
        return self._policy.tier

    @property
    def quota_state(self) -> QuotaState:
        """State of the rate limit, as of the store's last reply; what this process knows if that is too old."""
        policy, now = self._policy, self._clock()
        is_shared = self._trouble is None and now < self._used_at + self._config.window
        limit = policy.limit if self._trouble else policy.tier.requests_per_minute
        used = self._used if is_shared else policy.slots.occupied(now)
        pause = max(0.0, self._paused_until - now, policy.pause_left(now))
        return QuotaState(limit=limit, used=used, waiting=len(self._queue), pause=pause)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "the store does not answer" if self._trouble else "shared"
        return (
            f"<KeyLimiter {self.tier}, {state}: {self._policy.slots.held} under way here, {len(self._queue)} waiting>"
        )

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:
        """Wait until a request may be sent; see `Limiter.acquire`.

        Raises:
            LimiterError: The store is unavailable, and the limiter has no local share to continue with.
            ConfigError: The limiter is closed, or in use on another event loop.
        """
        self._attach()
        if self._trouble is not None and self._config.workers is None:
            self._look_again()
            raise self._store.refusal(self._trouble)
        waiter = self._queue.enter(bulk=bulk)
        if not self._queue.follow(waiter, self._clock()):  # else the next call asks for it too
            self._start()
        try:
            news = await waiter.outlook
            if news is not None:
                self._log_wait(*news)
                if on_wait is not None:
                    on_wait(*news)
            return await waiter.future
        except BaseException:
            self._leave(waiter)
            raise

    async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:
        """Record the outcome of a request; see `Limiter.release`. The store gets it soon, without a wait here."""
        now = self._clock()
        if answer is not None and not answer.status:  # never sent
            self._give_back(permit)
            return
        self._slots.end(permit, answer, now)
        self._policy.record_outcome(permit, answer, now)
        self._start()

    async def aclose(self) -> None:
        """Fail all waiters, and report the last outcomes to the store. Idempotent."""
        self._is_closed = True
        self._queue.fail(lambda: ConfigError("the shared limiter was closed while requests waited for it"))
        self._wake.set()
        tasks = [task for task in (self._task, self._revival) if task is not None]
        if tasks:  # each makes one or two calls, and each call has a time limit
            await asyncio.wait(tasks)

    def _attach(self) -> None:
        if self._is_closed:
            raise ConfigError("this shared limiter is closed; make another one")
        self._store.attach()
        if not self._slots.prefix:  # not made earlier, because a forked process needs its own
            self._slots.prefix = f"{os.getpid():x}-{secrets.token_hex(6)}:"

    def _leave(self, waiter: Waiter) -> None:
        self._queue.leave(waiter)
        if waiter.permit is not None:
            self._give_back(waiter.permit)
        elif self._queue:  # the task may not have asked for the waiters after it
            self._start()

    def _give_back(self, permit: Permit) -> None:
        self._policy.withdraw(permit)
        self._slots.give_back(permit)
        self._start()

    def _log_wait(self, wait: float, reason: str) -> None:
        now = self._clock()
        if TOLD_SECONDS < wait < math.inf and reason != SPACED and now >= self._logged_until:  # once for all waiters
            self._logged_until = now + wait
            extra = log_fields("wait", limiter=self._name, wait=wait, reason=reason)
            logger.info("requests of %s wait for %s: %s", self._name, until(wait), reason, extra=extra)

    # The background task.

    def _start(self) -> None:
        self._wake.set()
        if self._task is None and not self._is_closed:  # else it would reopen the connection
            self._task = asyncio.get_running_loop().create_task(self._serve(), context=Context())

    async def _serve(self) -> None:
        try:
            while self._queue or (self._slots.has_news and self._trouble is None):
                self._wake.clear()
                wait = await self._ask() if self._trouble is None else self._ask_policy()
                if wait > 0 and self._queue:
                    await self._rest(min(wait, _POLL))
        except Exception as error:  # noqa: BLE001 - unexpected, and logged; no waiter may wait forever
            logger.exception("the shared limit of %s failed", self._name)
            reason = f"{type(error).__name__}, see the log"
            self._queue.fail(lambda: self._store.refusal(reason))
        finally:
            self._task = None

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _ask(self) -> float:
        tier = self._policy.known_tier or self._config.tier
        singles, bulk = len(self._queue.single), len(self._queue.bulk)
        ask = self._slots.write(self._clock(), tier, singles=singles, bulk=bulk)
        try:
            reply = await self._store.run(self._keys, ask)
        except LimiterError as error:
            self._slots.miss(ask)
            self._fall_back(error)
            return 0.0
        self._take(ask, reply)
        return reply.wait

    def _take(self, ask: ScriptRequest, reply: ScriptReply) -> None:
        now = self._clock()
        for bulk, name, number in self._slots.take(ask, reply):
            waiters = self._queue.bulk if bulk else self._queue.single
            if not waiters:  # the waiter has left
                self._slots.refuse(name)
                continue
            permit = self._policy.record(now)
            self._slots.hold(permit, name, number)
            waiters.popleft().grant(permit)
        if reply.is_foreign:
            text = "%s held something else under %s or %s; it was deleted, and the shared limit of %s starts empty"
            logger.warning(text, self._store.place, *self._keys, self._name)
        elif reply.is_lost:
            logger.warning("%s lost the shared limit of %s; sending it again", self._store.place, self._name)
        if not reply.is_lost:
            self._see_state(reply, now)
        self._queue.report(now, reply.wait, reply.reason)
        if reply.paused > TOLD_SECONDS:
            extra = log_fields("pause", limiter=self._name, wait=reply.paused)
            text = "429 from the API: all requests of %s pause for %s"
            logger.info(text, self._name, until(reply.paused), extra=extra)

    def _see_state(self, reply: ScriptReply, now: float) -> None:
        self._used, self._used_at = reply.used, now
        pause = reply.wait if reply.reason == PAUSED else reply.paused
        self._paused_until = max(self._paused_until, now + pause)  # a pause never becomes shorter
        if tier := TIERS.get(reply.limit):
            self._policy.adopt(tier)

    # While the store is unavailable.

    def _fall_back(self, error: LimiterError) -> None:
        self._trouble, self._tried_at = error.reason, self._clock()
        way = "calls fail" if self._config.workers is None else f"going on with 1/{self._config.workers} of the limit"
        extra = log_fields("outage", limiter=self._name, store=self._store.place, reason=error.reason)
        text = "the shared limit of %s: %s: %s; %s"
        logger.warning(text, self._name, self._store.place, error.reason, way, extra=extra)

    def _ask_policy(self) -> float:
        self._look_again()
        self._slots.drop_news()
        if self._config.workers is None:
            trouble = self._trouble or ""
            self._queue.fail(lambda: self._store.refusal(trouble))
            return 0.0
        now = self._clock()
        while waiters := self._queue.single or self._queue.bulk:
            bulk = waiters is self._queue.bulk
            permit = self._policy.try_acquire(now, bulk=bulk)
            if permit is None:
                wait, reason = self._policy.wait(now, bulk=bulk)
                self._queue.report(now, wait, reason)
                return wait
            self._slots.hold(permit, self._slots.make_name(), 0)
            waiters.popleft().grant(permit)
        return 0.0

    def _look_again(self) -> None:
        """Try the store again in the background, at most once a second. Requests trigger it."""
        if self._revival is None and self._clock() >= self._tried_at + _POLL:
            self._revival = asyncio.get_running_loop().create_task(self._revive(), context=Context())

    async def _revive(self) -> None:
        try:
            # This writes, so it fails on a replica.
            await self._store.run(self._keys, ScriptRequest(length=self._config.window))
        except LimiterError as error:
            self._trouble = error.reason
        else:
            self._trouble = None
            logger.warning("the shared limit of %s: %s is back", self._name, self._store.place)
        finally:
            self._tried_at, self._revival = self._clock(), None
            self._start()
