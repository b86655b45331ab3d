"""A server in a process of its own that sends prebuilt pages, so that it is never the bottleneck.

It speaks as much HTTP as a keep-alive client needs: one request at a time, told apart by its cursor.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EVENTS = 100


def build_replies(pages: int) -> dict[bytes, bytes]:
    """Build the reply to each cursor; the first page has the empty one."""
    return {_cursor(page): _reply(page, pages) for page in range(pages)}


def _cursor(page: int) -> bytes:
    return b"cursor-%08d" % page if page else b""


def _reply(page: int, pages: int) -> bytes:
    names = ("keypress", "mouse_move", "scroll")
    more = page + 1 < pages
    rows = [
        {
            "eventId": f"evt_{page:06x}{index:06x}",
            "messageId": index % 3,
            "eventTypeName": names[index % 3],
            "timestamp": 1_781_092_800_000 + page * EVENTS + index,
            "payloadSize": index % 90,
        }
        for index in range(EVENTS)
    ]
    cursor = _cursor(page + 1).decode() if more else None
    body = json.dumps({"data": rows, "pagination": {"nextCursor": cursor, "hasMore": more, "limit": EVENTS}})
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-isnotai-tier: enterprise\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class _Pages(asyncio.Protocol):
    def __init__(self, replies: dict[bytes, bytes]) -> None:
        self._replies = replies
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            target = request.split(b" ", 2)[1]
            self._transport.write(self._replies[target.partition(b"cursor=")[2]])


async def _serve(pages: int) -> None:
    replies = build_replies(pages)
    server = await asyncio.get_running_loop().create_server(lambda: _Pages(replies), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def page_server(pages: int) -> Iterator[str]:
    """Run the server; gives its base URL."""
    command = [sys.executable, "-m", "benchmarks.page_server", str(pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
