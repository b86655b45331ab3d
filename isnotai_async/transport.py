"""One request, one answer, over aiohttp: the only module of the client that says so.

What is promised here:

1. One `send` is one request on the wire. aiohttp sends a GET again by itself when the connection dies, and has no
   public switch for that (aio-libs/aiohttp#10790); `_send_once` is one.
2. The key leaves for the configured origin and path prefix only, in a per-request header. Redirects are not
   followed, cookies not kept, the environment and netrc not read.
3. A body is read up to a bound, decompressed bytes counted, so neither a gzip bomb nor an endless body hurts.
4. aiohttp's errors never leave: they hold the request's headers. Ours are raised outside of the `except` clause,
   so they are not chained to them either.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from attrs import define, field
from multidict import CIMultiDict
from yarl import URL

from isnotai_async._version import __version__
from isnotai_async.connections import Connections
from isnotai_async.credentials import ApiKey
from isnotai_async.errors import ConfigError, ProtocolError, TransportError
from isnotai_async.failures import translate
from isnotai_async.regions import Region
from isnotai_async.wire import Request, Response

MAX_BODY_BYTES: Final = 8 * 2**20
"""Largest decoded body of a success. A page of 100 events is about 12 KiB."""

MAX_ERROR_BODY_BYTES: Final = 64 * 2**10
"""How much is read of the body of an error; the rest is left and the connection closed."""

_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 30.0


class Transport(Protocol):
    """Something that turns a request into an answer, once."""

    async def send(self, request: Request) -> Response:
        """Send a request and read the whole answer, whatever its status.

        Raises:
            TransportError: Nobody answered, or not in full.
        """
        ...


class _SentOnceError(Exception):
    """Carries an error past aiohttp's own second send, which looks for the error's class."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        self.cause = cause


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        failure = _SentOnceError(error)
    raise failure


@define(eq=False)
class AiohttpTransport:
    """Sends requests of one region with one key.

    Attributes:
        region: Where to.
        key: With which key.
        connections: Over which connections; shared by copies.
        timeout: Seconds for one attempt, from sending to the last byte of the body; None for no limit.
        proxy: URL of an HTTP proxy, or None.
    """

    region: Region
    key: ApiKey | None
    connections: Connections
    timeout: float | None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    _keyed: CIMultiDict[str] = field(init=False, repr=False)
    _keyless: CIMultiDict[str] = field(init=False, repr=False)
    _limits: aiohttp.ClientTimeout = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # No br or zstd: fewer decoders for a hostile body to reach.
        self._keyless = CIMultiDict(
            {
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                "User-Agent": f"isnotai-async/{__version__}",
            }
        )
        self._keyed = self._keyless.copy()
        if self.key is not None:
            self._keyed["Authorization"] = self.key.authorization
        self._limits = aiohttp.ClientTimeout(
            total=None,
            sock_connect=_least(_CONNECT_SECONDS, self.timeout),
            sock_read=_least(_SILENCE_SECONDS, self.timeout),
        )

    async def send(self, request: Request) -> Response:
        """Send a request once and read the answer, whatever its status.

        Raises:
            ConfigError: The client is not open here, or has no key.
            ConnectError: No connection could be made.
            TransportTimeoutError: No complete answer within `timeout`.
            ProtocolError: The answer is not HTTP as agreed.
            TransportError: The connection broke before the answer was complete.
        """
        session = self.connections.use()
        url = self._url(request)
        async with self.connections.slots:
            begun = monotonic()
            try:
                # Half the cost of anyio.fail_after (5 against 10 µs), and this is the one path that counts.
                async with asyncio.timeout(self.timeout):
                    return await self._exchange(session, request, url, begun)
            except _SentOnceError as error:
                failure = translate(error.cause, url.raw_authority)
            except (aiohttp.ClientError, OSError) as error:
                failure = translate(error, url.raw_authority)
            except ProtocolError as error:
                failure = error
            elapsed = monotonic() - begun
        raise self._located(failure, elapsed)

    def _url(self, request: Request) -> URL:
        if request.authenticated and self.key is None:
            raise ConfigError("no API key; pass api_key= or set ISNOTAI_API_KEY")
        url = URL(self.region.base_url + request.target, encoded=True)
        base = urlsplit(self.region.base_url)
        if url.raw_authority != base.netloc or not url.raw_path.startswith(f"{base.path}/"):
            raise ConfigError(f"the URL of {request.operation} would leave {self.region.base_url}; nothing was sent")
        return url

    async def _exchange(self, session: aiohttp.ClientSession, request: Request, url: URL, begun: float) -> Response:
        async with session.get(
            url,
            headers=self._keyed if request.authenticated else self._keyless,
            allow_redirects=False,
            timeout=self._limits,
            proxy=self.proxy,
            middlewares=(_send_once,),
            raise_for_status=False,
        ) as answer:
            body = await _read_body(answer)
            return Response(
                request,
                answer.status,
                answer.headers,
                body if self.key is None else self.key.scrub(body),
                self.region.name,
                1,
                monotonic() - begun,
            )

    def _located(self, failure: TransportError, elapsed: float) -> TransportError:
        if self.key is not None:  # a server that echoes the request must not put the key into a message
            failure.message = self.key.scrub(failure.message.encode(errors="replace")).decode()
            failure.args = (failure.message,)
        failure.region, failure.attempts, failure.elapsed = self.region.name, 1, elapsed
        return failure


def _least(seconds: float, timeout: float | None) -> float | None:
    return None if timeout is None else min(seconds, timeout)


async def _read_body(answer: aiohttp.ClientResponse) -> bytes:
    is_error = answer.status >= 400
    bound = MAX_ERROR_BODY_BYTES if is_error else MAX_BODY_BYTES
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > bound:
            answer.close()
            if is_error:
                return bytes(body[:bound])
            raise ProtocolError(f"the body is larger than {bound >> 20} MiB decoded, which no page of this API is")
    return bytes(body)
