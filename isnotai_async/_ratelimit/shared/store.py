"""The store through which processes share the state of a key."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from attrs import define, field

from isnotai_async._ratelimit.shared.protocol import ScriptReply, ScriptRequest
from isnotai_async.errors import ConfigError, LimiterError


@define(eq=False, repr=False, slots=False)
class Store(ABC):
    """A store of the state of each key. Only one process at a time can change a state.

    Attributes:
        place: Name of the store in messages.
        advice: What to do if it is unavailable.
        owner: Name of the limiter's class.
    """

    place: str
    advice: ClassVar[str]
    owner: ClassVar[str]
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)

    @abstractmethod
    async def run(self, keys: tuple[str, str], ask: ScriptRequest) -> ScriptReply:
        """Process one request of a process atomically.

        Args:
            keys: Names of the key's state and of its slots.
            ask: The outcomes to record and the permits that are wanted.

        Raises:
            LimiterError: The store is unavailable.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close what was opened here. Idempotent."""

    def refusal(self, reason: str) -> LimiterError:
        """Create the error that reports what is wrong with the store, and what to do."""
        shown = f"{self.place}: {reason.rstrip('.')}"
        text = f"the shared limit does not answer, so nothing was sent: {shown}; {self.advice}"
        return LimiterError(text, reason=reason)

    def attach(self) -> None:
        """Bind the store to the running event loop.

        Raises:
            ConfigError: The store is in use on another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigError(f"this {self.owner} is in use on another event loop; make one for each event loop")
