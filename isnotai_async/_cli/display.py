"""What shows how far something is, on stderr: what moves where somebody is looking, else a line now and then."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn

_PLAIN_SECONDS: Final = 5.0  # between two lines for a log


P = TypeVar("P", bound=Progress)


class Display(Generic[P]):
    """A display that is there while a block runs.

    Args:
        kind: The class of what moves.
        columns: Its columns.
        quiet: Show nothing.
    """

    def __init__(self, kind: type[P], *columns: ProgressColumn, quiet: bool) -> None:
        console = Console(stderr=True, quiet=quiet)  # it obeys NO_COLOR
        self._is_seen = console.is_terminal and not quiet
        self._is_plain = not console.is_terminal and not quiet
        self._progress = kind(*columns, console=console, transient=True)
        self._told = monotonic()

    def __enter__(self) -> Self:
        if self._is_seen:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_seen:
            self._progress.stop()

    def _is_due(self) -> bool:
        """Tell whether it is time for a line in a log."""
        if not self._is_plain or monotonic() - self._told < _PLAIN_SECONDS:
            return False
        self._told = monotonic()
        return True
