"""Decompresses a whole body, and rejects one that is cut or damaged. It knows no HTTP but the names of encodings.

aiohttp could decompress while it receives. But it does not look whether a gzip member has come to its end. So a body
with a flipped bit, whose checksum was cut off, would be taken for good. It does not know ``x-gzip`` either.

zlib works here on one body in one call, which takes 14 µs for a page of 100 events, and 17 µs in aiohttp.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from isnotai_async.errors import ProtocolError, quoted

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15
_DEFLATE: Final = "deflate"
_KNOWN: Final = frozenset({"gzip", "x-gzip", _DEFLATE})  # x-gzip is gzip: RFC 9110, section 8.4.1.3

_PIECE_BYTES: Final = 64 * 2**10
"""How much is passed to zlib at once, because it copies what stands after the end of a member."""

_MOST_MEMBERS: Final = 1000  # 8 MiB have 128 if they are as small as the format BGZF makes them


class _DamagedError(Exception):
    """A compressed body is cut or damaged. `content` is what could be decompressed."""

    def __init__(self, content: bytes) -> None:
        self.content = content


class _UnknownEncodingError(Exception):
    """A body has an encoding that was not asked for."""


def unpack(body: bytes, encodings: Sequence[str], limit: int) -> bytes:
    """Decompress a whole body, up to one byte more than `limit`: that one shows that there is more.

    Args:
        body: The body as it was received; an empty one is empty.
        encodings: All values of the header Content-Encoding.
        limit: Bytes after which to stop.

    Raises:
        ProtocolError: The body is cut or damaged, has something after its end, or an encoding that was not asked for.
    """
    failure: ProtocolError
    try:
        return _decompress(body, _read_encoding(encodings), limit)
    except _DamagedError:
        failure = ProtocolError("the compressed body is cut or damaged; check the proxies in between, or try later")
        failure.retry_limit = None  # as any other body that was damaged on its way
    except _UnknownEncodingError as error:
        failure = ProtocolError(f"the body is encoded as {quoted(str(error))}, which was not asked for")
        failure.retry_limit = 1
    try:
        raise failure  # outside of the except clause: the cause holds a part of the body
    finally:
        del failure


def unpack_error(body: bytes, encodings: Sequence[str], limit: int) -> bytes:
    """Decompress as much of an error response's body as there is, up to `limit`. Its status is what matters."""
    try:
        return _decompress(body, _read_encoding(encodings), limit)[:limit]
    except _DamagedError as error:
        return error.content[:limit]
    except _UnknownEncodingError:
        return body[:limit]


def _read_encoding(values: Sequence[str]) -> str:
    names = [name for value in values for part in value.split(",") if (name := part.strip().lower())]
    names = [name for name in names if name != "identity"]
    if not names:
        return ""
    if len(names) > 1 or names[0] not in _KNOWN:
        raise _UnknownEncodingError(", ".join(names))
    return names[0]


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    if not (body and encoding):
        return body
    window = _window_of(body, encoding)
    inflater, members = zlib.decompressobj(window), 1
    content, rest = bytearray(), memoryview(body)
    try:
        while rest and len(content) <= limit:
            if inflater.eof:  # of one member
                members += 1
                if encoding == _DEFLATE or members > _MOST_MEMBERS:
                    raise _DamagedError(bytes(content))
                inflater = zlib.decompressobj(window)
            piece = rest[:_PIECE_BYTES]
            content += inflater.decompress(piece, limit + 1 - len(content))
            rest = rest[len(piece) - len(inflater.unused_data) :]
    except zlib.error:
        raise _DamagedError(bytes(content)) from None
    if not inflater.eof and len(content) <= limit:
        raise _DamagedError(bytes(content))
    return bytes(content)


def _window_of(body: bytes, encoding: str) -> int:
    if encoding != _DEFLATE:
        return _GZIP
    # Some servers send deflate without the header of zlib, whose first byte ends in 8 (RFC 1950, section 2.2).
    return _ZLIB if body[0] & 0xF == 8 else _RAW
