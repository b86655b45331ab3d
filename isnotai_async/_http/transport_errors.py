"""Translates aiohttp's exceptions into the package's errors.

aiohttp's errors hold the request's headers. So only these parts of them are kept: the reason of the operating system,
the fault of the certificate, and the message of the parser.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

import aiohttp

from isnotai_async.errors import (
    ConnectError,
    ProtocolError,
    TransportError,
    TransportTimeoutError,
    printable,
)


class SentOnceError(Exception):
    """A wrapper around an error of aiohttp. aiohttp does not know its class, so it does not send a second time."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        self.cause = cause


class EarlyAnswerError(aiohttp.ClientError):
    """A new connection received a response before a request was sent on it."""


_LOST: Final = "the connection to {where} was lost before the answer was complete; check the network, or try later"

# The first matching class counts, because aiohttp's classes inherit from one another.
_TABLE: Final[tuple[tuple[type[BaseException], type[TransportError], str], ...]] = (
    (
        aiohttp.ClientConnectorCertificateError,
        ConnectError,
        "the TLS certificate of {where} is not valid: {cause}; to trust your own authority, give its file as ssl=",
    ),
    (
        aiohttp.ClientSSLError,
        ConnectError,
        "the TLS handshake with {where} failed: {cause}; check base_url and the proxies in between",
    ),
    (
        aiohttp.ClientConnectorDNSError,
        ConnectError,
        "the name of {where} was not found: {cause}; check base_url and the DNS of this machine",
    ),
    (
        TimeoutError,
        TransportTimeoutError,
        "no complete answer from {where} in time",
    ),
    (
        aiohttp.ClientProxyConnectionError,
        ConnectError,
        "cannot connect to the proxy {proxy}: {cause}; check its URL, and that it runs",
    ),
    (
        aiohttp.ClientHttpProxyError,
        ConnectError,
        "the proxy refused to connect to {where}: {cause}; check the {what} of the proxy",
    ),
    (
        aiohttp.ClientConnectorError,
        ConnectError,
        "cannot connect to {where}: {cause}; check base_url, the network, and whether a proxy is needed",
    ),
    (EarlyAnswerError, ProtocolError, "{where} answered before it was asked"),
    # aiohttp gives parse failures the status 400, which the server never sent.
    (aiohttp.ClientResponseError, ProtocolError, "{where} did not answer in HTTP: {cause}"),
    (
        aiohttp.ClientPayloadError,
        ProtocolError,
        "the body from {where} broke off or cannot be decompressed; check the proxies in between, or try later",
    ),
    (OSError, TransportError, _LOST),
    (aiohttp.ClientConnectionError, TransportError, _LOST),
    (BaseException, ProtocolError, "{where} did not answer in HTTP ({kind})"),
)

_PROXY_NOT_FOUND: Final = (
    "the name of the proxy {proxy} was not found: {cause}; check its URL and the DNS of this machine"
)

# Not EAI_AGAIN, which means that the resolver is out of order for now. Not every system has EAI_NODATA.
_NO_SUCH_NAME: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def translate(error: BaseException, where: str, scrub: Callable[[str], str]) -> TransportError:
    """Return the package's error for an error of aiohttp.

    Args:
        error: What aiohttp raised, or a `SentOnceError` around it.
        where: Host and port of the server.
        scrub: Function that removes the key, and pieces of it, from text of the server that aiohttp may have cut.
    """
    if isinstance(error, SentOnceError):
        error = error.cause
    ours, text = next((ours, text) for theirs, ours, text in _TABLE if isinstance(error, theirs))
    cause, kind = printable(scrub(_cause(error))), type(error).__name__
    what = "login in the URL" if _proxy_status(error) == 407 else "rules"
    proxy = f"{error.host}:{error.port}" if isinstance(error, aiohttp.ClientConnectorError) else ""
    if isinstance(error, aiohttp.ClientConnectorDNSError) and error.host != where.removesuffix(f":{error.port}"):
        text = _PROXY_NOT_FOUND
    failure = ours(text.format(where=where, cause=cause, kind=kind, what=what, proxy=proxy))
    if isinstance(failure, ConnectError):
        failure.tls = isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError)
    failure.retry_limit = _retry_limit(error, failure)
    _forget_frames(error)
    return failure


def _forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error and of its causes.

    Objects of aiohttp hold their errors, and the frames of the tracebacks hold these objects, so they keep each other
    alive. Since Python 3.12 a frame also keeps its callers alive, and so the page that a later attempt returned.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__, link = None, link.__cause__ or link.__context__


def _proxy_status(error: BaseException) -> int:
    return error.status if isinstance(error, aiohttp.ClientHttpProxyError) else 0


def _retry_limit(error: BaseException, failure: TransportError) -> int | None:
    if _proxy_status(error) in {401, 403, 407}:  # a wrong login, or a rule of the proxy
        return 0
    if isinstance(failure, ConnectError):
        cause = getattr(error, "os_error", None)
        unknown = isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME
        return 0 if failure.tls else 1 if unknown else None
    # A server that does not speak HTTP will hardly start to. A body that broke off counts as a broken connection.
    return 1 if isinstance(failure, ProtocolError) and not isinstance(error, aiohttp.ClientPayloadError) else None


def _cause(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        status = _proxy_status(error)
        return f"{status} {error.message}" if status else error.message
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    # asyncio puts the address into `strerror` ("Connect call failed ('127.0.0.1', 9)"), so `errno` is used.
    number = getattr(cause, "errno", None)
    plain = os.strerror(number) if isinstance(cause, ConnectionError) and number else ""
    reason = getattr(cause, "verify_message", "") or plain or getattr(cause, "strerror", "")
    return str(reason or type(cause).__name__)
