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
from isnotai_async._ratelimit.shared.key_limiter import KeyLimiter
from isnotai_async._ratelimit.shared.protocol import LEASE, name_keys
from isnotai_async._ratelimit.shared.state import Terms
from isnotai_async._ratelimit.sliding_window import MINUTE


class FileLimiter:
    """Keeps all processes of one machine that use a key within its limit together, without a server.

    It promises what `RedisLimiter` promises, for the processes of one user on one machine: containers and virtual
    machines are machines of their own. A process that is killed, or stopped, has its permits given back after `lease`
    and a window. If the file cannot be used (the disk is full, or a process was stopped in the middle of a change and
    holds it for ten seconds), calls raise `LimiterError`; it is tried again once a second. Nothing in the file
    outlives the next start of the machine. A key that was not used since then begins with a pause of 1.25 s.

    Open it with ``async with``, or close it with `aclose`; a client does not close what it was given. It serves any
    number of clients and keys on one event loop.

    Example::

        async with FileLimiter() as limiter:
            async with Client(limiter=limiter) as client:
                ...

    Args:
        path: The file, on a local disk; it is made if there is none, for this user only. None for one in the user's
            cache folder, named by a hash of region and key. Nothing else should be in it.
        tier: Tier to start with where no process knows it yet; None for the lowest. The answers tell the true one.
        lease: Seconds after its permit within which a request has reached the server for sure: the client's
            `timeout` and a little. A client whose `timeout` is not below it is rejected.
        window: Length of the server's window, in seconds.

    Raises:
        ConfigError: A value that cannot be, or a path on a network file system.
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
        self._terms = Terms(start, check_duration(window, "window"), check_duration(lease, "lease"), None)
        self._keys: dict[tuple[str, str], KeyLimiter] = {}
        self._stores: list[FileStore] = []

    def bind(self, region: Region, fingerprint: str) -> KeyLimiter:
        """Return the limiter of one key; all clients of the key get the same. A client calls this.

        Args:
            region: The key's region, and where it answers.
            fingerprint: Of the key; the key itself is not told.

        Raises:
            ConfigError: There is no folder for the file.
        """
        names = name_keys(region.base_url, fingerprint)
        if names not in self._keys:
            tag = names[0].split("}")[0].split("{")[1]
            path = self._path or check_place(find_default(tag))
            store = FileStore(path, is_ours=self._path is None)
            self._stores.append(store)
            name = f"the key of {region.name}"
            self._keys[names] = KeyLimiter(store, names, self._terms, name=name, clock=time.monotonic)
        return self._keys[names]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Tell the other processes the last news, and close the file; idempotent."""
        for limiter in self._keys.values():
            await limiter.aclose()
        stores, self._stores = self._stores, []
        for store in stores:
            await store.aclose()

    def __repr__(self) -> str:
        return f"<FileLimiter in {self._path or 'the cache folder'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FileLimiter holds an open file; make one where it is used")
