"""Sends one request over aiohttp and reads its body, with limits on size, time and encoding.

The guarantees:

1. One `send` is one request on the wire, on a connection that received nothing while it was idle: `http_session`.
2. The key is sent to the configured origin and path prefix only. It is in a header that exists only while the request
   is written, so tools that record or trace requests (cassettes) do not see it. Redirects are not followed, and
   cookies are not stored.
3. A body is read up to a limit of bytes and of chunks, and decompressed up to the same limit of bytes, in a thread if
   it is large. So neither a gzip bomb nor an endless body does harm, nor one in chunks of one byte.
4. No error of aiohttp reaches the caller, because it holds the request's headers. Our errors are raised outside of
   the `except` clause, so they are not chained to aiohttp's errors either.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from functools import partial
from itertools import chain
from math import inf
from typing import Any, Final, Protocol

import aiohttp
from attrs import define, field
from multidict import CIMultiDict
from yarl import URL

from isnotai_async._http.api_errors import add_words
from isnotai_async._http.compression import unpack, unpack_error
from isnotai_async._http.credentials import ApiKey
from isnotai_async._http.http_session import HttpSession
from isnotai_async._http.messages import Request, Response
from isnotai_async._http.proxies import name_unused_proxy
from isnotai_async._http.transport_errors import SentOnceError, translate
from isnotai_async._models.pages import Headers
from isnotai_async._models.regions import Region
from isnotai_async._models.validation import check_text
from isnotai_async._version import __version__
from isnotai_async.errors import (
    ConfigError,
    ConnectError,
    IsNotAIError,
    ProtocolError,
    TransportTimeoutError,
)

MAX_BODY_BYTES: Final = 8 * 2**20
"""Largest body, also decompressed, of a successful response. A page of 100 events is about 12 KiB."""

MAX_ERROR_BODY_BYTES: Final = 64 * 2**10
"""How many bytes of an error response's body are read, and kept. If there are more, the connection is closed."""

_SMALL_BYTES: Final = 256 * 2**10
"""How much of a body is decompressed and scrubbed on the event loop, which takes 0.3 ms. More is done in a thread."""

_TOO_LARGE: Final = f"the body is larger than {MAX_BODY_BYTES >> 20} MiB decoded, which no page of this API is"

_MOST_CHUNKS: Final = 2**15
"""Most chunks of a body (RFC 9112, section 7.1). A page in chunks of one byte has 12,000; each costs several µs."""

_CHUNKS_A_TURN: Final = 256
"""After so many chunks, the event loop runs whatever else is ready."""

_BUFFER_BYTES: Final = 32 * 2**10
"""How much aiohttp buffers of a body. It parses one chunk for each 16 of these bytes in one go, so 2,048, in 4 ms."""

_TOO_MANY_CHUNKS: Final = f"the body has more than {_MOST_CHUNKS:,} chunks, which no page of this API has"

_ERROR_SECONDS: Final = 5.0  # for the body of an error response, because its status is what matters


def take_body(answer: aiohttp.ClientResponse) -> bytes | None:
    """Return a body that came together with its head, as a page's does; None if it is incomplete or too large."""
    longest = MAX_BODY_BYTES if answer.status < 400 else MAX_ERROR_BODY_BYTES
    is_there = answer.closed and answer.content.total_bytes <= longest
    return answer.content.read_nowait() if is_there else None


async def read_body(answer: aiohttp.ClientResponse, *, silence: float | None, end: float | None) -> bytes:
    """Read a body, and release the connection. The connection is closed if the body was not read completely.

    An error response raises nothing here, because its status is what matters.

    Args:
        answer: A response whose head is complete.
        silence: Seconds within which the next part has to come; None for no limit.
        end: Time by which the body has to be complete, on the loop's clock; None for no limit.

    Raises:
        TimeoutError: One of the two limits has passed.
        ProtocolError: The body is too large, or has too many chunks.
        aiohttp.ClientError: The body broke off.
    """
    status, content = answer.status, answer.content
    protocol = None if answer.connection is None else answer.connection.protocol
    closed, break_off = None if protocol is None else protocol.closed, partial(_break_off, content)
    if closed is not None:
        closed.add_done_callback(break_off)
    try:
        async with asyncio.timeout_at(end):
            if status >= 400:
                return await _read_of_error(content, end)
            return await _read_all(content, silence)
    finally:
        if closed is not None:
            closed.remove_done_callback(break_off)
        if not answer.closed:
            answer.close()
        del answer  # its repr has the unscrubbed headers, and a traceback may show the locals of its frames


