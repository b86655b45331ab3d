"""The protocols of a limiter, its permits and its state, and `Unlimited`, which never waits.

A limiter hands out a permit for each request, and receives the outcome of the request in return. What a limiter can
do besides is a protocol of its own: `ImmediateLimiter`, `LeasedLimiter`, `ReportingLimiter`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast, runtime_checkable

from attrs import frozen

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import ConfigError

OnWait = Callable[[float, str], None]
"""Called before a wait, with the minimum wait in seconds and the reason. If it raises, the wait ends."""


@frozen
class Permit:
    """The permission to send one request.

    Example:
        >>> limiter = isnotai.LocalLimiter()
        >>> await limiter.acquire(bulk=False)
        Permit(number=1)
        >>> await limiter.acquire(bulk=False)
        Permit(number=2)

    Attributes:
        number: The permit's number, which is unique within its limiter and increases.
    """

    number: int

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen
class RequestOutcome:
    """The part of a response that matters to the rate limit.

    Example:
        >>> limiter = isnotai.LocalLimiter()
        >>> await limiter.release(await limiter.acquire(bulk=False), isnotai.RequestOutcome(429, retry_after=30))
        >>> limiter.quota_state.pause > 29
        True

    Attributes:
        status: HTTP status; 0 if the request was never sent, see `NOT_SENT`.
        retry_after: Seconds the server asked to wait, or None.
        tier: Tier of the key, or None if the response named no known tier.
    """

    status: int
    retry_after: float | None = None
    tier: Tier | None = None

    __repr__, __eq__, __hash__ = show, equals, hashed


NOT_SENT: Final = RequestOutcome(0)
"""The outcome of a permit that was not used, because the caller gave up before the request was sent."""


class Limiter(Protocol):
    """An object that decides when each request may be sent. One limiter serves one key in one region.

    Each `acquire` that returned is followed by exactly one `release`, whatever happened to the request. Both run in
    the task that sends the request. A `release` that awaits has to shield itself from cancellation.

    Example:
        >>> class Counting(isnotai.Unlimited):
        ...     requests = 0
        ...     async def acquire(self, **options):
        ...         self.requests += 1
        ...         return await super().acquire(**options)
        >>> limiter = Counting()
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client:
        ...     events = await client.list_events("big-1000").to_list()
        >>> limiter.requests
        10
    """

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:
        """Wait until a request may be sent.

        Example:
            >>> limiter: isnotai.Limiter = isnotai.LocalLimiter()
            >>> permit = await limiter.acquire(bulk=True, on_wait=lambda seconds, reason: print(seconds, reason))
            >>> permit
            Permit(number=1)

        Args:
            bulk: Whether the request is part of longer work (a walk, a stream, an export) and should let single
                calls go first.
            on_wait: A function to call once before a wait; `acquire` has to raise what it raises.
        """
        ...

    async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:
        """Record the outcome of the request.

        Example:
            >>> limiter: isnotai.Limiter = isnotai.LocalLimiter()
            >>> permit = await limiter.acquire(bulk=False)
            >>> await limiter.release(permit, isnotai.RequestOutcome(429, retry_after=30))

        Args:
            permit: What `acquire` returned.
            answer: The outcome. None if no response came; the server may then still count the request later.
                Its status is 0 if the request was never sent.
        """
        ...


class ImmediateLimiter(Limiter, Protocol):
    """A limiter that can grant a permit at once, which saves a coroutine and a timer for each request.

    Example:
        >>> def send_now(limiter: isnotai.ImmediateLimiter) -> bool:
        ...     return limiter.acquire_nowait(bulk=True) is not None
        >>> send_now(isnotai.LocalLimiter())
        True
    """

    def acquire_nowait(self, *, bulk: bool) -> Permit | None:
        """Return a permit, or None if `acquire` would have to wait.

        Example:
            >>> limiter: isnotai.ImmediateLimiter = isnotai.LocalLimiter()
            >>> limiter.acquire_nowait(bulk=False)
            Permit(number=1)

        Args:
            bulk: As in `Limiter.acquire`.
        """
        ...


@runtime_checkable
class LeasedLimiter(Limiter, Protocol):
    """A limiter that takes a permit back after a lease, because the process that has it may be dead.

    Example:
        >>> limiter = isnotai.FileLimiter("quota.db", lease=90).bind(client.region, "a fingerprint")
        >>> isinstance(limiter, isnotai.LeasedLimiter), limiter.lease
        (True, 90.0)
    """

    @property
    def lease(self) -> float:
        """Seconds after its permit within which a request has to reach the server."""
        ...


@frozen(kw_only=True)
class QuotaState:
    """State of one key's rate limit at one moment.

    Example:
        >>> events = await client.list_events("big-1000").to_list()
        >>> client.quota_state.limit, client.quota_state.used >= 10, client.quota_state.pause
        (6000, True, 0.0)

    Attributes:
        limit: Requests that may be sent in a window: the tier's limit, times `quota` if that is used.
        used: Slots that are occupied: requests under way, and those of the last window. With a limiter that processes
            share, those of all processes, as of the store's last reply.
        waiting: Requests of this process that wait for a permit.
        pause: Seconds until the pause after a 429 ends; 0.0 if there is none.
    """

    limit: int
    used: int
    waiting: int
    pause: float

    __repr__, __eq__, __hash__ = show, equals, hashed


@runtime_checkable
class ReportingLimiter(Limiter, Protocol):
    """A limiter that reports its state, for metrics and dashboards.

    Example:
        >>> isinstance(isnotai.LocalLimiter(), isnotai.ReportingLimiter)
        True
        >>> isinstance(isnotai.Unlimited(), isnotai.ReportingLimiter)
        False
    """

    @property
    def quota_state(self) -> QuotaState:
        """State of the rate limit now."""
        ...


class SharedLimiter(Protocol):
    """A source of one limiter for each key. Limiters that processes share need it, because their keys need names.

    Example:
        >>> class OnePerKey:
        ...     def __init__(self) -> None:
        ...         self.limiters: dict[str, isnotai.Limiter] = {}
        ...     def bind(self, region: isnotai.Region, fingerprint: str) -> isnotai.Limiter:
        ...         return self.limiters.setdefault(fingerprint, isnotai.LocalLimiter(tier="pro"))
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=OnePerKey()) as client:
        ...     print(len(await client.list_events("big-100").to_list()))
        100
    """

    def bind(self, region: Region, fingerprint: str) -> Limiter:
        """Return the limiter of one key; each call returns the same one.

        Example:
            >>> shared: isnotai.SharedLimiter = isnotai.FileLimiter("quota.db")
            >>> shared.bind(client.region, "a fingerprint") is shared.bind(client.region, "a fingerprint")
            True

        Args:
            region: The key's region with its base URL.
            fingerprint: Fingerprint of the key; never the key itself.
        """
        ...


class Unlimited:
    """A limiter that never waits, for programs that limit their rate elsewhere, and for measurements.

    Example:
        >>> unlimited = isnotai.Unlimited()
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=unlimited) as client:
        ...     print(len(await client.list_events("big-1000").to_list()))
        1000
    """

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:  # noqa: ARG002 - the protocol's
        """Return a permit immediately.

        Example:
            >>> await isnotai.Unlimited().acquire(bulk=True)
            Permit(number=0)
        """
        return _PERMIT

    def acquire_nowait(self, *, bulk: bool) -> Permit | None:  # noqa: ARG002 - the protocol's
        """Return a permit.

        Example:
            >>> isnotai.Unlimited().acquire_nowait(bulk=True)
            Permit(number=0)
        """
        return _PERMIT

    async def release(self, permit: Permit, answer: RequestOutcome | None) -> None:
        """Do nothing.

        Example:
            >>> limiter = isnotai.Unlimited()
            >>> await limiter.release(await limiter.acquire(bulk=True), isnotai.RequestOutcome(200))
        """

    def __repr__(self) -> str:
        return "Unlimited()"


_PERMIT = Permit(0)


def check_limiter(value: Limiter | SharedLimiter) -> Limiter | SharedLimiter:
    """Check that an object is a limiter.

    Raises:
        ConfigError: The object does not have the methods of a limiter.
    """
    can = [callable(getattr(value, name, None)) for name in ("bind", "acquire", "release")]
    if isinstance(value, type) or not (can[0] or all(can[1:])):
        shown = value.__name__ if isinstance(value, type) else type(value).__name__
        raise ConfigError(f"limiter must be an object with acquire() and release(), see Limiter; not {shown}")
    return value


def find_immediate(limiter: Limiter) -> ImmediateLimiter | None:
    """Return the limiter as one that can grant at once; None if it is not one.

    A class that overrides only `acquire` is not one: the inherited `acquire_nowait` would bypass its `acquire`.
    """
    for kind in type(limiter).__mro__:
        if "acquire_nowait" in vars(kind):
            return cast("ImmediateLimiter", limiter)
        if "acquire" in vars(kind):
            return None
    return None


def bind_limiter(value: Limiter | SharedLimiter, region: Region, fingerprint: str | None) -> Limiter:
    """Return the limiter of a key, from the value that was passed as ``limiter=``.

    Args:
        value: The value that was passed as ``limiter=``.
        region: The client's region.
        fingerprint: Fingerprint of the client's key; None if the client has no key and nothing is counted.

    Raises:
        ConfigError: The value does not have the methods of a limiter.
    """
    check_limiter(value)
    bind: Callable[[Region, str], Limiter] | None = getattr(value, "bind", None)
    if bind is None:
        return cast("Limiter", value)
    return Unlimited() if fingerprint is None else bind(region, fingerprint)
