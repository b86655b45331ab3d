"""Parts as tasks of taskiq (extra ``taskiq``).

A task is a partition and the path of its job's folder. It holds no key: each worker takes the key from its own
environment when it starts, and keeps one client, with its connections and its share of the quota, for all its tasks.

Tasks acknowledge themselves, when their part is finished, or has failed in a way that no other attempt can mend and
that was told to whoever runs the job; what cannot be read is acknowledged too, and logged. All else is left in the
queue, and comes again after a while.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
from anyio import CancelScope

from isnotai_async._client import Client
from isnotai_async._ratelimit.redis.limiter import RedisLimiter
from isnotai_async.errors import ConfigError, printable
from isnotai_async.workers.partitions import Partition
from isnotai_async.workers.shift import OpenSource, Shift, Source

try:
    from redis.exceptions import RedisError, ResponseError
    from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask, Context, TaskiqDepends, TaskiqEvents
    from taskiq.acks import AcknowledgeType
    from taskiq.exceptions import SendTaskError
    from taskiq.receiver import Receiver

    from isnotai_async.workers.streams import PAUSE, PartBroker
except ImportError:
    raise ConfigError("workers need taskiq; install it with: pip install 'isnotai-async[taskiq]'") from None

TASK: Final = "isnotai:export_part"
QUEUE: Final = "isnotai"

_SHOWN: Final = 200  # characters of what Redis says

_logger: Final = logging.getLogger("isnotai_async")


def make_broker(
    url: str,
    *,
    queue: str = QUEUE,
    open_source: OpenSource | None = None,
    root: Path | None = None,
    concurrency: int = 8,
    idle_timeout: float = 60.0,
) -> PartBroker:
    """Make a broker whose queue is a Redis stream, and which knows the task.

    It serves a worker of one's own (``taskiq worker module:broker``), `run_worker`, and whoever queues parts.

    Args:
        url: Where Redis (6.2 or later) is: ``redis://``, ``rediss://`` or ``unix://``.
        queue: Name of the queue; workers and jobs of one queue belong together.
        open_source: Opens what a worker asks: a `Client` or a `SessionManager`. Default a client of the environment's
            key, whose limit is shared through the same Redis.
        root: As of `register_tasks`, as all below.
        concurrency: Most requests in flight of a part.
        idle_timeout: Seconds after which the parts of a worker that gives no sign of life go to others.

    Raises:
        ConfigError: The URL cannot be.
    """
    try:
        broker = _open_broker(url, queue, idle_timeout)
        open_source = open_source or _ask_with_shared_limit(url)
    finally:
        del url  # tracebacks with locals must not show the password
    register_tasks(broker, open_source, root=root, concurrency=concurrency)
    return broker


def _open_broker(url: str, queue: str, idle_timeout: float) -> PartBroker:
    try:
        return PartBroker(url, queue=queue, idle_timeout=idle_timeout)
    except ValueError:  # its text may hold the password, and so do its frames
        pass
    finally:
        del url
    raise ConfigError("the URL of Redis cannot be; write it like redis://host:6379/0 or rediss://…")


def _ask_with_shared_limit(url: str) -> OpenSource:
    @asynccontextmanager
    async def open_source() -> AsyncGenerator[Source, None]:
        async with RedisLimiter.from_url(url) as limiter, Client(limiter=limiter) as client:
            yield client

    return open_source


def register_tasks(
    broker: AsyncBroker, open_source: OpenSource, *, root: Path | None = None, concurrency: int = 8
) -> AsyncTaskiqDecoratedTask[Any, Any]:
    """Teach a broker the task, and open the source with each of its workers.

    Args:
        broker: Any broker of taskiq. One whose tasks are not acknowledged loses those of a killed worker; they are
            queued again when whoever runs the job is called again.
        open_source: Returns a context manager that gives a `Client` or `SessionManager`; entered once in a worker.
        root: Folder in which this worker finds the folders of jobs; default the path that the job says.
        concurrency: Most requests in flight of a part.

    Returns:
        The task: ``await task.kiq(partition.to_json(), str(folder))`` queues a part.
    """
    shift = Shift(open_source, root, concurrency, broker if isinstance(broker, PartBroker) else None)
    broker.state.isnotai_shift = shift

    async def export_part(
        partition: object = None, folder: object = None, *, context: Annotated[Context, TaskiqDepends()]
    ) -> dict[str, Any]:
        """Export a part. Anything may be queued, and is refused only by what gets hold of it."""
        result, is_settled = await shift.work(context.message.task_id, partition, folder)
        if is_settled and context.is_ackable:
            await context.ack()
        return result

    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, lambda _: shift.begin())
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, lambda _: shift.end())
    return broker.register_task(export_part, TASK, ack_type=AcknowledgeType.MANUAL.value)


async def run_worker(broker: PartBroker, stop: anyio.Event, *, parts: int = 2) -> None:
    """Work until an event is set; then commit what is under way, and leave it to others.

    Args:
        broker: What `make_broker` returned.
        stop: The event.
        parts: Parts to be worked at at a time.

    Raises:
        ConfigError: Redis cannot be reached or refuses, or the source cannot be opened.
        RedisError: Redis refused.
    """
    shift: Shift = broker.state.isnotai_shift
    broker.is_worker_process = True
    await broker.check()
    try:
        await broker.startup()
        shift.stopping = stop
        receiver = Receiver(broker, run_startup=False, max_async_tasks=parts, ack_type=AcknowledgeType.MANUAL)
        await receiver.listen(stop)  # type: ignore[arg-type]  # it needs is_set() and wait() alone
    finally:
        stop.set()
        with CancelScope(shield=True):
            await shift.until_idle()
            await broker.shutdown()


class TaskQueue:
    """The queue of a job: see `run_job`.

    Args:
        broker: What knows the task.
        folder: The folder of the job, as the workers are to find it.

    Attributes:
        name: Name of the queue.
    """

    def __init__(self, broker: AsyncBroker, folder: Path) -> None:
        self.name = broker.queue_name if isinstance(broker, PartBroker) else type(broker).__name__
        self._broker = broker
        self._folder = str(folder)
        task = broker.find_task(TASK)
        if task is None:
            raise ConfigError("the broker does not know the task; call register_tasks(broker, …) first")
        self._task = task

    async def put(self, partition: Partition) -> None:
        """Queue a part; where Redis does not answer, wait for it.

        Raises:
            ConfigError: It did answer, and refused.
        """
        is_told = False
        while True:
            try:
                await self._task.kiq(partition.to_json(), self._folder)
                return
            except (SendTaskError, RedisError, OSError) as error:
                cause = error.__cause__ or error  # taskiq's own says nothing
            if isinstance(cause, ResponseError):
                raise ConfigError(
                    f"Redis answered, and refused a task: {printable(str(cause), limit=_SHOWN)}; see to its memory "
                    "and the rights of its user, and run the same again"
                )
            if not is_told:
                _logger.warning("cannot queue a task (%s); trying on", type(cause).__name__)
                is_told = True
            await anyio.sleep(PAUSE)

    async def is_empty(self) -> bool:
        """Tell whether the queue is empty; False where the broker cannot tell."""
        if not isinstance(self._broker, PartBroker):
            return False
        with anyio.move_on_after(PAUSE), suppress(RedisError, OSError):
            return await self._broker.remaining() == 0
        return False


@asynccontextmanager
async def open_queue(url: str, folder: Path, *, queue: str = QUEUE) -> AsyncGenerator[TaskQueue, None]:
    """Open the queue of a job, on the side of whoever runs it.

    Args:
        url: As of `make_broker`.
        folder: As of `TaskQueue`.
        queue: Name of the queue.

    Raises:
        ConfigError: The URL cannot be, or Redis does not answer.
    """
    broker = make_broker(url, queue=queue)
    await broker.check()
    await broker.startup()
    try:
        yield TaskQueue(broker, folder)
    finally:
        with CancelScope(shield=True):
            await broker.shutdown()
