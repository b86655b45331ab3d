"""Running a job: give its partitions to a queue, watch the reports come in, and give again what was lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Final, Protocol

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from isnotai_async.errors import AuthenticationError, CheckpointError, ConfigError, ExportError, IsNotAIError
from isnotai_async.workers.partitions import Partition
from isnotai_async.workers.plan import Plan
from isnotai_async.workers.reports import PartReport, Trouble

_TICK: Final = 0.5  # seconds between two looks at the folder
_SILENCE: Final = 300.0  # seconds without news until what is missing is queued again


class Queue(Protocol):
    """A queue of tasks, as far as a job needs it."""

    async def put(self, partition: Partition) -> None:
        """Queue a task: `export_partition` of this partition."""
        ...

    async def is_empty(self) -> bool:
        """Tell whether no task is queued or being worked at; False where that is not known."""
        ...


@frozen(kw_only=True)
class JobProgress:
    """How far a job is, over all its workers and runs.

    Attributes:
        parts: How many there are.
        parts_done: How many of them are finished.
        sessions: Sessions of all.
        sessions_done: Sessions of the finished ones.
        sessions_failed: Sessions that are not in them, or not whole.
        rows: Rows in them.
        size: Bytes in them.
        requests: Requests that the last attempt at each has sent.
        troubles: Attempts that have failed in this run.
        elapsed: Seconds of this run.
    """

    parts: int
    parts_done: int
    sessions: int
    sessions_done: int
    sessions_failed: int
    rows: int
    size: int
    requests: int
    troubles: int
    elapsed: float


OnJobProgress = Callable[[JobProgress], None]


async def run_job(
    plan: Plan,
    queue: Queue,
    *,
    ahead: int = 1_000,
    attempts: int = 5,
    on_progress: OnJobProgress | None = None,
) -> JobProgress:
    """Have the missing parts of a job exported by the workers of a queue, and wait for them.

    At most `ahead` of them are queued at a time, so a queue in memory stays small. What it loses is queued again when
    it is empty, and where nothing was heard of any part for minutes, each time after twice as long: a queue is never
    empty that has tasks which nobody can do. A task that is there twice does no harm. Whoever calls this may end at
    any time, and call it again: only what is missing is queued.

    Args:
        plan: The plan.
        queue: The queue.
        ahead: Most parts that are queued or being worked at.
        attempts: How often a part may fail.
        on_progress: Called on the event loop when there is news.

    Returns:
        How it ended.

    Raises:
        CheckpointError: A finished part is gone.
        AuthenticationError: A worker's key was refused.
        ConfigError: A worker has not the keys of all regions, or the queue refuses tasks. One that does not find the
            folder leaves its tasks to others, and says so in its own log.
        SinkError: The folder cannot be read.
        ExportError: A part has failed `attempts` times; the message says why. Workers may go on with what is queued.
    """
    run = _Run(plan, queue, attempts)
    await anyio.to_thread.run_sync(plan.folder.take_troubles)  # those of earlier runs
    async with aclosing(plan.partitions()) as partitions:
        while True:
            news = await run.fill(partitions, ahead)
            is_empty = await queue.is_empty()  # before the reports: who ends between the two was not lost
            news = await run.look() or news
            if news and on_progress is not None:
                on_progress(run.progress)
            if run.is_done:
                return run.progress
            if is_empty or run.is_silent(news=news):
                await run.queue_again()
            await anyio.sleep(_TICK)


@define(eq=False)
class _Run:
    plan: Plan
    queue: Queue
    attempts: int
    _waiting: dict[str, Partition] = field(factory=dict, init=False)
    _troubles: dict[str, int] = field(factory=dict, init=False)
    _is_read: bool = field(default=False, init=False)
    _silence: float = field(factory=lambda: _SILENCE, init=False)  # seconds that are borne
    _heard: float = field(factory=monotonic, init=False)
    _begun: float = field(factory=monotonic, init=False)
    _done: list[int] = field(factory=lambda: [0] * 6, init=False)  # parts, sessions, failures, rows, bytes, requests

    @property
    def is_done(self) -> bool:
        return self._is_read and not self._waiting

    async def fill(self, partitions: AsyncGenerator[Partition, None], ahead: int) -> bool:
        """Queue what is missing, up to that many; tells whether parts were found finished."""
        news = False
        while not self._is_read and len(self._waiting) < ahead:
            partition = await anext(partitions, None)
            if partition is None:
                self._is_read = True
            elif report := await anyio.to_thread.run_sync(self.plan.folder.read_report, partition):
                self._count(report)
                news = True
            else:
                await self.queue.put(partition)
                self._waiting[partition.name] = partition
        return news

    async def look(self) -> bool:
        """Take note of what was finished, and of what has failed."""
        reports, troubles = await anyio.to_thread.run_sync(self._read, list(self._waiting.values()))
        for report in reports:
            del self._waiting[report.name]
            self._count(report)
        noted = [trouble for trouble in troubles if trouble.name in self._waiting]
        for trouble in noted:
            self._note(trouble)
        return bool(reports or noted)

    def _read(self, partitions: list[Partition]) -> tuple[list[PartReport], list[Trouble]]:
        folder = self.plan.folder
        reports = [report for partition in partitions if (report := folder.read_report(partition))]
        return reports, folder.take_troubles()

    def _note(self, trouble: Trouble) -> None:
        count = self._troubles[trouble.name] = self._troubles.get(trouble.name, 0) + 1
        if count >= self.attempts or not trouble.is_passing:
            raise _explain(trouble, count)

    def is_silent(self, *, news: bool) -> bool:
        """Tell whether nothing was heard for so long that the queue may have lost what is missing."""
        now = monotonic()
        if news:
            self._heard, self._silence = now, _SILENCE
        if now - self._heard < self._silence:
            return False
        self._heard, self._silence = now, 2 * self._silence  # or the queue would grow for ever without workers
        return True

    async def queue_again(self) -> None:
        """Queue what is missing once more: the queue has lost it."""
        for partition in self._waiting.values():
            await self.queue.put(partition)

    def _count(self, report: PartReport) -> None:
        news = (1, report.sessions, len(report.failures), report.rows, report.size, report.requests)
        self._done = [old + new for old, new in zip(self._done, news, strict=True)]

    @property
    def progress(self) -> JobProgress:
        parts, sessions, failures, rows, size, requests = self._done
        return JobProgress(
            parts=self.plan.parts,
            parts_done=parts,
            sessions=self.plan.sessions,
            sessions_done=sessions,
            sessions_failed=failures,
            rows=rows,
            size=size,
            requests=requests,
            troubles=sum(self._troubles.values()),
            elapsed=monotonic() - self._begun,
        )


def _explain(trouble: Trouble, count: int) -> IsNotAIError:
    times = "" if count == 1 else f" {count} times"
    message = f"{trouble.name} has failed{times}: {trouble.message}. Run the same again: only what is missing is done"
    match trouble.error:
        case "AuthenticationError":
            return AuthenticationError(message, status=401)
        case "CheckpointError":
            return CheckpointError(message)
        case "ConfigError":
            return ConfigError(message)
        case _:
            return ExportError(message)
