"""The same work by aiohttp alone, by bare sockets, and by this package; the other clients are in `other_clients`.

All walk a session to its end, page after page, and look at every row. Each is written as its own documentation does
it, with as many connections as there are walks at once, and nothing else tuned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from attrs import frozen

import isnotai_async as isnotai
from benchmarks.harness import KEY

HEADERS: Final = {"Authorization": f"Bearer {KEY}"}

Walk = Callable[[str], Awaitable[int]]
"""Walks the session with this id; returns the sum of its payload sizes, or of its bytes where it decodes nothing."""


@frozen
class Peer:
    """One contestant.

    Attributes:
        name: What the tables call it.
        open: Opens it for a base URL and so many walks at once.
        share: Part of the pages that it walks; the slow ones have less to do, to take about as long.
        decodes: Whether it makes values of the rows.
    """

    name: str
    open: Callable[[str, int], AbstractAsyncContextManager[Walk]]
    share: float = 1.0
    decodes: bool = True


def events_url(base_url: str, session_id: str) -> str:
    """Where the events of a session are."""
    return f"{base_url}/v1/sessions/{session_id}/events"


def next_cursor(body: bytes) -> str | None:
    """Look for the cursor in the tail of a body, without decoding it; None at the end."""
    tail = body[-120:]
    if b'"hasMore": false' in tail:
        return None
    return tail.partition(b'"nextCursor": "')[2].partition(b'"')[0].decode()


def sum_rows(rows: list[dict[str, Any]]) -> int:
    """Look at every row."""
    total: int = sum(row["payloadSize"] for row in rows)
    return total


@asynccontextmanager
async def open_sockets(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open connections of bare asyncio streams: what is left without a client. Nothing is decoded or checked."""
    where = urlsplit(base_url)
    idle = [await asyncio.open_connection(where.hostname, where.port, limit=2**18) for _ in range(concurrency)]

    async def walk(session_id: str) -> int:
        reader, writer = idle.pop()
        size = 0
        cursor: str | None = ""
        while cursor is not None:
            query = f"?cursor={cursor}" if cursor else ""
            target = f"/v1/sessions/{session_id}/events{query}"
            writer.write(
                f"GET {target} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
            size, cursor = size + len(body), next_cursor(body)
        idle.append((reader, writer))
        return size

    yield walk
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def open_bytes(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open aiohttp and decode nothing: the floor under every client that is built on it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def walk(session_id: str) -> int:
            url, size = events_url(base_url, session_id), 0
            cursor: str | None = ""
            while cursor is not None:
                async with session.get(f"{url}?cursor={cursor}" if cursor else url, headers=HEADERS) as reply:
                    body = await reply.read()
                size, cursor = size + len(body), next_cursor(body)
            return size

        yield walk


@asynccontextmanager
async def open_dicts(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open aiohttp, with ``await resp.json()``: plain dicts, nothing checked."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def walk(session_id: str) -> int:
            total, params = 0, dict[str, str]()
            while True:
                async with session.get(events_url(base_url, session_id), params=params, headers=HEADERS) as reply:
                    page = await reply.json()
                total += sum_rows(page["data"])
                if not page["pagination"]["hasMore"]:
                    return total
                params = {"cursor": page["pagination"]["nextCursor"]}

        yield walk


def _client(base_url: str, concurrency: int) -> isnotai.Client:
    return isnotai.Client(KEY, base_url=base_url, limiter=isnotai.Unlimited(), max_concurrency=concurrency)


@asynccontextmanager
async def open_pages(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open this package, page by page: frozen records, each value checked."""
    async with _client(base_url, concurrency) as client:

        async def walk(session_id: str) -> int:
            total = 0
            async for page in client.list_events(session_id).pages():
                total += sum(event.payload_size for event in page.data)
            return total

        yield walk


@asynccontextmanager
async def open_events(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open this package, event by event."""
    async with _client(base_url, concurrency) as client:

        async def walk(session_id: str) -> int:
            total = 0
            async for event in client.list_events(session_id):
                total += event.payload_size
            return total

        yield walk


SOCKETS = Peer("asyncio sockets, nothing decoded", open_sockets, decodes=False)
BYTES = Peer("aiohttp, bytes only", open_bytes, decodes=False)
DICTS = Peer("aiohttp + resp.json(), dicts", open_dicts)
PAGES = Peer("isnotai_async, .pages()", open_pages)
EVENTS = Peer("isnotai_async, every event", open_events)
