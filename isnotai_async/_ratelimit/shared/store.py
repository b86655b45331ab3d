"""The protocol of a store: where processes share the state of a key."""

from __future__ import annotations

from typing import Protocol

from isnotai_async._ratelimit.shared.protocol import Ask, Reply
from isnotai_async.errors import LimiterError


class Store(Protocol):
    """Keeps the state of each key, and changes it for one process at a time."""

    place: str
    """How messages name it."""

    async def run(self, keys: tuple[str, str], ask: Ask) -> Reply:
        """Do what a process asks, all of it at one instant.

        Args:
            keys: Names of the key's state and of its slots.
            ask: What became of requests, and for how many permits are wanted.

        Raises:
            LimiterError: The store cannot be asked.
        """
        ...

    def refusal(self, reason: str) -> LimiterError:
        """Make the error that says what is wrong with the store, and what to do."""
        ...

    def attach(self) -> None:
        """Take the running event loop for the store's.

        Raises:
            ConfigError: It is in use on another one.
        """
        ...
