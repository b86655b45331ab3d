"""The HTTP session: an aiohttp session that is owned or borrowed, its slots, and the checks of its connections.

aiohttp reuses an idle connection that is not closed, even if data arrived on it while it was idle. HTTP/1.1 does not
say which request a response is for (RFC 9112, section 9.3). So an unrequested response would be taken for the
response to the next request, and every later response would be shifted by one. Therefore a connection that received
anything while it was idle is closed, and another one is used. Data that arrives while a request is in flight cannot
be distinguished from its response.

After a sleep of the machine, a lost NAT entry or a change of address, all pooled connections are dead, and no event
reports it. Therefore all idle connections are closed as soon as a reused one dies or stays silent.

aiohttp sends a GET a second time if the connection dies, and has no public option to disable that
(aio-libs/aiohttp#10790). A middleware that changes the class of the error disables it.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
import anyio
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from attrs import define, field
from msgspec import Struct
from multidict import CIMultiDict

from isnotai_async._http.aiohttp_session import build_session, check_session, check_trace_configs
from isnotai_async._http.proxies import check_proxy_may_listen
from isnotai_async._http.transport_errors import EarlyAnswerError, SentOnceError
from isnotai_async._models.open_state import OpenState
from isnotai_async.errors import ConfigError, ConnectError, IsNotAIError, TransportTimeoutError

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


class _UnfitError(Exception):
    """A pooled connection must not be used; nothing was written on it."""


_MOST_INTERIM: Final = 100  # responses with a status of 1xx to one request
_SILENT_SECONDS: Final = 2.0  # an earlier cancellation does not mean that the connection is dead


@define(eq=False, repr=False)
class ConnectionGuard:
    """The used connections of one HTTP session, the middleware that checks them, and the timer of late responses."""

    _uses: WeakKeyDictionary[ResponseHandler, _Use] = field(factory=WeakKeyDictionary, init=False)
    _heads_due: dict[_Writing, float] = field(factory=dict, init=False)  # on the loop's clock
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)  # for all, as `asyncio.timeout` takes 5 µs

    async def send_once(
        self,
        request: aiohttp.ClientRequest,
        handler: aiohttp.ClientHandlerType,
        *,
        authorization: str | None,
        patience: float | None,
    ) -> aiohttp.ClientResponse:
        """Send a request once, on a connection that passed the checks. This is an aiohttp middleware.

        Args:
            request: The request.
            handler: The handler that sends it.
            authorization: Value of a header that the request has only while it is written, or None.
            patience: Seconds until the response head has to be complete; None for no limit.

        Raises:
            ConfigError: A proxy, for example of a borrowed HTTP session, would see the header.
            TimeoutError: The response head is late.
        """
        if authorization is not None and request.proxy is not None and not request.is_ssl():
            check_proxy_may_listen(request.proxy.host or "")
        # This method is aiohttp's only hook between the choice of a connection and the first byte on it.
        begun = request.loop.time()
        head_due = None if patience is None else begun + patience
        writing = _Writing(self, request.send, request.headers, authorization, head_due)
        request.send = writing.write  # type: ignore[method-assign, assignment]
        try:
            while True:
                try:
                    return await handler(request)
                except _UnfitError:  # aiohttp has closed this connection, so the pool has one less
                    continue
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = SentOnceError(error)
            if writing.is_reused:
                self.drop_idle()
        except asyncio.CancelledError:
            if writing.is_reused and request.loop.time() - begun >= _SILENT_SECONDS:
                self.drop_idle()
            raise
        finally:
            del request.send  # else the request would keep itself alive
            self._heads_due.pop(writing, None)
            writing.end()
        try:
            raise failure
        finally:
            del failure  # else error, traceback and this frame would keep one another alive

    def take(self, connection: Connection) -> bool:
        """Take a connection for a request; return whether it carried a request before.

        Raises:
            EarlyAnswerError: The connection is new, and already received a response.
        """
        protocol = connection.protocol
        use = None if protocol is None else self._uses.get(protocol)
        if protocol is None or (use is not None and (protocol.should_close or use.has_received())):
            raise _UnfitError
        if use is not None:
            use.connection = connection
            return True
        if len(protocol):  # responses that are already parsed
            raise EarlyAnswerError
        self._uses[protocol] = _Use(connection, _watch(protocol))
        return False

    def expect_head(self, writing: _Writing, due: float) -> None:
        """End a request if its response head is not complete when it is due."""
        self._heads_due[writing] = due
        if self._timer is None or due < self._timer.when():
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._heads_due:
            self._timer = asyncio.get_running_loop().call_at(min(self._heads_due.values()), self._end_late)

    def forget_requests(self) -> None:
        """Forget the requests in flight: their connections are closed now, or their event loop was."""
        self._heads_due.clear()
        self._set_timer()

    def _end_late(self) -> None:
        now = asyncio.get_running_loop().time()
        for writing in [writing for writing, due in self._heads_due.items() if due <= now]:
            del self._heads_due[writing]
            writing.fail(aiohttp.SocketTimeoutError())
        self._set_timer()

    def drop_idle(self) -> None:
        """Close the idle connections. They may all be dead for the same reason, and each would cost an attempt."""
        for protocol, use in list(self._uses.items()):
            if use.connection.protocol is None:
                protocol.close()


class _Use(Struct, eq=False):
    """The last use of a connection. It ends when aiohttp takes the protocol away from `connection`."""

    connection: Connection
    has_received: Callable[[], bool]


class _Writing(Struct, eq=False):
    """A replacement for a request's `send` that checks the connection before it writes."""

    guard: ConnectionGuard
    send: Callable[[Connection], Awaitable[aiohttp.ClientResponse]]
    headers: CIMultiDict[str]
    authorization: str | None
    head_due: float | None
    is_reused: bool = False
    protocol: ResponseHandler | None = None
    heads: int = 0

    __repr__ = object.__repr__  # a struct's own would show the headers

    async def write(self, connection: Connection) -> aiohttp.ClientResponse:
        self.is_reused = self.guard.take(connection)
        if (protocol := connection.protocol) is not None:
            # aiohttp skips any number of interim responses. Each one that it reads passes through this method.
            self.protocol, protocol.feed_data = protocol, self._receive  # type: ignore[method-assign, assignment]
            if self.head_due is not None:
                self.guard.expect_head(self, self.head_due)
        if self.authorization is None:
            return await self.send(connection)
        self.headers["Authorization"] = self.authorization
        try:
            return await self.send(connection)
        finally:
            self.headers.pop("Authorization", None)

    def _receive(self, head: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        protocol = self.protocol
        if protocol is None or self.heads > _MOST_INTERIM:
            return
        self.heads += 1
        if self.heads <= _MOST_INTERIM:
            type(protocol).feed_data(protocol, head, size)
            return
        self.fail(HttpProcessingError(message=f"more than {_MOST_INTERIM} interim answers"))

    def fail(self, error: Exception) -> None:
        """End the request with an error, and close its connection."""
        if self.protocol is not None:
            self.protocol.set_exception(error)
            if self.protocol.transport is not None:
                self.protocol.transport.close()

    def end(self) -> None:
        """Restore the connection's own methods."""
        if self.protocol is not None:
            del self.protocol.feed_data
            self.protocol = None


_POLL: Final = getattr(select, "poll", None)  # None on Windows, whose select() takes any socket number


def _watch(protocol: ResponseHandler) -> Callable[[], bool]:
    """Return a function that says whether an idle connection received data or was closed.

    The event loop may not have read it yet. The socket is registered once, because that costs more than to ask.
    """
    transport = protocol.transport
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return lambda: True
    if _POLL is None:
        return lambda: socket.fileno() < 0 or bool(select.select([socket], [], [], 0)[0])
    poll = _POLL()
    poll.register(socket.fileno(), select.POLLIN)
    return lambda: socket.fileno() < 0 or bool(poll.poll(0))


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
        self._session = check_session(session)
        self.is_borrowed = session is not None
        self.trace_configs = check_trace_configs(trace_configs)
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
            self._session = build_session(self.max_concurrency, self.trace_configs)

    async def aclose(self) -> None:
        """Close the HTTP session, unless it is borrowed. Idempotent."""
        self._closed, self.opens_itself, self._loop = True, False, None
        if not self.is_borrowed and self._session is not None:
            self.guard.forget_requests()
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
        if not self._own.value or (self._shared is not None and not self._shared.value):
            return False
        self._own.acquire_nowait()
        if self._shared is not None:
            self._shared.acquire_nowait()
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
