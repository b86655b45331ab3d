"""A server in a process and on a processor of its own, that sends prebuilt pages: it must never be the bottleneck.

It speaks as much HTTP as a keep-alive client needs. The session id says what to send: ``s7.40x100`` is a session of
40 pages of 100 events. With ``/60.40x100`` after its address, it lists 60 of those, quiet for two days. Answers may
be held back, to stand for a network's round trip.

It tells how much CPU it has used, so that each table can show how idle it was.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from attrs import define, field

from benchmarks.harness import SERVER_CORE, background

EVENTS = 100


def session_id(number: int, *, pages: int, events: int = EVENTS) -> str:
    """Name a session of so many pages with so many events each."""
    return f"s{number}.{pages}x{events}"


@cache
def build_replies(pages: int, events: int = EVENTS) -> dict[bytes, bytes]:
    """Build the reply to each cursor; the first page has the empty one."""
    return {_cursor(page): _reply(page, pages, events) for page in range(pages)}


def _cursor(page: int) -> bytes:
    return b"cursor-%08d" % page if page else b""


def _reply(page: int, pages: int, events: int) -> bytes:
    names = ("keypress", "mouse_move", "scroll")
    more = page + 1 < pages
    rows = [
        {
            "eventId": f"evt_{page:06x}{index:06x}",
            "messageId": index % 3,
            "eventTypeName": names[index % 3],
            "timestamp": 1_781_092_800_000 + page * events + index,
            "payloadSize": index % 90,
        }
        for index in range(events)
    ]
    cursor = _cursor(page + 1).decode() if more else None
    return _answer({"data": rows, "pagination": {"nextCursor": cursor, "hasMore": more, "limit": events}})


@cache
def build_listing(address: str) -> dict[bytes, bytes]:
    """Build the reply to each cursor of the sessions that an address lists."""
    count, _, size = address.partition(".")
    pages, events = map(int, size.split("x"))
    day = "2026-06-10T12:00:00Z"  # of the events
    names = [session_id(number, pages=pages, events=events) for number in range(int(count))]
    records = [{"id": name, "createdAt": day, "updatedAt": day, "status": "closed"} for name in names]
    replies = {}
    for page, first in enumerate(range(0, len(records), 100)):
        rows, more = records[first : first + 100], first + 100 < len(records)
        cursor = _cursor(page + 1).decode() if more else None
        answer = {"data": rows, "pagination": {"nextCursor": cursor, "hasMore": more, "limit": 100}}
        replies[_cursor(page)] = _answer(answer, date="Fri, 12 Jun 2026 12:00:00 GMT")
    return replies


def _answer(value: object, *, date: str = "") -> bytes:
    body = json.dumps(value)
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-isnotai-tier: enterprise\r\n"
        f"{f'Date: {date}' if date else 'Server: pages'}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


@cache
def _replies_of(path: bytes) -> dict[bytes, bytes]:
    if path.endswith(b"/sessions"):
        return build_listing(path.split(b"/")[1].decode())
    pages, _, events = path.split(b"/")[-2].partition(b".")[2].partition(b"x")
    return build_replies(int(pages), int(events))


class _Pages(asyncio.Protocol):
    def __init__(self, delay: tuple[float, float]) -> None:
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            self._send(request.split(b" ", 2)[1])

    def _send(self, target: bytes) -> None:
        path, _, query = target.partition(b"?")
        if path == b"/cpu":
            self._transport.write(_answer(time.process_time()))
            return
        reply = _replies_of(path)[query.partition(b"cursor=")[2].partition(b"&")[0]]
        if self._delay[1]:
            asyncio.get_running_loop().call_later(random.uniform(*self._delay), self._transport.write, reply)
        else:
            self._transport.write(reply)


async def _serve(delay: tuple[float, float]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Pages(delay), "127.0.0.1", 0, backlog=1_024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@define
class PageServer:
    """The server, as its clients see it.

    Attributes:
        base_url: Where it answers.
    """

    base_url: str
    _cpu: float = field(default=0.0, init=False)
    _since: float = field(default=0.0, init=False)

    def watch(self) -> None:
        """Begin to count how idle it is."""
        self._cpu, self._since = self._read_cpu(), time.perf_counter()

    @property
    def idle(self) -> float:
        """Share of the time since `watch` in which it had nothing to do."""
        return 1 - (self._read_cpu() - self._cpu) / (time.perf_counter() - self._since)

    def _read_cpu(self) -> float:
        with urllib.request.urlopen(f"{self.base_url}/cpu") as answer:
            return float(json.load(answer))


@contextmanager
def page_server(delay: tuple[float, float] = (0.0, 0.0), module: str = "page_server") -> Iterator[PageServer]:
    """Run the server.

    Args:
        delay: Least and most seconds by which each answer is held back.
        module: This module, or `other_server`, which holds nothing back.
    """
    with background(module, *map(str, delay), core=SERVER_CORE) as process:
        assert process.stdout is not None
        yield PageServer(f"http://127.0.0.1:{int(process.stdout.readline())}")


if __name__ == "__main__":
    asyncio.run(_serve((float(sys.argv[1]), float(sys.argv[2]))))
