"""A worker's shift: the source that it opens once, and the parts that it works at meanwhile. It knows no queue."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread
from anyio import CancelScope
from attrs import define, field

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async.errors import ConfigError, IsNotAIError, LimiterError, quoted
from isnotai_async.workers.folder import JobFolder, find_job_folder
from isnotai_async.workers.partitions import Partition
from isnotai_async.workers.parts import export_partition
from isnotai_async.workers.reports import Outcome, PartResult, Trouble

Source = Client | SessionManager
OpenSource = Callable[[], AbstractAsyncContextManager[Source]]

_PATIENCE: Final = 2.0  # seconds until a part is gone on with for which Redis could not tell the limit
_SETTLED: Final = {Outcome.DONE, Outcome.FOUND}
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # bytes, as Linux and macOS take them at most

_logger: Final = logging.getLogger("isnotai_async")


class Renewing(Protocol):
    """A queue that wants to hear that a task is still worked at."""

    @property
    def renews_each(self) -> float:
        """Seconds between two signs of life."""
        ...

    async def renew(self, task: str) -> None:
        """Say that a task is still worked at."""
        ...

    def leave(self, task: str) -> None:
        """Say that a task is left to others."""
        ...


@define(eq=False)
class Shift:
    """A worker's time at work.

    Attributes:
        open_source: Opens what it asks.
        root: Where it finds the folders of jobs, or None for where they say.
        concurrency: Most requests in flight of a part.
        queue: Who wants signs of life, or None.
        stopping: Set when the shift is to end.
    """

    open_source: OpenSource
    root: Path | None
    concurrency: int
    queue: Renewing | None
    stopping: anyio.Event = field(factory=anyio.Event, init=False)
    _source: Source | None = field(default=None, init=False)
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _under_way: dict[str, anyio.Event] = field(factory=dict, init=False)  # by task, set when it has ended

    async def begin(self) -> None:
        """Open the source."""
        self._source = await self._stack.enter_async_context(self.open_source())

    async def end(self) -> None:
        """Close the source; idempotent."""
        await self._stack.aclose()

    async def until_idle(self) -> None:
        """Wait until nothing is under way."""
        for ended in list(self._under_way.values()):
            await ended.wait()

    async def work(self, task: str, partition: object, folder: object) -> tuple[dict[str, Any], bool]:
        """Work at a part.

        Args:
            task: Id of the task.
            partition: The partition, as text; what else it is, a queue is not to be trusted with.
            folder: The folder of its job, likewise.

        Returns:
            What became of it, as values of JSON, and whether the task has not to come again.
        """
        if task in self._under_way:  # handed out again, by a queue that heard nothing of it for too long
            return {"outcome": "left"}, False
        self._under_way[task] = ended = anyio.Event()
        try:
            wanted, path = _read_task(partition, folder)
            outcome, is_settled = await self._keep_at_it(task, wanted, path)
        except ConfigError as error:
            _logger.error("a task that cannot be one was dropped: %s", error)
            return {"outcome": "refused", "message": str(error)}, True
        finally:
            ended.set()
            del self._under_way[task]
            if self.queue is not None:
                self.queue.leave(task)
        return {"outcome": outcome, "name": wanted.name}, is_settled

    async def _keep_at_it(self, task: str, partition: Partition, path: Path) -> tuple[str, bool]:
        """Work at a part and give signs of life; tells what became of it, and whether it has not to come again."""
        result = "left", False  # where the shift ends before
        async with anyio.create_task_group() as group:
            group.start_soon(self._renew, task)
            group.start_soon(self._watch, group.cancel_scope)
            result = await self._attempt(partition, path if self.root is None else self.root / path.name)
            group.cancel_scope.cancel()
        return result

    async def _renew(self, task: str) -> None:
        while self.queue is not None:
            await anyio.sleep(self.queue.renews_each)
            await self.queue.renew(task)

    async def _watch(self, scope: CancelScope) -> None:
        await self.stopping.wait()
        scope.cancel()

    async def _attempt(self, partition: Partition, path: Path) -> tuple[str, bool]:
        assert self._source is not None, "begin() comes first"  # noqa: S101 - a mistake of the caller's
        try:
            folder = await anyio.to_thread.run_sync(find_job_folder, path, partition)
        except ConfigError as error:
            _logger.error("%s is left to other workers: %s", partition.name, error)
            return "left", False
        try:
            while True:
                try:
                    result = await export_partition(self._source, partition, path, concurrency=self.concurrency)
                except LimiterError:
                    result = None
                if result is not None and not _waits_for_limiter(result):
                    break
                await anyio.sleep(_PATIENCE)
        except (IsNotAIError, OSError) as error:
            return "failed", await self._tell(folder, Trouble.of(partition.name, error))
        if result.outcome is Outcome.UNFINISHED:
            return str(result.outcome), await self._tell(folder, _explain(partition, result))
        return str(result.outcome), result.outcome in _SETTLED

    async def _tell(self, folder: JobFolder, trouble: Trouble) -> bool:
        """Tell whoever runs the job; returns whether that settles the task, as no other attempt can mend it."""
        _logger.warning("%s failed: %s: %s", trouble.name, trouble.error, trouble.message)
        try:
            await anyio.to_thread.run_sync(folder.write_trouble, trouble)
        except OSError as error:
            _logger.warning("and that could not be written: %s", error.strerror)
            return False
        return not trouble.is_passing


def _read_task(partition: object, folder: object) -> tuple[Partition, Path]:
    """Read what a queue has handed out.

    Raises:
        ConfigError: It can be no task.
    """
    if not isinstance(partition, str) or not isinstance(folder, str):
        raise ConfigError("a task has a partition and a folder, both as text; queue it with the same package")
    try:
        names = os.fsencode(folder).split(b"/")
        wanted = Partition.from_json(partition)
    except (TypeError, ValueError):  # lone surrogates, where a text is asked for
        raise ConfigError("the task has text that cannot be encoded; plan it again") from None
    is_long = sum(map(len, names)) + len(names) > _LONGEST_PATH or max(map(len, names)) > _LONGEST_NAME
    if is_long or "\0" in folder:
        raise ConfigError(f"the task's folder {quoted(folder)} can be none; plan it again")
    return wanted, Path(folder)


def _waits_for_limiter(result: PartResult) -> bool:
    """Tell whether nothing but the shared limit's Redis was in the way: it is waited for, and does not count."""
    return bool(result.failures) and all(failure.error == LimiterError.__name__ for failure in result.failures)


def _explain(partition: Partition, result: PartResult) -> Trouble:
    first = result.failures[0]
    count = len(result.failures)
    message = f"{count} of its sessions failed; the first, {first.session_id}: {first.message}"
    return Trouble(name=partition.name, error=first.error, message=message)
