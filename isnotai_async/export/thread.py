"""The thread in which an export works on its files, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from anyio import CancelScope

T = TypeVar("T")
P = ParamSpec("P")


class FileThread:
    """One thread of its own. What was begun in it is done to its end, whoever is cancelled meanwhile."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="isnotai-export")
        self._is_too_late = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()  # it has nothing to do any more, so there is nothing to wait for

    @contextmanager
    def too_late_to_cancel(self) -> Iterator[None]:
        """Let what is run in a block end well although it was cancelled: what it does cannot be taken back."""
        self._is_too_late = True
        try:
            yield
        finally:
            self._is_too_late = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something in the thread.

        It is handed over before anything is awaited, and a cancellation is raised after it is done. So who was
        cancelled here knows that it was done, and who got its error that it was not.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))
        cancelled: asyncio.CancelledError | None = None
        with CancelScope(shield=True):  # else anyio would cancel in each turn of the loop
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError as error:
                    cancelled = error
        result = future.result()
        if cancelled is not None and not self._is_too_late:
            raise cancelled
        if cancelled is not None and (task := asyncio.current_task()) is not None:
            task.uncancel()
        return result
