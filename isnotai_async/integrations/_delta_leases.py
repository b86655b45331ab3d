"""Leases of pieces in Redis. They only save requests: what is in the table is right without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
from attrs import define, field

from isnotai_async._streaming.tasks import run_behind

_LEASE_SECONDS: Final = 60  # then another run reads the piece of one that died
_RENEWALS: Final = 3  # in that time: two of them may fail


@define(eq=False)
class Leases:
    """Leases of pieces, each of one run at a time; without a URL of Redis, every run has each."""

    url: str | None
    prefix: str
    run: str
    sleep: Callable[[float], Awaitable[None]] = field(default=anyio.sleep, kw_only=True)
    _redis: Any = field(default=None, init=False)

    @asynccontextmanager
    async def hold(self, transaction: str, version: int) -> AsyncGenerator[bool, None]:
        """Hold the lease of a piece in a block; yields whether this run has it. If Redis cannot be asked, it has."""
        if self.url is None:
            yield True
            return
        key = f"{self.prefix}:{transaction}:{version}"
        if not await self._set(key, nx=True):
            yield False
            return
        try:
            async with run_behind(self._renew(key)):
                yield True
        finally:
            with suppress(*_redis_errors()):
                await self._connect().delete(key)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _renew(self, key: str) -> None:
        while True:
            await self.sleep(_LEASE_SECONDS / _RENEWALS)
            await self._set(key)

    async def _set(self, key: str, **options: bool) -> bool:
        try:
            is_set = bool(await self._connect().set(key, self.run, ex=_LEASE_SECONDS, **options))
        except _redis_errors():
            is_set = True
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # redis-py drops a cancellation that comes while it waits
            raise asyncio.CancelledError
        return is_set

    def _connect(self) -> Any:  # noqa: ANN401 - a Redis
        from redis.asyncio import Redis

        if self._redis is None and self.url is not None:
            self._redis = Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)
        return self._redis


def _redis_errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError,)