def _break_off(content: aiohttp.StreamReader, _: object) -> None:
    """End a body whose connection is closed. aiohttp lets its reader wait if it closed it for a malformed chunk."""
    if not content.is_eof() and content.exception() is None:
        content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))


@define(eq=False, repr=False)
class _PartialBody:
    """As much of a body as was read. It counts chunks, because many small ones cost far more than their bytes."""

    content: aiohttp.StreamReader
    read: bytearray = field(factory=bytearray, init=False)
    _chunks: int = field(default=0, init=False)

    async def read_on(self) -> bool:
        """Read the next part; return whether more can come.

        Raises:
            ProtocolError: The body has too many chunks.
        """
        part, ends_chunk = await self.content.readchunk()
        self.read += part
        self._chunks += ends_chunk
        if self._chunks > _MOST_CHUNKS:
            raise ProtocolError(_TOO_MANY_CHUNKS)
        if ends_chunk and self._chunks % _CHUNKS_A_TURN == 0:
            await asyncio.sleep(0)
        return not self.content.at_eof()


async def _read_all(content: aiohttp.StreamReader, silence: float | None) -> bytes:
    body = _PartialBody(content)
    has_more = True
    while has_more:
        async with asyncio.timeout(silence):
            has_more = await body.read_on()
        if len(body.read) > MAX_BODY_BYTES:
            raise ProtocolError(_TOO_LARGE)
    return bytes(body.read)


async def _read_of_error(content: aiohttp.StreamReader, end: float | None) -> bytes:
    left = inf if end is None else end - asyncio.get_running_loop().time()
    body = _PartialBody(content)
    try:
        async with asyncio.timeout(min(_ERROR_SECONDS, left / 2)):
            while len(body.read) <= MAX_ERROR_BODY_BYTES and await body.read_on():
                pass
    except (aiohttp.ClientError, ProtocolError, TimeoutError):
        pass
    return bytes(body.read[:MAX_ERROR_BODY_BYTES])


_CONNECT_SECONDS: Final = 10.0
_EARLY: Final = 0.05  # by which a timer may fire early
_SILENCE_SECONDS: Final = 30.0  # until the response head is complete, and between two parts of the body


class Transport(Protocol):
    """An object that sends a request once and returns the response."""

    async def send(self, request: Request) -> Response:
        """Send a request and return the complete response, whatever its status.

        Raises:
            TransportError: No response came, or an incomplete one.
        """
        ...


