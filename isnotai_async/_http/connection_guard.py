"""Checks connections before requests are written on them, drops idle ones if one died, and sends requests once.

aiohttp takes an idle connection out of its pool if it is not closed, whatever arrived on it in the meantime. HTTP/1.1
does not say which request an answer is for (RFC 9112, section 9.3), so an answer that no request asked for would be
taken for that of the next request, and each later one for that of the request before it. Therefore a connection that
received anything while it was idle is closed, and the next one taken. What arrives while a request is in flight
cannot be told apart from its answer.

After a sleep, a lost NAT entry or a change of address all pooled connections are dead, and nothing says so. Therefore
the idle ones are closed as soon as one that was used before dies or stays silent.

aiohttp sends a GET again by itself if the connection dies, and has no public switch for that
(aio-libs/aiohttp#10790). A middleware that changes the class of the error is one.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from attrs import define, field
from multidict import CIMultiDict

from isnotai_async._http.proxies import check_proxy_may_listen

Write = Callable[[Connection], Awaitable[aiohttp.ClientResponse]]


class SentOnceError(Exception):
    """Carries an error past aiohttp's own second send, which looks for the error's class."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        self.cause = cause


class EarlyAnswerError(aiohttp.ClientError):
    """A new connection brought an answer before anything was asked on it."""


class _UnfitError(Exception):
    """A pooled connection must not be used; nothing was written on it."""


_MOST_INTERIM: Final = 100  # answers with a status of 1xx to one request
_SILENT_SECONDS: Final = 2.0  # a caller that leaves sooner says nothing about the connection


@define(eq=False, repr=False)
class ConnectionGuard:
    """The connections that carried requests of one HTTP session, and the middleware that guards them."""

    _used: WeakSet[ResponseHandler] = field(factory=WeakSet, init=False)
    _idle: WeakSet[ResponseHandler] = field(factory=WeakSet, init=False)

    async def send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, *, authorization: str | None
    ) -> aiohttp.ClientResponse:
        """Send a request once, on a connection that is fit for it. This is a middleware of aiohttp.

        Args:
            request: What is sent.
            handler: What sends it.
            authorization: A header that the request has only while it is written, or None.

        Raises:
            ConfigError: A proxy, such as one of a borrowed HTTP session, would see the header.
        """
        if authorization is not None and request.proxy is not None and not request.is_ssl():
            check_proxy_may_listen(request.proxy.host or "")
        # aiohttp has no hook between the choice of a connection and the first byte on it but this method.
        writing = _Writing(self, request.send, request.headers, authorization)
        request.send = writing.write  # type: ignore[method-assign, assignment]
        begun = time.monotonic()
        try:
            return await self._send(request, handler)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = SentOnceError(error)
            if writing.is_reused:
                self.drop_idle()
        except asyncio.CancelledError:
            if writing.is_reused and time.monotonic() - begun >= _SILENT_SECONDS:
                self.drop_idle()
            raise
        finally:
            del request.send  # or the request would keep itself alive
            writing.end()
        try:
            raise failure
        finally:
            del failure  # or error, traceback and this frame would keep one another alive

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        while True:
            try:
                return await handler(request)
            except _UnfitError:  # its connection is closed, and the pool has one less
                continue

    def take(self, connection: Connection) -> bool:
        """Take a connection for a request; return whether it carried one before.

        Raises:
            EarlyAnswerError: It is new, and brought an answer already.
        """
        protocol = connection.protocol
        is_reused = protocol in self._used
        if protocol is None or (is_reused and _has_received(protocol)):
            raise _UnfitError
        if not is_reused and len(protocol):  # answers that were read and wait for a request
            raise EarlyAnswerError
        self._used.add(protocol)
        self._idle.discard(protocol)
        connection.add_callback(partial(self._idle.add, protocol))
        return is_reused

    def drop_idle(self) -> None:
        """Close the idle connections: what killed one may have killed them all, and each would cost an attempt."""
        for protocol in list(self._idle):
            protocol.close()
        self._idle.clear()


@define(eq=False, repr=False)
class _Writing:
    """Writes one request on the connection that aiohttp has chosen, if that is fit."""

    guard: ConnectionGuard
    send: Write
    headers: CIMultiDict[str]
    authorization: str | None
    is_reused: bool = False
    _protocol: ResponseHandler | None = field(default=None, init=False)
    _heads: int = field(default=0, init=False)

    async def write(self, connection: Connection) -> aiohttp.ClientResponse:
        self.is_reused = self.guard.take(connection)
        if (protocol := connection.protocol) is not None:
            # aiohttp passes interim answers over without end; each one that is read comes by here.
            self._protocol, protocol.feed_data = protocol, self._receive  # type: ignore[method-assign, assignment]
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
        protocol.set_exception(HttpProcessingError(message=f"more than {_MOST_INTERIM} interim answers"))
        if protocol.transport is not None:
            protocol.transport.close()

    def end(self) -> None:
        """Leave the connection as it was."""
        if self._protocol is not None:
            del self._protocol.feed_data
            self._protocol = None


_POLL: Final = getattr(select, "poll", None)  # Windows has none; select() takes sockets with high numbers there


def _has_received(protocol: ResponseHandler) -> bool:
    """Return whether an idle connection received bytes or its end, read already or not: a loop may be busy."""
    transport = protocol.transport
    socket = None if transport is None else transport.get_extra_info("socket")
    if protocol.should_close or socket is None or socket.fileno() < 0:
        return True
    if _POLL is None:
        return bool(select.select([socket], [], [], 0)[0])
    poll = _POLL()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
