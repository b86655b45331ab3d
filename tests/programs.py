"""Programs that are always behind with their work, and a server that counts: a model of both, in no time at all."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial
from math import inf

from attrs import define, field

from isnotai_async._ratelimit.limiter import Permit, RequestOutcome
from isnotai_async._ratelimit.policy import RateLimitPolicy
from isnotai_async.sandbox.rate_limit import ApproximateCounter, ExactLog


@define
class Server:
    """Counts as the real one may.

    Attributes:
        window: How it counts.
        limit: Requests of a window.
        requests: How many it saw.
        refused: How many of them it answered with 429.
    """

    window: ExactLog | ApproximateCounter
    limit: int
    requests: int = 0
    refused: int = 0

    def answer(self, now: float, *, advises: bool) -> RequestOutcome:
        self.requests += 1
        wait = self.window.accept(self.limit, now)
        if wait is None:
            return RequestOutcome(200)
        self.refused += 1
        return RequestOutcome(429, float(max(1, int(wait + 1))) if advises else None)


@define(eq=False)
class Program:
    """A program that is always behind with its work.

    Attributes:
        policy: Its limiter's.
        server: What it asks.
        workers: Requests at a time.
        singles: How many single calls it begins with; the rest of its work is bulk.
        dice: For latencies and late wake-ups.
        advises: Whether the server tells it when to come back.
    """

    policy: RateLimitPolicy
    server: Server
    workers: int = 16
    singles: float = 0
    dice: random.Random = field(factory=lambda: random.Random(3))
    advises: bool = True
    look_at: float = field(default=inf, init=False)


@define(eq=False)
class World:
    """Runs programs, event by event.

    Attributes:
        programs: Who asks.
        start: The time at which they begin, in seconds.
        latency: Most seconds to the server, and most seconds back.
    """

    programs: list[Program]
    start: float = 0.0
    latency: float = 0.1
    now: float = field(init=False)
    _events: list[tuple[float, int, Callable[[], None]]] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)

    def run(self, seconds: float) -> None:
        self.now = self.start
        for number, program in enumerate(self.programs):
            self._at(self.start + number * 0.01, partial(self._look, program))
        while self._events and self._events[0][0] <= self.start + seconds:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def _at(self, when: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def _after_a_while(self, program: Program, event: Callable[[], None]) -> None:
        self._at(self.now + program.dice.uniform(0, self.latency), event)

    def _look(self, program: Program) -> None:
        while program.workers and (permit := program.policy.try_acquire(self.now, bulk=program.singles <= 0)):
            program.workers -= 1
            program.singles -= 1
            self._after_a_while(program, partial(self._arrive, program, permit))
        if not program.workers:
            return
        wait = program.policy.wait(self.now, bulk=program.singles <= 0)[0]
        look_at = self.now + max(wait, 1e-4) + program.dice.uniform(0, 0.002)
        if look_at < program.look_at or program.look_at <= self.now:
            program.look_at = look_at
            if look_at < inf:
                self._at(look_at, partial(self._look, program))

    def _arrive(self, program: Program, permit: Permit) -> None:
        answer = program.server.answer(self.now, advises=program.advises)
        self._after_a_while(program, partial(self._end, program, permit, answer))

    def _end(self, program: Program, permit: Permit, answer: RequestOutcome) -> None:
        program.policy.record_outcome(permit, answer, self.now)
        program.workers += 1
        self._look(program)
