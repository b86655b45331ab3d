"""The protocol of a store, through which processes share the state of a key."""

from __future__ import annotations

from typing import Protocol

from isnotai_async._ratelimit.shared.protocol import ScriptReply, ScriptRequest
from isnotai_async.errors import LimiterError


class Store(Protocol):
    """A store of the state of each key. Only one process at a time can change a state."""

    place: str
    """Name of the store in messages."""

    async def run(self, keys: tuple[str, str], ask: ScriptRequest) -> ScriptReply:
        """Process one request of a process atomically.

        Args:
            keys: Names of the key's state and of its slots.
            ask: The outcomes to record and the permits that are wanted.

        Raises:
            LimiterError: The store is unavailable.
        """
        ...

    def refusal(self, reason: str) -> LimiterError:
        """Create the error that reports what is wrong with the store, and what to do."""
        ...

    def attach(self) -> None:
        """Bind the store to the running event loop.

        Raises:
            ConfigError: The store is in use on another event loop.
        """
        ...
