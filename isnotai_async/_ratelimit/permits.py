"""What a limiter hands out, and what it is told in return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from isnotai_async._models.tiers import Tier
from isnotai_async._showing import show

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
