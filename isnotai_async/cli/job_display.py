"""How far a job of workers is, for who watches it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isnotai_async.cli.output import say
from isnotai_async.errors import printable, quoted
from isnotai_async.workers import JobProgress

_PLAIN_SECONDS: Final = 5.0  # between two lines for a log
_SILENT_SECONDS: Final = 60.0  # without a part until a log is told so


class JobDisplay:
    """Shows how far a job is: a line that moves where somebody is looking, else a line now and then.

    Args:
        parts: How many parts there are.
        quiet: Show nothing.
    """

    def __init__(self, parts: int, *, quiet: bool) -> None:
        console = Console(stderr=True, quiet=quiet)  # it obeys NO_COLOR
        self._is_seen = console.is_terminal and not quiet
        self._is_plain = not console.is_terminal and not quiet
        text = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), BarColumn(bar_width=20), text, TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task("waiting for workers", total=parts)
        self._told = self._heard = monotonic()
        self._parts_done = 0

    def __enter__(self) -> Self:
        if self._is_seen:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_seen:
            self._progress.stop()

    def __call__(self, progress: JobProgress) -> None:
        """Show how far it is."""
        if progress.parts_done > self._parts_done:
            self._parts_done, self._heard = progress.parts_done, monotonic()
        text = _describe(progress)
        self._progress.update(self._task, completed=progress.parts_done, description=text)
        if self._is_plain and monotonic() - self._told >= _PLAIN_SECONDS:
            self._told = monotonic()
            say(text)

    async def remind(self, queue: str, folder: Path) -> None:
        """Say for ever, in a log, that no part was finished: after a minute, and each time after twice as long.

        Args:
            queue: Name of the queue.
            folder: Folder of the job.
        """
        heard, borne = self._heard, _SILENT_SECONDS
        while self._is_plain:
            await asyncio.sleep(max(0.01, heard + borne - monotonic()))
            silence = monotonic() - self._heard
            if self._heard != heard:
                heard, borne = self._heard, _SILENT_SECONDS
            elif silence >= borne:
                say(
                    f"no part finished for {silence:.0f} s; are workers running for queue {quoted(queue)}, and do "
                    f"they see {printable(str(folder))}?"
                )
                borne *= 2


def _describe(progress: JobProgress) -> str:
    text = f"{progress.parts_done:,} of {progress.parts:,} parts, {progress.rows:,} events"
    if progress.sessions_failed:
        text += f", {progress.sessions_failed:,} sessions failed"
    return f"{text}, {progress.troubles:,} attempts failed" if progress.troubles else text
