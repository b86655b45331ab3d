"""The runs of a job: a Delta table in which each notes that it is alive, so that a second one is seen."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from time import time
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
from attrs import define, field

from isnotai_async.integrations._delta_tables import JobTables

ALIVE_SECONDS: Final = 600.0
"""For how long after its last note a run counts as running."""

NOTE_SECONDS: Final = 240.0
"""How often a run notes that it is alive: one note in ten minutes may fail."""

_RECENT_SECONDS: Final = 86_400.0  # notes that are read; clocks of machines differ by less
_SCHEMA: Final = pa.schema(
    {"run": pa.string(), "host": pa.string(), "process": pa.int64(), "time": pa.int64(), "ended": pa.bool_()}
)


@define(eq=False)
class RunNotes:
    """What the runs of a job note, as one of them writes and reads it.

    A run counts as running if its last note is of the last ten minutes. Clocks of machines may differ by more: a run
    also does if it has a new note since the notes were last read.
    """

    tables: JobTables
    run: str
    clock: Callable[[], float] = time  # in Unix seconds
    host: str = field(factory=socket.gethostname)
    _last: dict[str, int] | None = field(default=None, init=False)  # by run its newest note when last read

    def note(self, *, ended: bool = False) -> None:
        """Note that this run is alive, or has ended."""
        now = int(self.clock() * 1000)
        row = {"run": self.run, "host": self.host, "process": os.getpid(), "time": now, "ended": ended}
        self.tables.append("runs", pa.Table.from_pylist([row], schema=_SCHEMA))

    def find_others(self) -> list[str]:
        """Return the runs that seem to be running now, but for this one."""
        found, now = self.tables.find("runs"), int(self.clock() * 1000)
        since = now - int(_RECENT_SECONDS * 1000)
        rows = [] if found is None else found.to_pyarrow_table(filters=[("time", ">=", since)]).to_pylist()
        newest = {row["run"]: row["time"] for row in sorted(rows, key=lambda row: int(row["time"]))}
        before, self._last = self._last, newest
        gone = {row["run"] for row in rows if row["ended"] or self._is_dead(row)} | {self.run}
        return sorted(
            run
            for run, noted in newest.items()
            if run not in gone
            and (abs(now - noted) <= ALIVE_SECONDS * 1000 or (before is not None and before.get(run) != noted))
        )

    def _is_dead(self, row: dict[str, Any]) -> bool:
        return row["host"] == self.host and is_dead(row["process"])


def is_dead(process: int) -> bool:
    """Return whether a process of this machine has ended, as far as that can be seen."""
    if sys.platform == "win32":  # os.kill would end it there
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
