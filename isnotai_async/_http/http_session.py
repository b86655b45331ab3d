"""The HTTP session: opened and closed here, or borrowed, and bound to one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakSet

import aiohttp
import anyio

from isnotai_async._http.attempt_watch import AttemptWatch
from isnotai_async.errors import ConfigError


class Connections:
    """An aiohttp `ClientSession` with bounds: opened and closed by us, or borrowed and left alone.

    It belongs to the event loop it was opened on. At most `max_concurrency` requests are in flight; the others wait
    here, where no timeout runs, rather than in aiohttp's pool, where it would.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None,
        max_concurrency: int,
        trace_configs: Sequence[aiohttp.TraceConfig] | None,
    ) -> None:
        self.max_concurrency = max_concurrency
        self._session = session
        self.is_borrowed = session is not None
        self._trace_configs = list(trace_configs or ())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.watches: WeakSet[AttemptWatch] = WeakSet()  # that are to be stopped with it
        self.shared_slots: anyio.Semaphore | None = None  # that other clients' requests take as well
        self.slots: Slots

    @property
    def state(self) -> str:
        """``"not open"``, ``"open"`` or ``"closed"``."""
        return "closed" if self._closed else "open" if self._loop else "not open"

    def __repr__(self) -> str:
        return f"<Connections: {self.state}, {'borrowed' if self.is_borrowed else 'own'} HTTP session>"

    def open(self) -> None:
        """Open for the running event loop; a second call on the same loop changes nothing.

        Raises:
            ConfigError: It was closed before, or is open on another event loop.
        """
        if self._loop is not None:
            self.check()
            return
        if self._closed:
            raise ConfigError("this client was closed; build a new one")
        self._loop = asyncio.get_running_loop()
        self.slots = Slots(anyio.Semaphore(self.max_concurrency, fast_acquire=True), self.shared_slots)
        if self._session is None:
            self._session = _build_session(self.max_concurrency, self._trace_configs)

    async def aclose(self) -> None:
        """Close the HTTP session, if it is ours. Idempotent."""
        self._closed = True
        self._loop = None
        for watch in list(self.watches):
            watch.stop()
        if not self.is_borrowed and self._session is not None:
            session, self._session = self._session, None
            with anyio.CancelScope(shield=True):
                await session.close()

    def check(self) -> None:
        """Check that a request can be sent from the running loop.

        Raises:
            ConfigError: It is not open, closed, or open on another event loop.
        """
        _, loop = self.use()
        if loop is not asyncio.get_running_loop():
            raise ConfigError("this client was opened on another event loop; open one client in each loop")

    def use(self) -> tuple[aiohttp.ClientSession, asyncio.AbstractEventLoop]:
        """Return the HTTP session and its loop, which is the running one where `check` passed.

        Raises:
            ConfigError: It is not open, or closed.
        """
        session, loop = self._session, self._loop
        if loop is None or session is None:
            if self._closed:
                raise ConfigError(
                    "this client is closed; keep it open while it is used: async with Client() as client"
                )
            raise ConfigError("this client is not open; write: async with Client() as client")
        if self.is_borrowed and session.closed:
            raise ConfigError("the HTTP session passed as session= is closed; close it after the client, not before")
        return session, loop


class Slots:
    """How many requests may be in flight: a slot of one's own, and then one of those that are shared, if any are.

    Args:
        own: Of this client.
        shared: Of several clients together, or None.
    """

    def __init__(self, own: anyio.Semaphore, shared: anyio.Semaphore | None = None) -> None:
        self._own = own
        self._shared = shared

    def acquire_nowait(self) -> bool:
        """Take a slot, if one is free: no coroutine, no clock, since one is free nearly always."""
        try:
            self._own.acquire_nowait()
        except anyio.WouldBlock:
            return False
        try:
            if self._shared is not None:
                self._shared.acquire_nowait()
        except anyio.WouldBlock:
            self._own.release()
            return False
        return True

    async def acquire(self) -> None:
        """Wait for a slot."""
        await self._own.acquire()
        try:
            if self._shared is not None:
                await self._shared.acquire()
        except BaseException:
            self._own.release()
            raise

    def release(self) -> None:
        """Give a slot back."""
        if self._shared is not None:
            self._shared.release()
        self._own.release()


def _build_session(max_concurrency: int, trace_configs: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    # As many sockets as requests in flight, so nobody waits in the pool. Idle ones go after 10 s, before the 15 to
    # 60 s after which servers close them: fewer requests meet a dying connection (aio-libs/aiohttp#9138).
    connector = aiohttp.TCPConnector(
        limit=max_concurrency, limit_per_host=max_concurrency, keepalive_timeout=10, ttl_dns_cache=60
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        raise_for_status=False,
        trace_configs=trace_configs,
    )
