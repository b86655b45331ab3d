"""The HTTP session: an aiohttp session that is owned or borrowed, its slots, and its guard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import aiohttp
import anyio

from isnotai_async._http.connection_guard import ConnectionGuard
from isnotai_async._models.open_state import OpenState
from isnotai_async.errors import ConfigError, ConnectError, IsNotAIError, TransportTimeoutError, quoted

_OPEN_IT: Final = "open it with `async with client:` or `await client.open()`"


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        ConfigError: No asyncio event loop is running.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigError("no asyncio event loop is running; this package needs asyncio, and does not run on trio")


class HttpSession:
    """An aiohttp `ClientSession` with a limit on concurrent requests. It is owned, or borrowed and never closed here.

    It belongs to the event loop on which it was opened. At most `max_concurrency` requests are in flight. The others
    wait here and not in aiohttp's pool, because in the pool their timeout would already run.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None,
        max_concurrency: int,
        trace_configs: Sequence[aiohttp.TraceConfig] | None,
    ) -> None:
        self.max_concurrency = max_concurrency
        self._session = _check_session(session)
        self.is_borrowed = session is not None
        self._trace_configs = _check_trace_configs(trace_configs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.guard = ConnectionGuard()
        self.shared_slots: anyio.Semaphore | None = None  # shared with other clients
        self.slots: ConcurrencyLimit
        self.opens_itself = False  # whether a request opens it; False after a close

    @property
    def state(self) -> OpenState:
        """Whether it can be used."""
        if self._closed:
            return OpenState.CLOSED
        return OpenState.NOT_OPEN if self._loop is None else OpenState.OPEN

    def __repr__(self) -> str:
        return f"<Connections: {self.state}, {'borrowed' if self.is_borrowed else 'own'} HTTP session>"

    @property
    def is_orphaned(self) -> bool:
        """Whether the event loop was closed before the session was closed."""
        return self._loop is not None and self._loop.is_closed()

    def open(self) -> None:
        """Open the session on the running event loop, also after a close. Do nothing if it is open on this loop.

        Raises:
            ConfigError: It is open on another event loop, or no asyncio event loop is running.
        """
        loop = running_loop()
        if self._loop is not None:
            self.check()
            return
        self._loop, self._closed = loop, False
        self.slots = ConcurrencyLimit(anyio.Semaphore(self.max_concurrency, fast_acquire=True), self.shared_slots)
        if self._session is None:
            self._session = _build_session(self.max_concurrency, self._trace_configs)

    async def aclose(self) -> None:
        """Close the HTTP session, unless it is borrowed. Idempotent."""
        self._closed, self.opens_itself = True, False
        self._loop = None
        self.guard.stop_timer()
        if not self.is_borrowed and self._session is not None:
            session, self._session = self._session, None
            with anyio.CancelScope(shield=True):
                await session.close()

    def check(self) -> None:
        """Check that a request can be sent from the running loop, and open a session that opens itself.

        Raises:
            ConfigError: It is not open yet, closed, or open on another event loop.
        """
        if self._loop is None and self.opens_itself:
            self.open()
        _, loop = self.use()
        if loop is not running_loop():
            raise ConfigError("this client was opened on another event loop; open one client in each loop")

    def use(self) -> tuple[aiohttp.ClientSession, asyncio.AbstractEventLoop]:
        """Return the HTTP session and its loop. After `check`, that is the running loop.

        Raises:
            ConfigError: It is not open, or closed.
        """
        session, loop = self._session, self._loop
        if loop is None or session is None:
            if self._closed:
                raise ConfigError(f"this client is closed; keep it open while it is used, or {_OPEN_IT} again")
            raise ConfigError(f"this client is not open; {_OPEN_IT}")
        if self.is_borrowed and session.closed:
            raise ConfigError("the session passed as http_session= is closed; close it after the client, not before")
        return session, loop

    def distrust(self, failure: IsNotAIError) -> None:
        """Drop what may be stale after a failure without a response: idle connections, and resolved addresses."""
        if isinstance(failure, TransportTimeoutError):
            self.guard.drop_idle()
        connector = None if self.is_borrowed or self._session is None else self._session.connector
        if isinstance(failure, ConnectError) and isinstance(connector, aiohttp.TCPConnector):
            connector.clear_dns_cache()


class ConcurrencyLimit:
    """The limit on requests in flight. A request takes a slot of its client, and a shared slot if there are any.

    Args:
        own: Slots of this client.
        shared: Slots that several clients share, or None.
    """

    def __init__(self, own: anyio.Semaphore, shared: anyio.Semaphore | None = None) -> None:
        self._own = own
        self._shared = shared

    def acquire_nowait(self) -> bool:
        """Take a slot if one is free; return whether it did. No coroutine, because one is nearly always free."""
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
    # As many sockets as requests in flight, so no request waits in the pool. Idle connections are closed after 10 s,
    # because servers close them after 15 to 60 s: so fewer requests use a dying connection (aio-libs/aiohttp#9138).
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


def _check_session(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession | None:
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        shown = session.__name__ if isinstance(session, type) else type(session).__name__
        raise ConfigError(f"http_session must be an aiohttp.ClientSession, not {shown}")
    return session


def _check_trace_configs(configs: Sequence[aiohttp.TraceConfig] | None) -> list[aiohttp.TraceConfig]:
    if not isinstance(configs, Sequence | None) or not all(
        isinstance(item, aiohttp.TraceConfig) for item in configs or ()
    ):
        raise ConfigError(f"trace_configs must be a list of aiohttp.TraceConfig, not {quoted(configs)}")
    return list(configs or ())
