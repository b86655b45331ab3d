"""How far a job of workers is, for who watches it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import Final

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isnotai_async._cli.display import Display
from isnotai_async._cli.output import say
from isnotai_async.errors import printable, quoted
from isnotai_async.workers import JobProgress

_SILENT_SECONDS: Final = 60.0  # without a part until a log is told so


class JobDisplay(Display[Progress]):
    """Shows how far a job is: a line that moves where somebody is looking, else a line now and then.

    Args:
        parts: How many parts there are.
        quiet: Show nothing.
    """

    def __init__(self, parts: int, *, quiet: bool) -> None:
        text = TextColumn("{task.description}", markup=False)
        super().__init__(Progress, SpinnerColumn(), BarColumn(bar_width=20), text, TimeElapsedColumn(), quiet=quiet)
        self._task = self._progress.add_task("waiting for workers", total=parts)
        self._heard = monotonic()
        self._parts_done = 0

    def __call__(self, progress: JobProgress) -> None:
        """Show how far it is."""
        if progress.parts_done > self._parts_done:
            self._parts_done, self._heard = progress.parts_done, monotonic()
        text = _describe(progress)
        self._progress.update(self._task, completed=progress.parts_done, description=text)
        if self._is_due():
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
