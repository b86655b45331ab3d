"""The client of an engine: its key comes from the environment of each process, never from an option."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from isnotai_async._client import Client
from isnotai_async._ratelimit.redis.limiter import RedisLimiter, has_password
from isnotai_async.errors import ConfigError


@asynccontextmanager
async def open_client(
    *, region: str | None = None, quota: float = 1.0, redis: str | None = None
) -> AsyncIterator[Client]:
    """Open a client with the key that ``ISNOTAI_API_KEY`` or ``ISNOTAI_API_KEY_FILE`` names.

    Args:
        region: The region; default ``ISNOTAI_REGION``, else ``us``.
        quota: Share of the key's rate that this process may use.
        redis: URL of the Redis that shares the limit, or ``env`` for ``ISNOTAI_REDIS_URL``.

    Raises:
        ConfigError: An option cannot work.
    """
    if redis is None:
        async with Client(region=region, quota=quota) as client:
            yield client
        return
    async with (
        RedisLimiter.from_url(find_redis(redis)) as limiter,
        Client(region=region, limiter=limiter) as client,
    ):
        yield client


def find_redis(redis: str) -> str:
    """Return the URL of a Redis; ``env`` stands for ``ISNOTAI_REDIS_URL``.

    Raises:
        ConfigError: That is not set, or the URL has a password.
    """
    if redis == "env":
        url = os.environ.get("ISNOTAI_REDIS_URL")
        if not url:
            raise ConfigError("redis is env, and ISNOTAI_REDIS_URL is not set; set it to redis://host:port/db")
        return url
    if has_password(redis):
        raise ConfigError(
            "the URL of Redis has a password, and engines show options in plans and logs; set ISNOTAI_REDIS_URL "
            "instead, and pass redis='env'"
        )
    return redis
