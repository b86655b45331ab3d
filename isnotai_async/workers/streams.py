"""The queue: a Redis stream, through taskiq's broker for such.

`RedisStreamBroker` (taskiq-redis 1.2.4) keeps an entry until it is acknowledged, and hands out again what was not.
How it listens is done anew here, because of what is reported of it:

- It hands out again what has run for longer than ``idle_timeout``, though its worker lives (taskiq-redis #101). Here
  a worker says now and then that it is still at it (``XCLAIM … JUSTID``), so that the timeout can be short.
- It guards its ``XAUTOCLAIM`` with a lock that a killed worker keeps for ever (#131), and that was no guard (#123).
  Here there is none: the command is atomic, and claims nothing that was not idle for the whole time.
- It takes a hundred entries at once, which other workers could have begun. Here it takes one.
- It ends where Redis does, and where the group is gone because Redis came back empty. Here it waits.
- It leaves acknowledged entries in the stream. Here they are removed, so that the stream is what is left to do.

There is none for a Redis Cluster: that of taskiq-redis never hands out again what a killed worker had (#130).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import anyio
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker

from isnotai_async.errors import ConfigError, printable

_IDLE: Final = 60.0  # seconds after which a worker that said nothing is taken for dead
PAUSE: Final = 1.0  # seconds between two tries to reach Redis

_logger: Final = logging.getLogger("isnotai_async")

Entry = tuple[bytes, dict[bytes, bytes]]


class PartBroker(RedisStreamBroker):
    """A queue of parts.

    Args:
        url: Where Redis is; its password is shown nowhere.
        queue: Name of the queue.
        idle_timeout: Seconds after which the entries of a worker that said nothing go to others.
    """

    def __init__(self, url: str, *, queue: str = "isnotai", idle_timeout: float = _IDLE) -> None:
        super().__init__(
            url,
            queue_name=queue,
            consumer_group_name=queue,
            consumer_id="0",  # the group sees what was queued before it came to be, too
            xread_block=max(10, min(2_000, int(idle_timeout * 250))),  # ms until it looks for abandoned ones again
            idle_timeout=max(1, int(idle_timeout * 1000)),
            unacknowledged_lock_timeout=_IDLE,
        )
        self._held: dict[str, bytes] = {}  # entries by task
        self._cursor: Any = "0-0"

    async def check(self) -> None:
        """See whether Redis answers, before anything is started.

        Raises:
            ConfigError: It does not, or it refuses.
        """
        try:
            await self.remaining()
            return
        except AuthenticationError:
            trouble = "Redis refused the user or password of its URL, or asks for one; see to the URL"
        except ResponseError as error:
            trouble = (
                f"Redis answered, and refused the queue: {printable(str(error), limit=200)}; see to the rights of "
                "its user, and whether the queue's name is that of something else"
            )
        except (RedisError, OSError) as error:
            trouble = (
                f"Redis does not answer ({type(error).__name__}); see whether it runs, and that its URL is right"
            )
        await self.connection_pool.disconnect()  # it was not started, so nobody shuts it down
        raise ConfigError(trouble)

    @property
    def renews_each(self) -> float:
        """Seconds between two signs of life."""
        return self.idle_timeout / 4000

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Give entries as they come, one at a time, for ever."""
        is_down = False
        while True:
            _check_cancelled()
            try:
                entry = await self._take()
            except (RedisError, OSError) as error:
                is_down = await self._wait_for_redis(error, is_down)
                continue
            if is_down:
                _logger.warning("Redis answers again")
                is_down = False
            if entry is not None and (message := self._deliver(entry)):
                yield message

    async def _take(self) -> Entry | None:
        async with Redis(connection_pool=self.connection_pool) as redis:
            # From where the last look ended: one looks at ten entries for each that it may claim, and not at all.
            answer: Any = await redis.xautoclaim(
                self.queue_name,
                self.consumer_group_name,
                self.consumer_name,
                min_idle_time=self.idle_timeout,
                start_id=self._cursor,
                count=1,
            )
            self._cursor, abandoned = answer[:2]
            if abandoned:
                return _read_entry(abandoned[0])
            if self._cursor != b"0-0":
                return None
            fetched: Any = await redis.xreadgroup(
                self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, block=self.block, count=1
            )
        return _read_entry(fetched[0][1][0]) if fetched else None

    async def _wait_for_redis(self, error: Exception, is_down: bool) -> bool:
        """Wait a moment, and tell whether Redis is down: it is not where only the group was missing."""
        if isinstance(error, ResponseError) and str(error).startswith("NOGROUP"):
            try:
                await self._declare_consumer_group()
            except (RedisError, OSError):
                return is_down
            return False
        if not is_down:
            _logger.warning("Redis does not answer (%s); waiting for it", type(error).__name__)
        await anyio.sleep(PAUSE)
        return True

    def _deliver(self, entry: Entry) -> AckableMessage | None:
        """Return the message of an entry; None where it is being worked at here, and was only renewed too late."""
        number, fields = entry
        data = fields.get(b"data", b"")
        try:
            task = self.formatter.loads(data).task_id
        except Exception:  # noqa: BLE001 - anything may lie in a stream; the receiver logs it and acknowledges it
            task = ""
        if task in self._held:
            return None
        if task:
            self._held[task] = number
        return AckableMessage(data=data, ack=self._acknowledge(task, number))

    def _acknowledge(self, task: str, number: bytes) -> Callable[[], Awaitable[None]]:
        async def acknowledge() -> None:
            self._held.pop(task, None)
            try:
                async with Redis(connection_pool=self.connection_pool) as redis:
                    pipe = redis.pipeline()
                    pipe.xack(self.queue_name, self.consumer_group_name, number)
                    pipe.xdel(self.queue_name, number)
                    await pipe.execute()
            except (RedisError, OSError) as error:
                # It is handed out again, which does no harm.
                _logger.warning("Redis does not answer (%s), so a task will come again", type(error).__name__)

        return acknowledge

    async def renew(self, task: str) -> None:
        """Say that a task is still being worked at; where Redis cannot be told, it may be handed out again."""
        number = self._held.get(task)
        if number is None:
            return
        try:
            async with Redis(connection_pool=self.connection_pool) as redis:
                await redis.xclaim(
                    self.queue_name,
                    self.consumer_group_name,
                    self.consumer_name,
                    min_idle_time=0,
                    message_ids=[number],
                    justid=True,
                )
        except (RedisError, OSError) as error:
            _logger.debug("could not renew a task: %s", type(error).__name__)

    def leave(self, task: str) -> None:
        """Leave a task to others: it is handed out again after the timeout."""
        self._held.pop(task, None)

    async def remaining(self) -> int:
        """Return how many tasks are left to do or being done.

        Raises:
            RedisError: Redis does not answer.
        """
        async with Redis(connection_pool=self.connection_pool) as redis:
            return int(await redis.xlen(self.queue_name))


def _check_cancelled() -> None:
    """Raise a cancellation that redis-py (8.1) has swallowed, as it does where an answer comes at the same time."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _read_entry(entry: Any) -> Entry | None:  # noqa: ANN401 - of redis-py, which has no type for it
    return None if None in entry else (entry[0], entry[1])  # Redis 6 shows what was removed since