@define(eq=False, repr=False)
class AiohttpTransport:
    """A transport that sends requests to one region with one key, over aiohttp.

    Attributes:
        region: Region with its base URL.
        key: API key, or None for requests without a key.
        connections: The HTTP session; copies of this transport share it.
        timeout: Seconds for one attempt, from sending to the last byte of the body; None for no limit.
        proxy: URL of an HTTP proxy, or None.
        trust: TLS context that verifies servers, or None for the system's authorities.
        user_agent: Name of the program, or None.
    """

    region: Region
    key: ApiKey | None
    connections: HttpSession
    timeout: float | None
    proxy: str | None = None
    trust: ssl.SSLContext | None = None
    user_agent: str | None = None
    _options: dict[str, Any] = field(init=False)  # of each request
    _keyed: tuple[aiohttp.ClientMiddlewareType] = field(init=False)
    _keyless: tuple[aiohttp.ClientMiddlewareType] = field(init=False)
    _silence: float | None = field(init=False)
    _until_head: float | None = field(init=False)
    _origin: tuple[str, str] = field(init=False)
    _prefix: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        base = URL(self.region.base_url, encoded=True)
        self._origin, self._prefix = (base.scheme, base.raw_authority), base.raw_path.rstrip("/")
        self._silence = _least(_SILENCE_SECONDS, self.timeout)
        # In a borrowed session a request may have to wait for a connection. Then the server is not the silent one.
        is_borrowed = self.connections.is_borrowed
        sock_read, self._until_head = (self._silence, self.timeout) if is_borrowed else (None, self._silence)
        authorization = None if self.key is None else self.key.authorization
        send_once = partial(self.connections.guard.send_once, patience=self._until_head)
        self._keyed = (partial(send_once, authorization=authorization),)
        self._keyless = (partial(send_once, authorization=None),)
        limits = aiohttp.ClientTimeout(
            total=None,
            connect=self._until_head,
            sock_connect=_least(_CONNECT_SECONDS, self.timeout),
            sock_read=sock_read,
            ceil_threshold=inf,  # else aiohttp rounds the time of its timers up to whole seconds
        )
        # No br or zstd, so that a hostile body reaches fewer decoders.
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": _name_program(self.user_agent),
        }
        self._options = {
            "headers": CIMultiDict(headers),
            "allow_redirects": False,
            "timeout": limits,
            "proxy": self.proxy,
            "ssl": True if self.trust is None else self.trust,
            "raise_for_status": False,
            "read_bufsize": _BUFFER_BYTES,
            "auto_decompress": False,  # also if a borrowed session enables it: see `compression`
        }

    async def send(self, request: Request) -> Response:
        """Send a request once and return the response, whatever its status.

        Raises:
            ConfigError: The client is not open here, or has no key. Or a borrowed HTTP session failed: then
                `attempts` is 1, because the request may have been sent.
            ConnectError: The connection failed.
            TransportTimeoutError: The response was not complete within `timeout`, its head did not come within 30 s,
                or the body paused for 30 s.
            ProtocolError: The response is not valid HTTP, or its body is too large or has too many chunks.
            TransportError: The connection broke before the response was complete.
        """
        (session, loop), url = self.connections.use(), self._url(request)
        failure: IsNotAIError
        answer: aiohttp.ClientResponse | None = None
        body: bytes | None = None
        begun = loop.time()
        try:
            answer = await self._ask(session, request, url)
            body = take_body(answer)
            if body is None:
                body = await self._read_body(answer, begun)
            content = self._unpack(answer, body)
            if content is None:
                # Not `asyncio.to_thread`, because its frame would show them.
                content = await loop.run_in_executor(None, self._unpack_large, answer, body)
            return self._build_response(request, answer, content)
        except ProtocolError as error:
            failure = error.with_traceback(None)
        except (SentOnceError, aiohttp.ClientError, OSError) as error:
            failure = translate(error, url.raw_authority, self._scrub_pieces)
        except (RuntimeError, ValueError) as error:
            if not self.connections.is_borrowed:  # it comes from the caller's own trace_configs
                raise
            failure = ConfigError(f"the HTTP session cannot be used: {error}; {_BORROWED}")
        finally:
            is_unanswered = answer is None
            answer = body = None  # they are unscrubbed, and a traceback may show the locals of its frames
        failure.region, failure.attempts, failure.elapsed = self.region.name, 1, loop.time() - begun
        if is_unanswered:
            self.connections.distrust(failure)
            self._hint_at_proxy(failure)
        self._name_bound(failure)
        try:
            raise failure
        finally:
            del failure  # as in `ConnectionGuard.send_once`

    def _hint_at_proxy(self, failure: IsNotAIError) -> None:
        if not isinstance(failure, ConnectError) or self.proxy is not None:
            return
        if name := name_unused_proxy(self.region.base_url):
            add_words(failure, f"{name} is set and not used: to use it, pass trust_env=True")

    def _name_bound(self, failure: IsNotAIError) -> None:
        """Add to the error of a timeout which bound ended the attempt."""
        if not isinstance(failure, TransportTimeoutError):
            return
        bounds = (
            (self.timeout, "the timeout of {:g} s passed"),
            (_SILENCE_SECONDS, "nothing came for {:g} s"),
            (_CONNECT_SECONDS, "nothing came for {:g} s"),
        )
        for seconds, words in bounds:
            if seconds is not None and failure.elapsed >= seconds - _EARLY:
                add_words(failure, words.format(seconds))
                return

    def _url(self, request: Request) -> URL:
        if request.authenticated and self.key is None:
            raise ConfigError("no API key; pass api_key= or set ISNOTAI_API_KEY", is_key_missing=True)
        path, _, query = request.target.partition("?")
        if not path.startswith("/"):
            raise ConfigError(f"the path of {request.operation} would leave {self.region.base_url}; nothing was sent")
        # Built from parts. Scheme and authority come from the region, so no path or query can change the host.
        scheme, authority = self._origin
        return URL.build(
            scheme=scheme, authority=authority, path=self._prefix + path, query_string=query, encoded=True
        )

    def _ask(self, session: aiohttp.ClientSession, request: Request, url: URL) -> Awaitable[aiohttp.ClientResponse]:
        middlewares = self._keyed if request.authenticated else self._keyless
        answer = session.get(url, middlewares=middlewares, **self._options)
        # The code of others may wait for anything: no limit of aiohttp and no timer of connections ends that.
        runs_code_of_others = self.connections.is_borrowed or self.connections.trace_configs
        return self._wait_for_head(answer) if runs_code_of_others else answer

    async def _wait_for_head(self, answer: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self._until_head):
            return await answer

    def _read_body(self, answer: aiohttp.ClientResponse, begun: float) -> Awaitable[bytes]:
        end = None if self.timeout is None else begun + self.timeout
        return read_body(answer, silence=self._silence, end=end)

    def _unpack(self, answer: aiohttp.ClientResponse, body: bytes) -> bytes | None:
        """Decompress a body and remove the key; return None if it is large.

        Raises:
            ProtocolError: The body of a success is not good.
        """
        encodings = answer.headers.getall("Content-Encoding", ())
        if answer.status >= 400:
            return self._scrub_body(unpack_error(body, encodings, MAX_ERROR_BODY_BYTES))
        content = unpack(body, encodings, _SMALL_BYTES) if encodings else body
        return self._scrub_body(content) if len(content) <= _SMALL_BYTES else None

    def _unpack_large(self, answer: aiohttp.ClientResponse, body: bytes) -> bytes:
        content = unpack(body, answer.headers.getall("Content-Encoding", ()), MAX_BODY_BYTES)
        if len(content) > MAX_BODY_BYTES:
            raise ProtocolError(_TOO_LARGE)
        return self._scrub_body(content)

    def _build_response(self, request: Request, answer: aiohttp.ClientResponse, body: bytes) -> Response:
        return Response(request, answer.status, self._read_headers(answer), body, self.region.name)

    def _scrub_body(self, body: bytes) -> bytes:
        return body if self.key is None else self.key.scrub(body)  # a server may echo the request

    def _read_headers(self, answer: aiohttp.ClientResponse) -> Headers:
        if self.key is None or not self.key.is_in(b"\n".join(chain.from_iterable(answer.raw_headers))):
            return Headers(answer.headers)
        scrub = self.key.scrub_text
        return Headers(CIMultiDict([(scrub(name), scrub(value)) for name, value in answer.headers.items()]))

    def _scrub_pieces(self, text: str) -> str:
        return text if self.key is None else self.key.scrub_pieces(text)


_BORROWED: Final = "the session passed as http_session= must be open, and belong to this event loop"


def _least(seconds: float, timeout: float | None) -> float | None:
    return None if timeout is None else min(seconds, timeout)


_MAX_USER_AGENT: Final = 256


def _name_program(user_agent: str | None) -> str:
    ours = f"isnotai-async/{__version__}"
    if user_agent is None:
        return ours
    given = check_text(user_agent, "user_agent").strip()
    if not (given and given.isascii() and len(given) <= _MAX_USER_AGENT):
        raise ConfigError(f"user_agent must be 1 to {_MAX_USER_AGENT} ASCII characters, like 'my-app/1.2'")
    return f"{ours} {given}"
