"""The occupied slots of all processes that share a key, each with a name."""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from isnotai_async._ratelimit.sliding_window import abandoned_lasts, answered_lasts


class SlotTable(Protocol):
    """A table of the slots of one key: the name of each, and until when it is occupied."""

    def put(self, name: str, until: float) -> None:
        """Occupy a slot until a time, or change the time of an occupied slot."""
        ...

    def remove(self, name: str) -> None:
        """Free a slot, if it is occupied."""
        ...

    def clear(self) -> None:
        """Free all slots."""
        ...

    def count(self, now: float) -> int:
        """Free the slots whose time has come, and return the number of the others."""
        ...

    def first(self) -> float:
        """Return when the next slot becomes free; infinite if none is occupied."""
        ...


@define(eq=False)
class NamedSlots:
    """The slots of a table, as the policy needs them (`OccupiedSlots`), at the time of one request.

    Attributes:
        table: The table.
        now: The time.
        length: Length of the server's window, in seconds.
        lease: Seconds after its permit within which a request may still reach the server.
        name: Name of the slot that the next method changes.
        held: Not known, because only its process knows whether a request is under way.
    """

    table: SlotTable
    now: float
    length: float
    lease: float
    name: str = ""
    held: int = 0
    _count: int | None = field(default=None, init=False)

    def occupied(self, now: float) -> int:
        """Return the number of occupied slots."""
        if self._count is None:
            self._count = self.table.count(now)
        return self._count

    def next_leaving(self) -> float:
        """Return when the next slot becomes free; infinite if none is occupied."""
        return self.table.first()

    def put(self, name: str, seconds: float) -> None:
        """Occupy a slot for so many seconds from now, whether it is occupied or not."""
        self.table.put(name, self.now + seconds)
        self._count = None

    def remove(self, name: str) -> None:
        """Free a slot, if it is occupied."""
        self.table.remove(name)
        self._count = None

    def take(self) -> None:
        """Occupy the slot for a lease plus a window. It is a new one."""
        count = self.occupied(self.now)
        self.put(self.name, self.lease + answered_lasts(self.length))
        self._count = count + 1

    def give_back(self) -> None:
        """Free the slot."""
        self.remove(self.name)

    def answered(self, now: float) -> None:  # noqa: ARG002 - as `OccupiedSlots`
        """Keep the slot occupied for one window."""
        self.put(self.name, answered_lasts(self.length))

    def abandoned(self, now: float) -> None:  # noqa: ARG002 - as `OccupiedSlots`
        """Keep the slot occupied for one window plus a linger."""
        self.put(self.name, abandoned_lasts(self.length))
