"""Request and reply of a store, and the names (prefix) of the Redis keys."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import evolve, frozen

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Answer
from isnotai_async._ratelimit.policy import FULL, MAX_PAUSE, PAUSED, PROBING, SPACED
from isnotai_async._ratelimit.sliding_window import MINUTE

LEASE: Final = 65.0
"""How long, in seconds, after its permit a request may still reach the server: the client's timeout and a little."""

BEHIND: Final = "single calls come first"
JOINING: Final = "the shared state is new, and the processes have a moment to tell what they sent"
REASONS: Final = ("", FULL, SPACED, PAUSED, PROBING, BEHIND, JOINING)
"""Why one waits, in the order of the numbers that the Lua script returns."""

_HIGHEST: Final = max(tier.requests_per_minute for tier in Tier)
_NAMES: Final = b"isnotai_async redis 1"  # public: keeps these hashes apart from others, no more


def name_keys(base_url: str, fingerprint: str) -> tuple[str, str]:
    """Name the two keys (of Redis, of a file) of one API key: its state and its slots.

    The braces are a hash tag: in a cluster both are on one node. From the names the API key cannot be found.

    Args:
        base_url: Where the region answers.
        fingerprint: Of the API key.
    """
    tag = hmac.digest(_NAMES, f"{base_url} {fingerprint}".encode(), "sha256")[:16].hex()
    return f"isnotai:{{{tag}}}:state", f"isnotai:{{{tag}}}:slots"


@frozen
class Ended:
    """What became of a request: the slot's name, the permit's number (0: not one of the state), and the answer."""

    name: str
    number: int
    answer: Answer | None


@frozen(kw_only=True)
class Ask:
    """One call of the script.

    Attributes:
        length: Of the server's window, in seconds.
        lease: As of `LEASE`.
        expected: Limit that the caller knows or starts with, or 0; a state in which no answer named one takes the
            highest that it is told.
        epoch: Of the state that the caller knows; None for one that joins.
        number: The highest number of a permit that it knows of that epoch.
        prefix: Names of new slots begin so.
        first: And go on so, counting.
        singles: Permits wanted for single calls.
        bulk: Permits wanted for bulk work.
        ended: What became of requests.
        unused: Names of permits that were not used, or whose grant did not come through.
        joining: Slots of one who joins: name, seconds left, and whether the request has ended.
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
    ended: Sequence[Ended] = ()
    unused: Sequence[str] = ()
    joining: Sequence[tuple[str, float, bool]] = ()

    @property
    def names(self) -> list[str]:
        """Names of the slots it may take: those for single calls, then those for bulk work."""
        return [f"{self.prefix}{number}" for number in range(self.first, self.first + self.singles + self.bulk)]

    def again(self) -> Ask:
        """Write it once more, for where it is not known whether it was done: what it may have taken is given back."""
        return evolve(self, unused=[*self.unused, *self.names])

    def to_json(self) -> bytes:
        """Write it as the script's argument."""
        return msgspec.json.encode(
            {
                "length": self.length,
                "lease": self.lease,
                "expected": self.expected,
                "highest": _HIGHEST,
                "max_pause": MAX_PAUSE,
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


def _write(answer: Answer | None) -> tuple[int, float | bool, int]:
    if answer is None:
        return 0, False, 0
    limit = 0 if answer.tier is None else answer.tier.requests_per_minute
    return answer.status, False if answer.retry_after is None else answer.retry_after, limit


@frozen
class Reply:
    """What the script answers.

    Attributes:
        is_lost: Whether the state is another than the caller knows: nothing of the call was done, it has to join.
        epoch: Of the state.
        number: Of the last permit granted.
        limit: Requests in a window.
        singles: Permits granted for single calls.
        bulk: Permits granted for bulk work; their numbers are the last before `number`.
        wait: Seconds until asking again can help; 0 where all were granted.
        reason: Why.
        paused: Seconds for which an answer told in this call closed the gate.
        is_foreign: Whether something else was found under our keys. It was replaced, and the state begins.
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
    is_foreign: bool


def read_reply(raw: bytes | str) -> Reply:
    """Read what the script returned, whether the connection decodes strings or not."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    lost, epoch, number, limit, singles, bulk, wait, reason, paused, foreign = text.split(" ")
    return Reply(
        lost == "1",
        epoch,
        int(number),
        int(limit),
        int(singles),
        int(bulk),
        float(wait),
        REASONS[int(reason)],
        float(paused),
        foreign == "1",
    )
