"""What `RedisLimiter` and `FileLimiter` have in common: one limiter for each key, over a store, and their closing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import NoReturn, Self

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier, check_tier
from isnotai_async._models.validation import check_duration
from isnotai_async._ratelimit.shared.key_limiter import SharedKeyLimiter
from isnotai_async._ratelimit.shared.protocol import name_keys
from isnotai_async._ratelimit.shared.state import SharedLimiterConfig
from isnotai_async._ratelimit.shared.store import Store


class StoreLimiter(ABC):
    """A rate limiter that processes share through a store.

    Args:
        tier: Tier to start with if no process knows the tier yet; None for the lowest.
        lease: Seconds after its permit within which a request has surely reached the server.
        window: Length of the server's window, in seconds.
        workers: Number of processes that divide the limit while the store is unavailable; None to fail instead.

    Raises:
        ConfigError: A value is not valid.
    """

    def __init__(self, tier: Tier | str | None, lease: float, window: float, workers: int | None) -> None:
        start = None if tier is None else check_tier(tier)
        window, lease = check_duration(window, "window"), check_duration(lease, "lease")
        self._config = SharedLimiterConfig(start, window, lease, workers)
        self._keys: dict[tuple[str, str], SharedKeyLimiter] = {}

    @abstractmethod
    def _find_store(self, names: tuple[str, str]) -> Store:
        """Return the store of a key, by the names that `name_keys` returns."""

    def bind(self, region: Region, fingerprint: str) -> SharedKeyLimiter:
        """Return the limiter of one key; all clients of the key get the same one. A client calls this method.

        Example:
            >>> async with isnotai.FileLimiter("quota.db") as limiter:
            ...     limiter.bind(client.region, "fingerprint") is limiter.bind(client.region, "fingerprint")
            True

        Args:
            region: The key's region with its base URL.
            fingerprint: Fingerprint of the key; the limiter never sees the key itself.

        Raises:
            ConfigError: The store has no usable place.
        """
        names = name_keys(region.base_url, fingerprint)
        if names not in self._keys:
            store, name = self._find_store(names), f"the key of {region.name}"
            self._keys[names] = SharedKeyLimiter(store, names, self._config, name=name, clock=time.monotonic)
        return self._keys[names]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Report the last outcomes to the other processes, and close what was opened here. Idempotent."""
        for limiter in self._keys.values():
            await limiter.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds an open connection or file; make one where it is used")
