"""The body of an answer: how much of it is read, and how long for.

Decompressed bytes count, so neither a gzip bomb nor an endless body hurts.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

import aiohttp

from isnotai_async.errors import ProtocolError

MAX_BODY_BYTES: Final = 8 * 2**20
"""Largest decoded body of a success. A page of 100 events is about 12 KiB."""

MAX_ERROR_BODY_BYTES: Final = 64 * 2**10
"""How much is read of the body of an error; the rest is left and the connection closed."""

_ERROR_SECONDS: Final = 5.0  # for the body of an error, whose status says what there is to know


def take_body(answer: aiohttp.ClientResponse) -> bytes | None:
    """Take a body that came in one piece with its head, as those of pages do; None where it is to be waited for."""
    longest = MAX_BODY_BYTES if answer.status < 400 else MAX_ERROR_BODY_BYTES
    is_there = answer.closed and answer.content.total_bytes <= longest
    return answer.content.read_nowait() if is_there else None


async def read_body(answer: aiohttp.ClientResponse, *, silence: float | None, end: float | None) -> bytes:
    """Read a body, and let go of the connection: for the next request, or closed where the body was not read whole.

    Args:
        answer: Its head has come.
        silence: Seconds after which the next part has to be there; None for no limit.
        end: When the body has to be there, by the loop's clock; None for no limit.

    Raises:
        TimeoutError: One of the two has passed.
        ProtocolError: The body is too large.
        aiohttp.ClientError: It broke off, or cannot be decompressed. None of this where the answer is an error: then
            the status has come, and says what there is to know.
    """
    status, content = answer.status, answer.content
    try:
        async with asyncio.timeout_at(end):
            if status >= 400:
                return await _read_of_error(content, end)
            return await _read_all(content, silence)
    finally:
        if not answer.closed:
            answer.close()
        del answer  # its repr has the headers as they came, and a traceback may show the locals of its frames


async def _read_all(content: aiohttp.StreamReader, silence: float | None) -> bytes:
    body = bytearray()
    while chunk := await _read_chunk(content, silence):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            size = MAX_BODY_BYTES >> 20
            raise ProtocolError(f"the body is larger than {size} MiB decoded, which no page of this API is")
    return bytes(body)


async def _read_chunk(content: aiohttp.StreamReader, silence: float | None) -> bytes:
    async with asyncio.timeout(silence):
        return await content.readany()


async def _read_of_error(content: aiohttp.StreamReader, end: float | None) -> bytes:
    left = inf if end is None else end - asyncio.get_running_loop().time()
    body = bytearray()
    try:
        async with asyncio.timeout(min(_ERROR_SECONDS, left / 2)):
            while len(body) <= MAX_ERROR_BODY_BYTES and (chunk := await content.readany()):
                body += chunk
    except (aiohttp.ClientError, TimeoutError):
        pass
    return bytes(body[:MAX_ERROR_BODY_BYTES])
