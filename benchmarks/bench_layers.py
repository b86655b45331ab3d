"""What retry and pacing cost on an idle key: CPU time per request, without a network.

A function answers at once in place of the transport, so what is left is the layers alone. Each line is the best of
several runs; the difference to the first line is the price.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable

from attrs import define

from benchmarks.harness import Report, Table
from isnotai_async import LocalLimiter, Retry, Unlimited
from isnotai_async._http.messages import Request, Response
from isnotai_async._http.rate_limited import RateLimitedTransport
from isnotai_async._http.retry import Retrier
from isnotai_async._http.retry_policy import RetryQuota
from isnotai_async._models.pages import Headers
from isnotai_async._notices import Notifier
from isnotai_async._ratelimit.limiter import Limiter

_CALLS = 2_000  # fewer than half of the enterprise window, so that nothing waits
_HEADERS = Headers.of({"x-isnotai-tier": "enterprise", "content-type": "application/json"})
_REQUEST = Request("get_session", "/v1/sessions/s1")


@define(eq=False)
class _Instant:
    """A transport that has the answer already."""

    async def send(self, request: Request) -> Response:
        return Response(request, 200, _HEADERS, b"{}", "us")


def _stack(limiter: Limiter, *, deadline: float | None) -> Retrier:
    notifier = Notifier("us")
    paced = RateLimitedTransport(_Instant(), limiter, notifier, ends_within=60.0)
    return Retrier(paced, Retry(), deadline, RetryQuota(), notifier)


async def _measure(send: Callable[[Request], Awaitable[object]]) -> float:
    begun = time.process_time()
    for _ in range(_CALLS):
        await send(_REQUEST)
    return (time.process_time() - begun) / _CALLS * 1e6


def _read(response: Response) -> int:
    return response.status


async def _fetch(limiter: Limiter, *, deadline: float | None) -> float:
    stack = _stack(limiter, deadline=deadline)
    return await _measure(lambda request: stack.fetch(request, _read))


_LINES: dict[str, Callable[[], Awaitable[float]]] = {
    "the transport alone": lambda: _measure(_Instant().send),
    "both layers, Unlimited, no deadline": lambda: _fetch(Unlimited(), deadline=None),
    "both layers, Unlimited": lambda: _fetch(Unlimited(), deadline=120.0),
    "both layers, LocalLimiter": lambda: _fetch(LocalLimiter(tier="enterprise"), deadline=120.0),
}


async def _timed(run: Callable[[], Awaitable[float]]) -> float:
    return await run()


def run(*, quick: bool) -> Report:
    """Measure; one table."""
    logging.getLogger("isnotai_async").setLevel(logging.WARNING)
    gc.disable()
    best = dict.fromkeys(_LINES, float("inf"))
    for _ in range(3 if quick else 8):  # taking turns, so that a noisy second hits all alike
        for name, line in _LINES.items():
            best[name] = min(best[name], asyncio.run(_timed(line)))
    floor = best["the transport alone"]
    rows = tuple((name, f"{spent:.1f}", f"{spent - floor:.1f}") for name, spent in best.items())
    return Report([Table("CPU of one request that need not wait", ("layers", "µs", "price"), rows)], figures=best)
