"""A line on stderr that counts along, where somebody is looking."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class RowCounter:
    """Shows how many rows there are so far; says nothing when stderr is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} events"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task("events", total=None)
        self._is_seen = console.is_terminal

    def __enter__(self) -> Self:
        if self._is_seen:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_seen:
            self._progress.stop()

    def __call__(self, rows: int) -> None:
        """Show a new count."""
        self._progress.update(self._task, completed=rows)
