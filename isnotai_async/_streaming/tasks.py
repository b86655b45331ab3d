"""Background tasks that end with a block of the caller, and a pool of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from anyio.abc import TaskGroup

Job = Callable[[], Awaitable[None]]


@asynccontextmanager
async def run_behind(work: Coroutine[object, object, None]) -> AsyncGenerator[None, None]:
    """Run something in a task of its own while a block runs, and end it with the block.

    No task group or cancel scope is entered in the caller's task. So the block may be left by another task than the
    one that entered it (frameworks that run each step of a generator in a task of its own do that, and so does the
    collector of abandoned generators), and the block's own exceptions never come out in an `ExceptionGroup`.

    Args:
        work: What to run. It has to keep its errors to itself: one that comes out is a mistake in it, and is raised
            when the block ends.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await stop(task)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is gone, even if the waiting is cancelled itself; raise its error."""
    task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error  # the cancellation continues when nothing is left running
    if cancelled is not None:
        raise cancelled
    if not task.cancelled():
        task.result()


def share(total: int, count: int) -> list[int]:
    """Divide a number into a count of nearly equal parts."""
    each, rest = divmod(total, count)
    return [each + (number < rest) for number in range(count)]


class TaskPool:
    """Runs at most so many jobs at a time, in a task group.

    Jobs must not raise.

    Args:
        size: How many.
        group: Where their tasks live.
    """

    def __init__(self, size: int, group: TaskGroup) -> None:
        self._size = size
        self._group = group
        self._running = 0
        self._queue: deque[Job] = deque()
        self._changed = asyncio.Event()

    @property
    def size(self) -> int:
        """How many jobs run at a time."""
        return self._size

    @property
    def free(self) -> int:
        """How many jobs could start now."""
        return max(0, self._size - self._running - len(self._queue))

    def start(self, job: Job) -> None:
        """Start a job, now or as soon as another has ended."""
        if self._running < self._size:
            self._running += 1
            self._group.start_soon(self._run, job)
        else:
            self._queue.append(job)

    def grow(self, count: int) -> None:
        """Raise the number of jobs that run at a time."""
        self._size += count
        while self._queue and self._running < self._size:
            self.start(self._queue.popleft())
        self._changed.set()

    async def done(self) -> None:
        """Wait until all jobs have ended."""
        while self._running:
            self._changed.clear()
            await self._changed.wait()

    async def idle(self) -> None:
        """Wait until a job would start at once, all those started before being under way.

        That is in another round of the loop than the last one started in: each may have to open a connection, and 64
        of those in one round hold the loop for 20 ms.
        """
        await asyncio.sleep(0)
        while not self.free:
            self._changed.clear()
            await self._changed.wait()

    async def _run(self, job: Job) -> None:
        await job()
        while self._queue:
            await self._queue.popleft()()
        self._running -= 1
        self._changed.set()
