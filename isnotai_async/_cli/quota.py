"""The option `--redis`, for a command that shares the quota of a key with other processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from isnotai_async._ratelimit.redis.limiter import RedisLimiter, has_password
from isnotai_async.errors import ConfigError

_VARIABLE: Final = "ISNOTAI_REDIS_URL"


@asynccontextmanager
async def open_shared_limiter(redis: str | None) -> AsyncIterator[RedisLimiter | None]:
    """Open the limiter that processes share through Redis, or return None if there is no URL.

    Args:
        redis: URL of Redis, or ``env`` for the URL in the environment.
    """
    if redis is None:
        yield None
        return
    async with RedisLimiter.from_url(read_redis_url(redis)) as limiter:
        yield limiter


def read_redis_url(redis: str) -> str:
    """Return the URL of Redis that an option gives, or the environment."""
    if redis != "env":
        if has_password(redis):
            raise ConfigError(
                f"the URL of --redis has a password, and every user of the machine can see arguments; "
                f"set {_VARIABLE} instead, and write --redis env"
            )
        return redis
    if found := os.environ.get(_VARIABLE):
        return found
    raise ConfigError(f"--redis env reads the URL of Redis from {_VARIABLE}, which is not set")
