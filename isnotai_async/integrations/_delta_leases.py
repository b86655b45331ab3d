"""Leases of pieces in Redis. They only save requests: what is in the table is right without them."""

from __future__ import annotations

from typing import Any, Final

from attrs import define, field

_LEASE_SECONDS: Final = 60


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
        """Return whether this run may read a piece now."""
        if self.url is None:
            return True
        if self._redis is None:
            from redis.asyncio import Redis

            self._redis = Redis.from_url(self.url)
        key = f"{self.prefix}:{transaction}:{version}"
        return bool(await self._redis.set(key, self.run, nx=True, ex=_LEASE_SECONDS))

    async def aclose(self) -> None:
        """Close the connection."""
        if self._redis is not None:
            await self._redis.aclose()
