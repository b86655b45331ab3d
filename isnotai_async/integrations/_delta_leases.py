"""Leases of pieces in Redis. They only save requests: what is in the table is right without them."""

from __future__ import annotations

from typing import Any, Final

from attrs import define, field

_LEASE_SECONDS: Final = 60  # then another run reads the piece of one that died


@define(eq=False)
class Leases:
    """Who reads which piece, in Redis; without Redis, everyone may.

    Attributes:
        url: URL of Redis, or None.
        prefix: What its keys start with.
        run: Id of this run.
    """

    url: str | None
    prefix: str
    run: str
    _redis: Any = field(default=None, init=False)

    async def take(self, transaction: str, version: int) -> bool:
        """Return whether this run may read a piece now; if Redis cannot be asked, it may."""
        if self.url is None:
            return True
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        if self._redis is None:
            self._redis = Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)
        key = f"{self.prefix}:{transaction}:{version}"
        try:
            return bool(await self._redis.set(key, self.run, nx=True, ex=_LEASE_SECONDS))
        except RedisError:
            return True

    async def aclose(self) -> None:
        """Close the connection."""
        if self._redis is not None:
            await self._redis.aclose()
