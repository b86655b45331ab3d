"""The options `--quota` and `--redis`, for a command that shares the quota of a key with other processes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from isnotai_async._models.validation import check_quota
from isnotai_async._ratelimit.redis.limiter import RedisLimiter
from isnotai_async.errors import ConfigError, quoted

_VARIABLE: Final = "ISNOTAI_REDIS_URL"


def read_quota(text: str | None) -> float:
    """Read a share of the rate, written as a fraction (1/8) or a number (0.125); without one, it is all.

    Raises:
        ConfigError: It is neither, or not above 0 and at most 1.
    """
    if text is None:
        return 1.0
    numerator, slash, denominator = text.partition("/")
    try:
        share = float(numerator) / float(denominator if slash else 1)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"--quota {quoted(text)} is no share; write 1/8 or 0.125") from None
    return check_quota(share, f"--quota {quoted(text)}")


@asynccontextmanager
async def open_shared_limiter(redis: str | None) -> AsyncIterator[RedisLimiter | None]:
    """Open the limiter that processes share through Redis, or return None if there is no URL.

    Args:
        redis: URL of Redis, or ``env`` for the URL in the environment.

    Raises:
        ConfigError: The URL has a password, cannot be read, or is missing in the environment.
    """
    if redis is None:
        yield None
        return
    async with RedisLimiter.from_url(read_redis_url(redis)) as limiter:
        yield limiter


def read_redis_url(redis: str) -> str:
    """Return the URL of Redis that an option gives, or the environment.

    Raises:
        ConfigError: As of `open_shared_limiter`.
    """
    if redis != "env":
        if _has_password(redis):
            raise ConfigError(
                f"the URL of --redis has a password, and every user of the machine can see arguments; "
                f"set {_VARIABLE} instead, and write --redis env"
            )
        return redis
    if found := os.environ.get(_VARIABLE):
        return found
    raise ConfigError(f"--redis env reads the URL of Redis from {_VARIABLE}, which is not set")


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # RedisLimiter reports what is wrong with the URL
        return "@" in url
    return bool(parts.password) or "password=" in parts.query
