"""The connection to Redis: it calls the Lua script with a time limit, and raises one kind of error."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.constants import CONSTANTS
from isnotai_async._ratelimit.shared.protocol import ScriptReply, ScriptRequest, read_reply
from isnotai_async._ratelimit.shared.store import Store
from isnotai_async.errors import printable

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT: Final = 1.0
"""Longest time that one call to Redis may take, in seconds. It includes connecting."""

_NUMBERS: Final = {**asdict(CONSTANTS), "free": Tier.FREE.requests_per_minute}
SCRIPT: Final = re.sub(
    r"CONSTANTS\.(\w+)",
    lambda constant: repr(_NUMBERS[constant[1]]),
    Path(__file__).with_name("rate_limit.lua").read_text(encoding="utf-8"),
)
"""The rules in ``rate_limit.lua``, with the numbers of `constants`: a table of them would be made for each call."""

_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # Redis names a script by its SHA-1


class RedisStore(Store):
    """A store that runs the script in Redis.

    Args:
        redis: The connection. `TIMEOUT` bounds its own timeouts and retries.
        owned: Whether `aclose` closes the connection.
    """

    advice = 'make sure that it runs, or pass on_outage="local_share" to continue with a share of the limit'
    owner = "RedisLimiter"

    def __init__(self, redis: Redis, *, owned: bool) -> None:
        from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError  # noqa: A004 - Redis' own

        self._redis, self._owned = redis, owned
        self._no_script = NoScriptError
        # A server that returns READONLY, MASTERDOWN, LOADING or NOREPLICAS may not be the primary any more, while
        # its connections stay open. A new connection leads to the primary. Before Redis 7 a script returns just ERR.
        self._stale = (ConnectionError, ResponseError)
        self._errors = (RedisError, OSError, TimeoutError)
        super().__init__(_name_place(redis))

    async def run(self, keys: tuple[str, str], ask: ScriptRequest) -> ScriptReply:
        """Call the script. Try once more on a new connection if the first is dead or leads to the wrong server.

        Raises:
            LimiterError: Redis is down, too slow, read-only, or rejects the call.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                try:
                    return read_reply(await self._evaluate(keys, ask.pack()))
                except self._stale:
                    await self._drop_idle_connections()
                    return read_reply(await self._evaluate(keys, ask.for_resend().pack()))
        except self._errors as error:
            reason = _describe(error)
        await self._drop_idle_connections()
        raise self.refusal(reason)  # not chained: the locals in its traceback contain the connection's password

    async def aclose(self) -> None:
        """Close the connection, if it was opened here."""
        if self._owned:
            await self._redis.aclose()

    async def _drop_idle_connections(self) -> None:
        """Close idle connections, so that the next call connects and resolves the server's address again."""
        pool = getattr(self._redis, "connection_pool", None)  # a cluster has none; it follows its servers itself
        if pool is None:
            return
        with contextlib.suppress(*self._errors):
            async with asyncio.timeout(TIMEOUT):
                await pool.disconnect(inuse_connections=False)

    async def _evaluate(self, keys: tuple[str, str], written: bytes) -> Any:  # noqa: ANN401
        # redis-py's annotations mix its sync and async return types.
        redis: Any = self._redis
        try:
            return await redis.evalsha(_SHA, len(keys), *keys, written)
        except self._no_script:
            return await redis.eval(SCRIPT, len(keys), *keys, written)


def _name_place(redis: Redis) -> str:
    pool = getattr(redis, "connection_pool", None)  # a cluster has none
    kwargs: dict[str, Any] = getattr(pool, "connection_kwargs", {})
    if path := kwargs.get("path"):
        return f"Redis at {printable(str(path))}"
    host = printable(f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}")
    return f"Redis at {host}" if pool else "the Redis cluster"


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
        return f"no answer within {TIMEOUT:g} s"
    return printable(f"{type(error).__name__}: {error}".rstrip(": "), limit=200)
