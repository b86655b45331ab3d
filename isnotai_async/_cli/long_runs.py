"""What the commands of long runs share: how they end before they finish, and the sessions that failed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from isnotai_async._cli import exit_codes
from isnotai_async._cli.output import say
from isnotai_async.errors import AuthenticationError, IsNotAIError, printable, quoted
from isnotai_async.export.report import SessionFailure

_MOST_FAILURES: Final = 20  # failures that are listed; --json lists all
_RESUME: Final = "run the same command again to resume"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def say_failures(failures: Sequence[SessionFailure]) -> None:
    """Write sessions that failed to stderr, the first of them."""
    for failure in failures[:_MOST_FAILURES]:
        say(f"  {quoted(failure.session_id)} in {printable(failure.name)}: {failure.error}: {failure.message}")
    if len(failures) > _MOST_FAILURES:
        say(f"  … and {len(failures) - _MOST_FAILURES:,} more; --json lists all")


def say_unfinished(why: str, *, rows: int = 0, how: str = _RESUME) -> None:
    """Write to stderr why a run did not finish, how many rows are safe, and how to resume."""
    safe = f"; {rows:,} rows are safe" if rows else ""
    say(f"isnotai: {why}{safe}; {how}")


def end_cancelled(stopped: Sequence[int], *, rows: int = 0, how: str = _RESUME) -> int:
    """Write to stderr that a run was stopped; return the exit code.

    Args:
        stopped: What `stop_on_signals` yielded.
        rows: Rows that are safe.
        how: How to resume.
    """
    is_terminated = signal.SIGTERM in stopped[:1]
    exit_codes.has_said_why.set()
    say_unfinished("stopped by SIGTERM" if is_terminated else "interrupted", rows=rows, how=how)
    return exit_codes.TERMINATED if is_terminated else exit_codes.INTERRUPTED


def end_with(error: IsNotAIError, *, rows: int = 0, how: str = _RESUME) -> int:
    """Write to stderr the error that ended a run, which can resume; return the exit code."""
    say_unfinished(exit_codes.explain(error), rows=rows, how=how)
    return exit_codes.REFUSED if isinstance(error, AuthenticationError) else exit_codes.UNFINISHED


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Cancel this task on SIGTERM or Ctrl-C. The yielded list then contains the signals.

    ``timeout -s INT`` sends SIGINT twice, so the second one does nothing more. The third ends the process at once.
    """
    received: list[int] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if received:
            loop.remove_signal_handler(signal.SIGINT)
        elif task is not None:
            task.cancel()
        received.append(number)

    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop, number)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        yield received
        return
    try:
        yield received
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
