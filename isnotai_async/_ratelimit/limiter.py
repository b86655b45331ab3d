"""The protocol of a limiter and its permits, and `Unlimited`, which never waits.

What a limiter hands out, and what it is told in return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast

from attrs import frozen

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier
from isnotai_async._showing import show
from isnotai_async.errors import ConfigError

OnWait = Callable[[float, str], None]
"""Called before a wait, with the seconds that it takes at least and the reason. What it raises refuses the wait."""


@frozen
class Permit:
    """Leave to send one request.

    Attributes:
        number: Which it is; unique to its limiter, and rising.
    """

    number: int

    __repr__ = show


@frozen
class Answer:
    """What an answer tells about the limit.

    Attributes:
        status: HTTP status; 0 where the request was never sent, see `NOT_SENT`.
        retry_after: Seconds the server asked to wait, or None.
        tier: Tier the key resolved to, or None where the answer named no known one.
    """

    status: int
    retry_after: float | None = None
    tier: Tier | None = None

    __repr__ = show


NOT_SENT: Final = Answer(0)
"""Told of a permit that was not used: its caller gave up before the request left. The server counts nothing."""


class Limiter(Protocol):
    """Decides when each request may be sent. One limiter stands for one key in one region.

    Everything is told to it: each `acquire` that returned is followed by one `release`, whatever happened to the
    request. Both run in the task that sends. A `release` that awaits has to shield itself from cancellation.
    """

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:
        """Wait until a request may be sent.

        Args:
            bulk: Whether it is part of a longer work (a walk, a stream, an export) and should let others pass.
            on_wait: To be called once before a wait; what it raises has to come out.
        """
        ...

    async def release(self, permit: Permit, answer: Answer | None) -> None:
        """Learn what became of the request.

        Args:
            permit: What `acquire` returned.
            answer: What the answer told, or None where nobody answered; the server may then still count it later.
                Status 0 where the request was never sent.
        """
        ...


class SharedLimiter(Protocol):
    """Has a limiter for each key, where one object cannot stand for all: between processes, keys need names."""

    def bind(self, region: Region, fingerprint: str) -> Limiter:
        """Return the limiter of one key, always the same.

        Args:
            region: The key's region, and where it answers.
            fingerprint: Of the key; never the key itself.
        """
        ...


class Unlimited:
    """A limiter that never waits: for those who pace elsewhere, and for measurements."""

    async def acquire(self, *, bulk: bool, on_wait: OnWait | None = None) -> Permit:  # noqa: ARG002 - the protocol's
        """Return a permit at once."""
        return _PERMIT

    def acquire_nowait(self, *, bulk: bool) -> Permit | None:  # noqa: ARG002 - as that of `LocalLimiter`
        """Return a permit."""
        return _PERMIT

    async def release(self, permit: Permit, answer: Answer | None) -> None:
        """Do nothing."""

    def __repr__(self) -> str:
        return "Unlimited()"


_PERMIT = Permit(0)


def check_limiter(value: Limiter | SharedLimiter) -> Limiter | SharedLimiter:
    """Check that something can serve as a limiter.

    Raises:
        ConfigError: It has not the methods of one.
    """
    can = [callable(getattr(value, name, None)) for name in ("bind", "acquire", "release")]
    if isinstance(value, type) or not (can[0] or all(can[1:])):
        shown = value.__name__ if isinstance(value, type) else type(value).__name__
        raise ConfigError(f"limiter must be an object with acquire() and release(), see Limiter; not {shown}")
    return value


def bind_limiter(value: Limiter | SharedLimiter, region: Region, fingerprint: str | None) -> Limiter:
    """Find the limiter of a key in what was passed as ``limiter=``.

    Args:
        value: It.
        region: The client's region.
        fingerprint: Of the client's key; None without one, when nothing is counted.

    Raises:
        ConfigError: It has not the methods of a limiter.
    """
    check_limiter(value)
    bind: Callable[[Region, str], Limiter] | None = getattr(value, "bind", None)
    if bind is None:
        return cast("Limiter", value)
    return Unlimited() if fingerprint is None else bind(region, fingerprint)
