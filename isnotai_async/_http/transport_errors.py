"""Translates aiohttp's exceptions into ours.

Its errors hold the request's headers, so nothing of them is kept but the parts named here: the operating system's
reason, the certificate's fault, the parser's complaint.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

import aiohttp

from isnotai_async._http.connection_guard import EarlyAnswerError
from isnotai_async.errors import (
    ConnectError,
    ProtocolError,
    TransportError,
    TransportTimeoutError,
    printable,
)

# The first class that fits counts: aiohttp's inherit from one another.
_TABLE: Final[tuple[tuple[type[BaseException], type[TransportError], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, ConnectError, "the TLS certificate of {where} is not valid: {cause}"),
    (aiohttp.ClientSSLError, ConnectError, "the TLS handshake with {where} failed: {cause}"),
    (aiohttp.ClientConnectorDNSError, ConnectError, "the name of {where} was not found: {cause}"),
    (TimeoutError, TransportTimeoutError, "no complete answer from {where} in time"),
    (aiohttp.ClientProxyConnectionError, ConnectError, "cannot connect to the proxy: {cause}"),
    (aiohttp.ClientHttpProxyError, ConnectError, "the proxy refused to connect to {where}: {cause}{login}"),
    (aiohttp.ClientConnectorError, ConnectError, "cannot connect to {where}: {cause}"),
    (EarlyAnswerError, ProtocolError, "{where} answered before it was asked"),
    # Parse failures come with status 400, which no server ever sent.
    (aiohttp.ClientResponseError, ProtocolError, "{where} did not answer in HTTP: {cause}"),
    (aiohttp.ClientPayloadError, ProtocolError, "the body from {where} broke off or cannot be decompressed"),
    (OSError, TransportError, "the connection to {where} was lost before the answer was complete"),
    (
        aiohttp.ClientConnectionError,
        TransportError,
        "the connection to {where} was lost before the answer was complete",
    ),
    (BaseException, ProtocolError, "{where} did not answer in HTTP ({kind})"),
)

# As opposed to EAI_AGAIN, a resolver that is out of order for now. Not every system has the second.
_NO_SUCH_NAME: Final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def translate(error: BaseException, where: str, scrub: Callable[[str], str]) -> TransportError:
    """Make our error from one of aiohttp's.

    Args:
        error: What aiohttp raised.
        where: Host and port that were asked.
        scrub: Takes the key, and pieces of it, out of words of the server's, which aiohttp has cut somewhere.
    """
    ours, text = next((ours, text) for theirs, ours, text in _TABLE if isinstance(error, theirs))
    cause, kind = printable(scrub(_cause(error))), type(error).__name__
    login = "; check the login in the URL of the proxy" if _proxy_status(error) == 407 else ""
    failure = ours(text.format(where=where, cause=cause, kind=kind, login=login))
    if isinstance(failure, ConnectError):
        failure.tls = isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError)
    failure.retry_limit = _retry_limit(error, failure)
    _forget_frames(error)
    return failure


def _forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error and of those that it came from.

    Objects of aiohttp keep their errors and are in the frames of the tracebacks, so they keep one another alive; and
    since Python 3.12 a frame keeps those that called it, down to the page that a later attempt returned.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__, link = None, link.__cause__ or link.__context__


def _proxy_status(error: BaseException) -> int:
    return error.status if isinstance(error, aiohttp.ClientHttpProxyError) else 0


def _retry_limit(error: BaseException, failure: TransportError) -> int | None:
    if _proxy_status(error) in {401, 403, 407}:  # a wrong login, or a rule of the proxy's
        return 0
    if isinstance(failure, ConnectError):
        cause = getattr(error, "os_error", None)
        unknown = isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME
        return 0 if failure.tls else 1 if unknown else None
    # What is not HTTP will hardly become it; a body that broke off is a connection that broke off.
    return 1 if isinstance(failure, ProtocolError) and not isinstance(error, aiohttp.ClientPayloadError) else None


def _cause(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        status = _proxy_status(error)
        return f"{status} {error.message}" if status else error.message
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    # asyncio puts the address into `strerror` ("Connect call failed ('127.0.0.1', 9)"), the number is plain.
    number = getattr(cause, "errno", None)
    plain = os.strerror(number) if isinstance(cause, ConnectionError) and number else ""
    reason = getattr(cause, "verify_message", "") or plain or getattr(cause, "strerror", "")
    return str(reason or type(cause).__name__)
