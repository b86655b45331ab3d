"""The occupied slots of all processes that share a key, each with a name."""

from __future__ import annotations

from abc import ABC, abstractmethod

from attrs import define, field

from isnotai_async._ratelimit.sliding_window import abandoned_lasts, answered_lasts


@define(eq=False)
class NamedSlots(ABC):
    """The slots of one key, as the policy needs them (`OccupiedSlots`), for one request of a process.

    A subclass keeps a table of names and times.

    Attributes:
        now: The time on the store's clock.
        length: Length of the server's window, in seconds.
        lease: Seconds after its permit within which a request may still reach the server.
        name: Name of the slot that the policy's next method changes.
        held: Not known here, because only its process knows whether a request is under way.
    """

    now: float
    length: float
    lease: float
    name: str = field(default="", init=False)
    held: int = field(default=0, init=False)

    @abstractmethod
    def put(self, name: str, seconds: float) -> None:
        """Occupy a slot for so many seconds from now, whether it is occupied or not."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Free the slot of a request, so that another one may be sent; do nothing if it is free already."""

    @abstractmethod
    def clear(self) -> None:
        """Free all slots."""

    @abstractmethod
    def occupied(self, now: float) -> int:
        """Free the slots whose time has come, and return the number of the others."""

    @abstractmethod
    def next_leaving(self) -> float:
        """Return when the next slot becomes free; infinite if none is occupied."""

    def take(self) -> None:
        """Occupy the slot `name` for a lease plus a window, in case its process dies and never reports."""
        self.put(self.name, self.lease + answered_lasts(self.length))

    def give_back(self) -> None:
        """Free the slot."""
        self.remove(self.name)

    def answered(self, now: float) -> None:  # noqa: ARG002 - as `OccupiedSlots`
        """Keep the slot occupied for one window."""
        self.put(self.name, answered_lasts(self.length))

    def abandoned(self, now: float) -> None:  # noqa: ARG002 - as `OccupiedSlots`
        """Keep the slot of a request without an answer for a window and more: the server may count it late."""
        self.put(self.name, abandoned_lasts(self.length))
