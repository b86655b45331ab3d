"""The guard of an HTTP session: which connection a request is written on, how often, and until when it may wait.

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
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from attrs import define, field
from multidict import CIMultiDict

from isnotai_async._http.proxies import check_proxy_may_listen

Write = Callable[[Connection], Awaitable[aiohttp.ClientResponse]]


class SentOnceError(Exception):
    """A wrapper around an error of aiohttp. aiohttp does not know its class, so it does not send a second time."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        self.cause = cause


class EarlyAnswerError(aiohttp.ClientError):
    """A new connection received a response before a request was sent on it."""


class _UnfitError(Exception):
    """A pooled connection must not be used; nothing was written on it."""


_MOST_INTERIM: Final = 100  # responses with a status of 1xx to one request
_SILENT_SECONDS: Final = 2.0  # an earlier cancellation does not mean that the connection is dead


@define(eq=False, repr=False)
class ConnectionGuard:
    """The used connections of one HTTP session, and the middleware that checks them.

    It also ends the requests whose response head is late. All share one timer, because a timer for each would be a
    fiftieth of the work of a page.
    """

    # The last use of each; aiohttp takes the protocol away from it when it ends.
    _used: WeakKeyDictionary[ResponseHandler, Connection] = field(factory=WeakKeyDictionary, init=False)
    _heads_due: dict[_Writing, float] = field(factory=dict, init=False)  # on the loop's clock
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

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
        is_reused = protocol in self._used
        if protocol is None or (is_reused and _has_received(protocol)):
            raise _UnfitError
        if not is_reused and len(protocol):  # responses that are already parsed
            raise EarlyAnswerError
        self._used[protocol] = connection
        return is_reused

    def expect_head(self, writing: _Writing, due: float) -> None:
        """End a request if its response head is not complete when it is due."""
        self._heads_due[writing] = due
        if self._timer is None or due < self._timer.when():
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        self.stop_timer()
        self._timer = asyncio.get_running_loop().call_at(due, self._end_late)

    def stop_timer(self) -> None:
        """Stop the timer; the next request sets another."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_late(self) -> None:
        now = asyncio.get_running_loop().time()
        for writing, due in list(self._heads_due.items()):
            if due <= now:
                del self._heads_due[writing]
                writing.fail(aiohttp.SocketTimeoutError())
        self._timer = None
        if self._heads_due:
            self._set_timer(min(self._heads_due.values()))

    def drop_idle(self) -> None:
        """Close the idle connections. They may all be dead for the same reason, and each would cost an attempt."""
        for protocol, last in list(self._used.items()):
            if last.protocol is None:
                protocol.close()


@define(eq=False, repr=False)
class _Writing:
    """A replacement for a request's `send` that checks the connection before it writes."""

    guard: ConnectionGuard
    send: Write
    headers: CIMultiDict[str]
    authorization: str | None
    head_due: float | None
    is_reused: bool = False
    _protocol: ResponseHandler | None = field(default=None, init=False)
    _heads: int = field(default=0, init=False)

    async def write(self, connection: Connection) -> aiohttp.ClientResponse:
        self.is_reused = self.guard.take(connection)
        if (protocol := connection.protocol) is not None:
            # aiohttp skips any number of interim responses. Each one that it reads passes through this method.
            self._protocol, protocol.feed_data = protocol, self._receive  # type: ignore[method-assign, assignment]
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
        protocol = self._protocol
        if protocol is None or self._heads > _MOST_INTERIM:
            return
        self._heads += 1
        if self._heads <= _MOST_INTERIM:
            type(protocol).feed_data(protocol, head, size)
            return
        self.fail(HttpProcessingError(message=f"more than {_MOST_INTERIM} interim answers"))

    def fail(self, error: Exception) -> None:
        """End the request with an error, and close its connection."""
        if self._protocol is not None:
            self._protocol.set_exception(error)
            if self._protocol.transport is not None:
                self._protocol.transport.close()

    def end(self) -> None:
        """Restore the connection's own methods."""
        if self._protocol is not None:
            del self._protocol.feed_data
            self._protocol = None


_POLL: Final = getattr(select, "poll", None)  # None on Windows, whose select() takes any socket number


def _has_received(protocol: ResponseHandler) -> bool:
    """Return whether an idle connection received data or was closed. The event loop may not have read it yet."""
    transport = protocol.transport
    socket = None if transport is None else transport.get_extra_info("socket")
    if protocol.should_close or socket is None or socket.fileno() < 0:
        return True
    if _POLL is None:
        return bool(select.select([socket], [], [], 0)[0])
    poll = _POLL()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
