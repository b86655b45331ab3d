"""`FileLimiter`: one quota for all processes of one machine that use a key, through a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier, check_tier
from isnotai_async._models.validation import check_duration
from isnotai_async._ratelimit.file.place import check_place, find_default
from isnotai_async._ratelimit.file.store import FileStore
from isnotai_async._ratelimit.shared.key_limiter import RedisKeyLimiter
from isnotai_async._ratelimit.shared.protocol import LEASE, name_keys
from isnotai_async._ratelimit.shared.state import RedisLimiterConfig
from isnotai_async._ratelimit.sliding_window import MINUTE


class FileLimiter:
    """A rate limiter that all processes of one machine share through a file. It needs no server.

    It gives the same guarantees as `RedisLimiter`, for the processes of one user on one machine. Each container or
    virtual machine counts as a separate machine. The permits of a process that was killed or stopped become free
    after `lease` plus one window. If the file cannot be used, calls raise `LimiterError`, and the file is tried again
    once a second. That happens if the disk is full, or if a process was stopped in the middle of a change and holds
    the file for ten seconds. The state in the file is discarded when the machine restarts. The first use of a key
    after a restart starts with a pause of 1.25 s.

    Open it with ``async with``, or close it with `aclose`; a client does not close a limiter that it was given. It
    serves any number of clients and keys on one event loop.

    Example::

        async with FileLimiter() as limiter:
            async with Client(limiter=limiter) as client:
                ...

    Args:
        path: Path of the file, on a local disk. The file is created if it does not exist, and only this user can read
            it. Do not use it for other data. None for a file in the user's cache folder, named by a hash of region
            and key.
        tier: Tier to start with if no process knows the tier yet; None for the lowest. The responses name the real
            tier.
        lease: Seconds after its permit within which a request has surely reached the server. It must be greater than
            the client's `timeout`; else the client is rejected.
        window: Length of the server's window, in seconds.

    Raises:
        ConfigError: A value is not valid, or the path is on a network file system.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        tier: Tier | str | None = None,
        lease: float = LEASE,
        window: float = MINUTE,
    ) -> None:
        self._path = None if path is None else check_place(Path(path))
        start = None if tier is None else check_tier(tier)
        self._terms = RedisLimiterConfig(
            start, check_duration(window, "window"), check_duration(lease, "lease"), None
        )
        self._keys: dict[tuple[str, str], RedisKeyLimiter] = {}
        self._stores: list[FileStore] = []

    def bind(self, region: Region, fingerprint: str) -> RedisKeyLimiter:
        """Return the limiter of one key; all clients of the key get the same one. A client calls this method.

        Args:
            region: The key's region with its base URL.
            fingerprint: Fingerprint of the key; the limiter never sees the key itself.

        Raises:
            ConfigError: The file has no usable folder.
        """
        names = name_keys(region.base_url, fingerprint)
        if names not in self._keys:
            tag = names[0].split("}")[0].split("{")[1]
            path = self._path or check_place(find_default(tag))
            store = FileStore(path, is_ours=self._path is None)
            self._stores.append(store)
            name = f"the key of {region.name}"
            self._keys[names] = RedisKeyLimiter(store, names, self._terms, name=name, clock=time.monotonic)
        return self._keys[names]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Report the last outcomes to the other processes, and close the file. Idempotent."""
        for limiter in self._keys.values():
            await limiter.aclose()
        stores, self._stores = self._stores, []
        for store in stores:
            await store.aclose()

    def __repr__(self) -> str:
        return f"<FileLimiter in {self._path or 'the cache folder'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FileLimiter holds an open file; make one where it is used")
