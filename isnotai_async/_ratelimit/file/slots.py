"""The occupied slots of all processes that share a key, each with a name, in the tables of the file."""

from __future__ import annotations

import sqlite3
from math import inf
from typing import Final

from attrs import define, field

from isnotai_async._ratelimit.sliding_window import abandoned_lasts, answered_lasts

TABLE: Final = """
create table if not exists slots (key text, name text, until real, primary key (key, name)) without rowid;
create index if not exists leaving on slots (key, until);
"""


@define(eq=False)
class StoredSlots:
    """The slots of one key, as the policy needs them (`OccupiedSlots`), for one request of a process.

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
    _connection: sqlite3.Connection
    _key: str
    name: str = field(default="", init=False)
    held: int = field(default=0, init=False)
    _count: int | None = field(default=None, init=False)

    def put(self, name: str, seconds: float) -> None:
        """Occupy a slot for so many seconds from now, whether it is occupied or not."""
        self._change("insert or replace into slots values (?, ?, ?)", name, self.now + seconds)

    def remove(self, name: str) -> None:
        """Free the slot of a request, so that another one may be sent; do nothing if it is free already."""
        self._change("delete from slots where key = ? and name = ?", name)

    def clear(self) -> None:
        """Free all slots."""
        self._change("delete from slots where key = ?")

    def occupied(self, now: float) -> int:
        """Free the slots whose time has come, and return the number of the others."""
        if self._count is None:
            self._run("delete from slots where key = ? and until <= ?", now)
            self._count = int(self._run("select count(*) from slots where key = ?").fetchone()[0])
        return self._count

    def next_leaving(self) -> float:
        """Return when the next slot becomes free; infinite if none is occupied."""
        (until,) = self._run("select min(until) from slots where key = ?").fetchone()
        return inf if until is None else float(until)

    def take(self) -> None:
        """Occupy the slot `name` for a lease plus a window, in case its process dies and never reports."""
        count = self.occupied(self.now)
        self.put(self.name, self.lease + answered_lasts(self.length))
        self._count = count + 1  # without asking the database: this runs for every permit

    def give_back(self) -> None:
        """Free the slot."""
        self.remove(self.name)

    def answered(self, now: float) -> None:  # noqa: ARG002 - as `OccupiedSlots`
        """Keep the slot occupied for one window."""
        self.put(self.name, answered_lasts(self.length))

    def abandoned(self, now: float) -> None:  # noqa: ARG002 - as `OccupiedSlots`
        """Keep the slot of a request without an answer for a window and more: the server may count it late."""
        self.put(self.name, abandoned_lasts(self.length))

    def _change(self, statement: str, *values: object) -> None:
        self._run(statement, *values)
        self._count = None

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, (self._key, *values))
