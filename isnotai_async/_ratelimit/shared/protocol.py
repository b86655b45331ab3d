"""The request to a store and its reply, and the names (prefix) of the Redis keys."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.constants import MINUTE
from isnotai_async._ratelimit.limiter import RequestOutcome
from isnotai_async._ratelimit.policy import FULL, PAUSED, PROBING, SPACED

LEASE: Final = 65.0
"""Seconds after its permit within which a request may still reach the server: a little more than the timeout."""

BEHIND: Final = "single calls come first"
JOINING: Final = "the shared state is new, and the processes have a moment to report what they sent"
REASONS: Final = ("", FULL, SPACED, PAUSED, PROBING, BEHIND, JOINING)
"""The reasons for a wait, in the order of the numbers that the Lua script returns."""

TIERS: Final = {tier.requests_per_minute: tier for tier in Tier}
"""The tiers by their limits, which stand for them in requests and replies."""

_HIGHEST: Final = max(TIERS)
_NAMES: Final = b"isnotai_async redis 1"  # not a secret: it only separates these hashes from others


def name_keys(base_url: str, fingerprint: str) -> tuple[str, str]:
    """Return the names of the two store keys of one API key: its state and its slots.

    The braces are a hash tag, which puts both on the same node of a cluster. The names do not reveal the API key.

    Args:
        base_url: Base URL of the region.
        fingerprint: Fingerprint of the API key.
    """
    tag = hmac.digest(_NAMES, f"{base_url} {fingerprint}".encode(), "sha256")[:16].hex()
    return f"isnotai:{{{tag}}}:state", f"isnotai:{{{tag}}}:slots"


class CompletedRequest(msgspec.Struct, frozen=True):
    """The outcome of a request: name of its slot, number of its permit (0 if the state has none), and response."""

    name: str
    number: int
    answer: RequestOutcome | None


class ScriptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a process to the store.

    Attributes:
        length: Length of the server's window, in seconds.
        lease: Lease of each permit, in seconds; see `LEASE`.
        expected: Limit that the process knows or starts with, or 0. Until a response names the limit, the state uses
            the highest value that it received.
        epoch: Epoch of the state that the process knows; None for a process that joins.
        number: Highest number of a permit of that epoch that the process knows.
        prefix: Prefix of the names of new slots.
        first: Number after the prefix in the name of the first new slot; the next names count up.
        singles: Permits wanted for single calls.
        bulk: Permits wanted for bulk work.
        ended: Outcomes of requests.
        unused: Slot names of permits that were not used, or whose grant may be lost.
        joining: Slots of a process that joins: name, seconds left, and whether the request has ended.
    """

    length: float = MINUTE
    lease: float = LEASE
    expected: int = 0
    epoch: str | None = None
    number: int = 0
    prefix: str = ""
    first: int = 0
    singles: int = 0
    bulk: int = 0
    ended: Sequence[CompletedRequest] = ()
    unused: Sequence[str] = ()
    joining: Sequence[tuple[str, float, bool]] = ()

    @property
    def names(self) -> list[str]:
        """Names of the slots that this request may take: first for single calls, then for bulk work."""
        return [f"{self.prefix}{number}" for number in range(self.first, self.first + self.singles + self.bulk)]

    def for_resend(self) -> ScriptRequest:
        """Return a copy for a second try. It frees the slots that the first try may have taken."""
        return replace(self, unused=[*self.unused, *self.names])

    def pack(self) -> bytes:
        """Return the request as MessagePack, the argument of the script."""
        return msgspec.msgpack.encode(
            {
                "length": self.length,
                "lease": self.lease,
                "expected": self.expected,
                "highest": _HIGHEST,
                "epoch": self.epoch or "",
                "number": self.number,
                "prefix": self.prefix,
                "first": self.first,
                "singles": self.singles,
                "bulk": self.bulk,
                "joining": self.joining,
                "ended": [(ended.name, ended.number, *_write(ended.answer)) for ended in self.ended],
                "unused": self.unused,
            }
        )


def _write(answer: RequestOutcome | None) -> tuple[int, float | bool, int]:
    if answer is None:
        return 0, False, 0
    limit = 0 if answer.tier is None else answer.tier.requests_per_minute
    return answer.status, False if answer.retry_after is None else answer.retry_after, limit


class ScriptReply(msgspec.Struct, frozen=True):
    """The reply of the store.

    Attributes:
        is_lost: Whether the process knows another state than the store has. The store then ignored the request, and
            the process has to join.
        epoch: Epoch of the state.
        number: Number of the last permit granted.
        limit: Requests allowed in a window.
        singles: Permits granted for single calls.
        bulk: Permits granted for bulk work; they have the last numbers, up to `number`.
        wait: Seconds until a new request can help; 0 if all permits were granted.
        reason: Reason of the wait.
        paused: Seconds for which an outcome in this request paused the key; 0 if none did.
        used: Slots that are occupied.
        is_foreign: Whether the keys held other data. The store replaced it with an empty state.
    """

    is_lost: bool
    epoch: str
    number: int
    limit: int
    singles: int
    bulk: int
    wait: float
    reason: str
    paused: float
    used: int
    is_foreign: bool


def read_reply(raw: bytes | str) -> ScriptReply:
    """Read what the script returned, as bytes or as text."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    lost, epoch, number, limit, singles, bulk, wait, reason, paused, used, foreign = text.split(" ")
    counts = int(number), int(limit), int(singles), int(bulk)
    waits = float(wait), REASONS[int(reason)], float(paused)
    return ScriptReply(lost == "1", epoch, *counts, *waits, int(used), foreign == "1")
