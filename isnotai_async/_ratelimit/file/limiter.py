"""`FileLimiter`: one quota for all processes of one machine that use a key, through a file."""

from __future__ import annotations

import os
from pathlib import Path

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.constants import MINUTE
from isnotai_async._ratelimit.file.place import check_place, find_default
from isnotai_async._ratelimit.file.store import FileStore
from isnotai_async._ratelimit.shared.limiter import StoreLimiter
from isnotai_async._ratelimit.shared.protocol import LEASE


class FileLimiter(StoreLimiter):
    """A rate limiter that all processes of one machine share through a file. It needs no server.

    It gives the same guarantees as `RedisLimiter`, for the processes of one user on one machine. Each container or
    virtual machine counts as a separate machine. The permits of a process that was killed or stopped become free
    after `lease` plus one window. If the file cannot be used, calls raise `LimiterError`, and the file is tried again
    once a second. That happens if the disk is full, or if a process was stopped in the middle of a change and holds
    the file for ten seconds. The state in the file is discarded when the machine restarts. The first use of a key
    after a restart starts with a pause of 1.25 s.

    Open it with ``async with``, or close it with `aclose`; a client does not close a limiter that it was given. It
    serves any number of clients and keys on one event loop.

    Example:
        >>> async with isnotai.FileLimiter("quota.db") as limiter:
        ...     async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client:
        ...         print(len(await client.list_events("big-100").to_list()))
        100

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
        super().__init__(tier, lease, window, None)
        self._path = None if path is None else check_place(Path(path))
        self._stores: dict[Path, FileStore] = {}

    def _find_store(self, names: tuple[str, str]) -> FileStore:
        path = self._path or find_default(names)
        return self._stores.setdefault(path, FileStore(path, is_ours=self._path is None))

    async def aclose(self) -> None:
        """Report the last outcomes to the other processes, and close the file. Idempotent.

        Example:
            >>> limiter = isnotai.FileLimiter("quota.db")
            >>> await limiter.aclose()
        """
        await super().aclose()
        while self._stores:
            await self._stores.popitem()[1].aclose()

    def __repr__(self) -> str:
        return f"<FileLimiter in {self._path or 'the cache folder'}>"
