"""What the commands of long runs share: the end by SIGTERM, and the sessions that failed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from isnotai_async._cli.output import say
from isnotai_async.errors import printable, quoted
from isnotai_async.export.report import SessionFailure

_MOST_FAILURES: Final = 20  # failures that are listed; --json lists all


def say_failures(failures: Sequence[SessionFailure]) -> None:
    """Write sessions that failed to stderr, the first of them."""
    for failure in failures[:_MOST_FAILURES]:
        say(f"  {quoted(failure.session_id)} in {printable(failure.name)}: {failure.error}: {failure.message}")
    if len(failures) > _MOST_FAILURES:
        say(f"  … and {len(failures) - _MOST_FAILURES:,} more; --json lists all")


@contextmanager
def stop_on_sigterm() -> Iterator[list[int]]:
    """Cancel this task on SIGTERM. The yielded list then contains the signal."""
    received: list[int] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        received.append(signal.SIGTERM)
        if task is not None:
            task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        yield received
        return
    try:
        yield received
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
