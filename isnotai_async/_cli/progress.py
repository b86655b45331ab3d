"""Progress on stderr: two lines that are updated on a terminal, or a line every few seconds in a log."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from isnotai_async._cli.output import say
from isnotai_async.errors import printable
from isnotai_async.export import ExportProgress

_PLAIN_SECONDS: Final = 5.0  # between two lines for a log


class _TwoLines(Progress):
    """A bar with text below it, because next to each other they do not fit into 80 columns."""

    words = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.words, no_wrap=True, overflow="ellipsis")


class ExportDisplay:
    """The progress display of an export, which is visible while a ``with`` block runs.

    Args:
        quiet: Whether to show nothing.

    Attributes:
        rows: Rows that are committed or about to be committed, from the last report.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True, quiet=quiet)  # it obeys NO_COLOR
        self._is_seen = console.is_terminal and not quiet
        self._is_plain = not console.is_terminal and not quiet
        self._progress = _TwoLines(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, left="")
        self._first: ExportProgress | None = None
        self._said = monotonic()
        self.rows = 0

    def __enter__(self) -> Self:
        if self._is_seen:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_seen:
            self._progress.stop()

    def __call__(self, progress: ExportProgress) -> None:
        """Show the progress."""
        self.rows = progress.rows
        self._first = self._first or progress
        if self._is_seen:
            done, total = progress.sessions_done, progress.sessions
            self._progress.words = ", ".join(_figures(progress, self._first))
            self._progress.update(
                self._task,
                completed=done,
                total=total,
                description=_sessions(progress),
                left=_left(progress, self._first),
            )
        elif self._is_plain and monotonic() - self._said >= _PLAIN_SECONDS:
            self._said = monotonic()
            say(describe(progress, self._first))


def describe(progress: ExportProgress, first: ExportProgress) -> str:
    """Return the progress as one line of text.

    Args:
        progress: The current progress.
        first: The progress at the start of this run.
    """
    words = (_sessions(progress), *_figures(progress, first), _left(progress, first))
    return ", ".join(filter(None, words))


def _sessions(progress: ExportProgress) -> str:
    total = "" if progress.sessions is None else f" of {progress.sessions:,}"
    return f"{progress.sessions_done:,}{total} sessions"


def _figures(progress: ExportProgress, first: ExportProgress) -> Iterable[str]:
    rate = (progress.rows - first.rows) / max(progress.elapsed - first.elapsed, 0.1)
    quota = "" if progress.quota is None else f" of {progress.quota:,}"
    yield f"{progress.rows:,} rows ({rate:,.0f}/s)"
    yield f"{progress.rate:,}{quota} requests/min"
    if progress.sessions_failed:
        yield f"{progress.sessions_failed:,} failed"
    if progress.waiting >= 1:
        yield f"waiting {progress.waiting:.0f} s: {printable(progress.reason, 60)}"


def _left(progress: ExportProgress, first: ExportProgress) -> str:
    eta = _eta(progress, first)
    return f"{_duration(eta)} left" if eta else ""


def _eta(progress: ExportProgress, first: ExportProgress) -> float | None:
    """Estimate the seconds that are left from the number of finished sessions."""
    done = progress.sessions_done - first.sessions_done
    if progress.sessions is None or done <= 0:
        return None
    times = max(0, progress.sessions - progress.sessions_done) / done  # as much as so far is left
    seconds = (progress.elapsed - first.elapsed) * times
    if progress.quota is None or progress.rate > progress.quota:  # the quota does not slow the export
        return seconds
    # The first minute goes faster than the quota lets the others go.
    return max(seconds, (progress.requests - first.requests) * times / progress.quota * 60)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:.0f}:{minutes:02.0f}:{seconds:02.0f}"
