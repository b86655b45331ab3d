"""What all measurements share: interleaved rounds, ratios pair by pair, tables, targets, and processors of their own.

Machines drift, and shared ones jump. So contestants take turns within each round, in another order each time, and are
compared round by round; the median of those ratios is the figure to quote.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

KEY: Final = "aik_v1_" + "b" * 40

CLIENT_CORE: Final = 0
SERVER_CORE: Final = 1

# Noted by the first process, because those that it starts inherit the one that it was pinned to.
_CORES: Final = os.environ.setdefault(
    "BENCHMARK_CORES", ",".join(map(str, sorted(os.sched_getaffinity(0)))) if hasattr(os, "sched_getaffinity") else ""
)


@frozen
class Table:
    """A table as it is printed; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        rule = "|---|" + "---:|" * (len(self.columns) - 1)
        lines = [f"| {' | '.join(cells)} |" for cells in (self.columns, *self.rows)]
        return "\n".join([f"{self.title}\n", lines[0], rule, *lines[1:]])


@frozen
class Target:
    """A figure that was promised.

    Attributes:
        name: What is promised.
        bound: The promise.
        figure: What was measured.
        at_least: Whether the bound is the least that will do, and not the most.
        unit: Of both.
    """

    name: str
    bound: float
    figure: float
    at_least: bool = False
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the promise was kept in this run."""
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the table of targets."""
        sign = "≥" if self.at_least else "≤"
        bound, figure = (f"{value:.4g}{self.unit}" for value in (self.bound, self.figure))
        return (self.name, f"{sign} {bound}", figure, "met" if self.is_met else "**not met**")


@define
class Report:
    """What one part found.

    Attributes:
        tables: To be printed.
        targets: To be held against what was promised.
        figures: All numbers, for the JSON file and the figure.
    """

    tables: list[Table] = field(factory=list)
    targets: list[Target] = field(factory=list)
    figures: dict[str, Any] = field(factory=dict)


@frozen
class Spent:
    """What one turn took, in seconds."""

    cpu: float
    wall: float


@define
class Rounds:
    """What each contestant's turns took, in the order of the rounds."""

    spent: dict[str, list[Spent]] = field(factory=dict)

    def cpu(self, name: str, per: float = 1.0) -> list[float]:
        """Microseconds of CPU for each of `per` pieces of work."""
        return [turn.cpu / per * 1e6 for turn in self.spent[name]]

    def wall(self, name: str) -> list[float]:
        """Seconds."""
        return [turn.wall for turn in self.spent[name]]


async def interleave(contestants: Mapping[str, Callable[[], Awaitable[object]]], rounds: int) -> Rounds:
    """Let all take turns, after one round to warm up; each round begins with another one.

    What was allocated by the others is collected before each turn, so that nobody pays for a neighbour.
    """
    found, names = Rounds({name: [] for name in contestants}), list(contestants)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            await contestants[name]()
            spent = Spent(time.process_time() - cpu, time.perf_counter() - wall)
            if number:
                found.spent[name].append(spent)
    return found


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios, taken round by round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The least and the most."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


class Processors:
    """How much of the machine went to others since this was made: what makes figures worthless shows in them."""

    def __init__(self) -> None:
        self._since, self._mine, self._busy = time.perf_counter(), self._read_own(), self._read_busy()

    def strangers(self) -> float:
        """Share of all processors that neither this process nor its finished children had; 0 where nobody tells."""
        taken = self._read_busy() - self._busy - (self._read_own() - self._mine)
        return max(0.0, taken / (time.perf_counter() - self._since) / (os.cpu_count() or 1))

    @staticmethod
    def _read_own() -> float:
        used = os.times()
        return used.user + used.system + used.children_user + used.children_system

    @staticmethod
    def _read_busy() -> float:
        try:
            fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
        except OSError:
            return 0.0
        idle, waiting = int(fields[3]), int(fields[4])
        return (sum(map(int, fields)) - idle - waiting) / os.sysconf("SC_CLK_TCK")  # stolen time included


def pin(core: int) -> None:
    """Keep this process on one of the processors that may be used, where the system has a word for that."""
    if _CORES:
        cores = [int(number) for number in _CORES.split(",")]
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def pin_to_all() -> None:
    """Let this process run on all processors again, where parts of it are the server."""
    if _CORES:
        os.sched_setaffinity(0, {int(number) for number in _CORES.split(",")})


def run_module(module: str, *argv: str, given: str = "", core: int | None = None) -> Any:  # noqa: ANN401 - JSON
    """Run a module of this package in a process of its own; returns the JSON that it prints last."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *argv]
    # Bytecode is kept, as pip does when it installs; else the start of Python would be the compiling of all imports.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        command,
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
        preexec_fn=_pinned(core),
    )
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def background(module: str, *argv: str, core: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a module next to this process, with pipes to its input and output, and end it."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *argv]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, preexec_fn=_pinned(core)) as process:
        try:
            yield process
        finally:
            process.kill()


def _pinned(core: int | None) -> Callable[[], None] | None:
    return None if core is None else lambda: pin(core)
