"""The HTTP listener of one region (aiohttp server), and how a response is delivered, delayed or cut.

`aiohttp.web.Server` and not an `Application`: one handler, no router and no middlewares, which saves a third of the
server's time per request; `routes` has the table.

This is the only module of the sandbox that uses aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from contextlib import suppress
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError
from attrs import define, evolve, field

from isnotai_async.errors import ConfigError, printable
from isnotai_async.sandbox.dispatch import Call, respond
from isnotai_async.sandbox.faults import Delivery, Fault
from isnotai_async.sandbox.region import SandboxRegion
from isnotai_async.sandbox.responses import SandboxReply, accepted_coding, worth_compressing

# l_onoff=1, l_linger=0: closing then sends RST instead of FIN (socket(7), SO_LINGER).
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def deliver(request: web.BaseRequest, answer: SandboxReply, fault: Fault | None) -> web.StreamResponse:
    """Send an answer in the way that its fault requires.

    Args:
        request: The request.
        answer: Its answer.
        fault: What goes wrong, or None.

    Returns:
        The response to hand to aiohttp; one whose status is 0 has no byte of it sent.
    """
    if fault is None:
        return _response(answer)
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.drip:
        return await _drip(request, answer, fault)
    match fault.delivery:
        case Delivery.RESET:
            return _reset(request)
        case Delivery.CUT | Delivery.CUT_CHUNK:
            return _cut(request, answer, chunked=fault.delivery is Delivery.CUT_CHUNK)
        case Delivery.CORRUPT_GZIP:
            return _response(_corrupted(answer))
    return _response(answer)


def _response(answer: SandboxReply) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
    # aiohttp finds the transport closed and drops this response.
    return web.Response()


def _cut(request: web.BaseRequest, answer: SandboxReply, *, chunked: bool) -> web.StreamResponse:
    half = answer.body[: len(answer.body) // 2]
    if chunked:
        # A chunk's announced size is in hexadecimal; the whole body is promised, half of it comes.
        length, half = "Transfer-Encoding: chunked", f"{len(answer.body):x}\r\n".encode() + half
    else:
        length = f"Content-Length: {len(answer.body)}"
    lines = [f"HTTP/1.1 {answer.status} Cut", length]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if request.transport is not None:
        request.transport.write("\r\n".join([*lines, "", ""]).encode() + half)
        request.transport.close()
    return web.Response(status=answer.status)


async def _drip(request: web.BaseRequest, answer: SandboxReply, fault: Fault) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    for start in range(0, len(answer.body), fault.piece):
        await response.write(answer.body[start : start + fault.piece])
        await asyncio.sleep(fault.drip)
    return response


def _corrupted(answer: SandboxReply) -> SandboxReply:
    packed = answer if answer.headers.get("Content-Encoding") == "gzip" else answer.compressed("gzip")
    middle = len(packed.body) // 2
    spoilt = bytes(byte ^ 0xFF for byte in packed.body[middle : middle + 8])
    return evolve(packed, body=packed.body[:middle] + spoilt + packed.body[middle + 8 :])


def _shorten(record: logging.LogRecord) -> bool:
    # What a client sent is no fault of the sandbox and needs no traceback. What follows the colon is the client's own
    # bytes, which may hold its key.
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        reason = printable(error.message.partition(":")[0])
        record.msg, record.args, record.exc_info = "malformed request: %s", (reason,), None
    return True


logger: Final = logging.getLogger("isnotai_async.sandbox")
logger.addFilter(_shorten)

# Seconds given to running answers when the sandbox closes; its own delays must not hold a test up.
_SHUTDOWN: Final = 0.1


@define(eq=False)
class Listener:
    """The HTTP server of one region of the sandbox, on one port.

    Args:
        region: The region.
    """

    region: SandboxRegion
    _runner: web.ServerRunner | None = field(default=None, init=False)

    async def start(self, host: str, port: int) -> str:
        """Listen.

        Args:
            host: Loopback address.
            port: Port, or 0 for a free one.

        Returns:
            The base URL.

        Raises:
            ConfigError: No asyncio event loop is running.
            OSError: The port is taken.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError("no asyncio event loop is running; the sandbox does not run on trio") from None
        # Cancel the handler when its client disconnects, so that slow faults do not continue without a client.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None, logger=logger)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = self._runner.addresses[0]
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{address[1]}"

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        stats = self.region.stats
        stats.begin(request.rel_url.raw_path)
        status = 0
        try:
            inward, outward = self.region.latency()
            if inward:
                await asyncio.sleep(inward)
            call = Call(request.method, request.rel_url.raw_path, request.query, request.headers)
            answer, fault = respond(self.region, call, asyncio.get_running_loop().time())
            if outward:
                await asyncio.sleep(outward)
            # What a fault sends instead goes out exactly as it was given.
            own = fault is None or fault.answer is None
            coding = accepted_coding(request.headers.get("Accept-Encoding", ""))
            if own and coding and self.region.options.compress and worth_compressing(answer):
                answer = answer.compressed(coding)
            if fault is None or fault.delivery is not Delivery.RESET:
                status = answer.status
            with suppress(ConnectionError):  # the client has gone
                return await deliver(request, answer, fault)
            return web.Response()
        finally:
            stats.end(status)
