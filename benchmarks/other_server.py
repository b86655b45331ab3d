"""A second server of pages that shares no code with `page_server`: what is fast with one server only was tuned to it.

It is the server that one would write with asyncio's streams: it reads a request line by line, builds each body once,
and sends head and body apart. Ids are UUIDs, the head is that of a web framework, and each answer has a request id.
The session id says what to send, as in `page_server`.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from functools import cache
from typing import Final
from urllib.parse import parse_qs, urlsplit

_SPACE: Final = uuid.UUID("6f2f3c1e-58d4-4b6e-9a56-0e6a3a1d7c11")
_TYPES: Final = {4: "visibility_change", 11: "pointer_trajectory", 23: "clipboard_paste", 42: "keypress"}


@cache
def build_body(session: str, page: int) -> bytes:
    """Build one page of a session; sizes are those that `bench_pages` expects."""
    pages, events = map(int, session.rpartition(".")[2].split("x"))
    types = list(_TYPES.items())
    rows = [
        {
            "eventId": str(uuid.uuid5(_SPACE, f"{page}/{index}")),
            "messageId": types[index * 5 % 4][0],
            "eventTypeName": types[index * 5 % 4][1],
            "timestamp": 1_781_092_800_000 + 17 * (page * events + index),
            "payloadSize": index % 90,
        }
        for index in range(events)
    ]
    more = page + 1 < pages
    cursor = f"{uuid.uuid5(_SPACE, f'page {page + 1}').hex}-{page + 1}" if more else None
    return json.dumps({"data": rows, "pagination": {"nextCursor": cursor, "hasMore": more, "limit": events}}).encode()


def find_body(target: str) -> bytes:
    """Return the body for the target of a request."""
    parts = urlsplit(target)
    if parts.path == "/cpu":
        return json.dumps(time.process_time()).encode()
    cursor = parse_qs(parts.query).get("cursor", ["0"])[0]
    return build_body(parts.path.split("/")[3], int(cursor.rpartition("-")[2]))


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    number = 0
    while request := await reader.readline():
        while await reader.readline() not in {b"\r\n", b""}:
            pass
        body, number = find_body(request.split()[1].decode()), number + 1
        head = (
            "HTTP/1.1 200 OK\r\ndate: Wed, 10 Jun 2026 12:00:00 GMT\r\nserver: uvicorn\r\n"
            "content-type: application/json; charset=utf-8\r\ncache-control: no-store\r\nvary: Accept-Encoding\r\n"
            f"x-request-id: {number:032x}\r\nx-isnotai-tier: enterprise\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode())
        writer.write(body)
        await writer.drain()
    writer.close()


async def serve() -> None:
    """Serve on a free port of the loopback, and print the port."""
    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
