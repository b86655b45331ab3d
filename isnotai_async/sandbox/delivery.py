"""How an answer leaves: whole, slowly, cut or not at all. The only module beside `app` that knows aiohttp."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web
from attrs import evolve

from isnotai_async.sandbox.faults import Delivery, Fault
from isnotai_async.sandbox.responses import Answer

# l_onoff=1, l_linger=0: closing then sends RST instead of FIN (socket(7), SO_LINGER).
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def deliver(request: web.BaseRequest, answer: Answer, fault: Fault | None) -> web.StreamResponse:
    """Send an answer the way its fault wants.

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


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
    # aiohttp finds the transport closed and drops this response.
    return web.Response()


def _cut(request: web.BaseRequest, answer: Answer, *, chunked: bool) -> web.StreamResponse:
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


async def _drip(request: web.BaseRequest, answer: Answer, fault: Fault) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    for start in range(0, len(answer.body), fault.piece):
        await response.write(answer.body[start : start + fault.piece])
        await asyncio.sleep(fault.drip)
    return response


def _corrupted(answer: Answer) -> Answer:
    packed = answer if answer.headers.get("Content-Encoding") == "gzip" else answer.compressed("gzip")
    middle = len(packed.body) // 2
    spoilt = bytes(byte ^ 0xFF for byte in packed.body[middle : middle + 8])
    return evolve(packed, body=packed.body[:middle] + spoilt + packed.body[middle + 8 :])
