"""`FileThread`: the one thread in which an export uses files and SQLite; the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from anyio import CancelScope

from isnotai_async.errors import ConfigError

T = TypeVar("T")
P = ParamSpec("P")

_WORK_SECONDS: Final = 0.001
_PAUSE_SECONDS: Final = 0.0001


def pause_between(items: Iterable[T]) -> Iterator[T]:
    """Yield items, with a short pause after each millisecond of work, so that the event loop can run.

    Without a pause, a thread that computes keeps Python's global lock for 5 ms, even if the loop waits for it
    (`sys.getswitchinterval`).
    """
    begun = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - begun > _WORK_SECONDS:
            time.sleep(_PAUSE_SECONDS)
            begun = time.monotonic()


class FileThread:
    """One thread. A call that was started in it runs to its end, even if its task is cancelled.

    Args:
        explain: Returns what to raise for an error of a call: the error itself, or one with the reason in words.

    Attributes:
        trouble: The last error of a call, or None. If there is one, nothing more must be written.
    """

    def __init__(self, explain: Callable[[BaseException], BaseException]) -> None:
        self.trouble: BaseException | None = None
        self._explain = explain
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="isnotai-export")
        self._is_too_late = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()  # it is idle by now, so there is nothing to wait for

    @contextmanager
    def too_late_to_cancel(self) -> Iterator[None]:
        """Ignore cancellation of the calls of a block: what they do cannot be undone."""
        self._is_too_late = True
        try:
            yield
        finally:
            self._is_too_late = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the thread.

        It is handed over before anything is awaited, and a cancellation is raised after it has ended. So a task that
        is cancelled here knows that the call was made, and its error comes before the cancellation.

        Raises:
            ConfigError: No asyncio event loop is running.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError("no asyncio event loop is running; exports do not run on trio") from None
        # The work itself knows whether it has ended. If Ctrl-C comes just when the event is set, it stays unset, and
        # the cancellation that follows would wait for it forever.
        work, ended = self._executor.submit(call, *args, **kwargs), asyncio.Event()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        cancelled: asyncio.CancelledError | None = None
        with CancelScope(shield=True):  # else anyio would cancel in each turn of the loop
            while not work.done():
                try:
                    await ended.wait()
                except asyncio.CancelledError as error:
                    cancelled = error
        if (failure := work.exception()) is not None:
            self.trouble = self._explain(failure)
            raise self.trouble
        if cancelled is not None and not self._is_too_late:
            raise cancelled
        if cancelled is not None and (task := asyncio.current_task()) is not None:
            task.uncancel()
        return work.result()
