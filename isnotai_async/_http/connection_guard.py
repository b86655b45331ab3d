"""Checks a connection just before a request is written on it, and puts each request on the wire once.

aiohttp takes an idle connection out of its pool if it is not closed, whatever arrived on it in the meantime. HTTP/1.1
does not say which request an answer is for (RFC 9112, section 9.3), so an answer that no request asked for would be
taken for that of the next request, and each later one for that of the request before it. Therefore a connection that
received anything while it was idle is closed, and the next one taken. What arrives while a request is in flight
cannot be told apart from its answer.

aiohttp sends a GET again by itself if the connection dies, and has no public switch for that
(aio-libs/aiohttp#10790). A middleware that changes the class of the error is one.
"""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from attrs import define, field

Write = Callable[[Connection], Awaitable[aiohttp.ClientResponse]]


class SentOnceError(Exception):
    """Carries an error past aiohttp's own second send, which looks for the error's class."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        self.cause = cause


class EarlyAnswerError(aiohttp.ClientError):
    """A new connection brought an answer before anything was asked on it."""


class _UnfitError(Exception):
    """A pooled connection must not be used; nothing was written on it."""


@define(eq=False, repr=False)
class ConnectionGuard:
    """The connections that carried requests of one HTTP session, and the middleware that guards them."""

    _used: WeakSet[ResponseHandler] = field(factory=WeakSet, init=False)

    async def send_once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request once, on a connection that is fit for it. This is a middleware of aiohttp."""
        # aiohttp has no hook between the choice of a connection and the first byte on it but this method.
        request.send = partial(self._write, request.send)  # type: ignore[method-assign]
        try:
            while True:
                try:
                    return await handler(request)
                except _UnfitError:  # its connection is closed, and the pool has one less
                    continue
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = SentOnceError(error)
        finally:
            del request.send  # or the request would keep itself alive
        try:
            raise failure
        finally:
            del failure  # or error, traceback and this frame would keep one another alive

    async def _write(self, write: Write, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        if protocol is None or (protocol in self._used and _has_received(protocol)):
            raise _UnfitError
        if protocol not in self._used and len(protocol):  # answers that were read and wait for a request
            raise EarlyAnswerError
        self._used.add(protocol)
        return await write(connection)


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
