"""A server scripted byte by byte, for answers that no HTTP library would send.

    async with FaultServer(json_reply({"data": []})) as server:
        ...  # ask server.base_url
        assert len(server.requests) == 1

What it says is one reply per request, in the order of their arrival; the last reply is given again and again, so a
request too many is counted rather than left hanging. A reply is bytes, or a list of steps, or a function that makes
either from the request. The steps:

- bytes are written as they are, each in a write of its own;
- an `asyncio.Event` waits until the test sets it (or the client leaves);
- a function of no arguments returns an iterable of bytes, which may be endless: it ends when the client leaves;
- `Cut.CLOSE` closes the connection, `Cut.RESET` resets it (RST).

After the last step the connection is open for the next request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self

from attrs import field, frozen


class Cut(Enum):
    """Ends of a connection."""

    CLOSE = "FIN"
    RESET = "RST"


Step = bytes | asyncio.Event | Cut | Callable[[], Iterable[bytes]]
Reply = bytes | Sequence[Step]
Headers = Sequence[tuple[str, str]]

_PATIENCE: Final = 20.0  # upper bound of every wait; a test that reaches it has failed


@frozen
class Received:
    """One request, as it came over the wire.

    Attributes:
        line: Its first line.
        headers: Names in lower case and values, in the order of arrival.
        connection: Number of the connection it came on, from 1.
    """

    line: str
    headers: Headers = field(repr=False)  # the key is among them
    connection: int

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        """Return a header's value; None where it is absent. It fails where there are several."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class FaultServer:
    """Plays a script on a free loopback port, and counts.

    Args:
        replies: What to answer, request by request.
        greeting: What to say on each new connection before anything is read.
        tls: Speak TLS with this context.

    Attributes:
        requests: Every request that arrived in full.
        connections: How many connections were accepted.
        open_connections: How many are open now.
        most_in_flight: How many requests were waiting for the end of their reply, at most.
    """

    def __init__(
        self,
        *replies: Reply | Callable[[Received], Reply],
        greeting: Reply = b"",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.open_connections = 0
        self.most_in_flight = 0
        self._replies = replies
        self._greeting = greeting
        self._tls = tls
        self._in_flight = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._failures: list[BaseException] = []
        self._server: asyncio.Server

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def base_url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def sockets(self) -> list[int]:
        """The file descriptors of all connections, in the order of their arrival; -1 for one that was closed."""
        return [writer.get_extra_info("socket").fileno() for writer in self._writers]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something that this server counts is so."""
        async with asyncio.timeout(_PATIENCE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, limit=2**20)
        if self._tls is not None:
            self._expect_failed_handshakes(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if error is None and self._failures:
            raise self._failures[0]

    def _expect_failed_handshakes(self, loop: asyncio.AbstractEventLoop) -> None:
        # In debug mode asyncio reports a client that rejects the certificate, which is what such tests are about.
        handle = loop.get_exception_handler()

        def pass_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            is_expected = context["message"] == "Error on transport creation for incoming connection"
            if handle is not None and not is_expected:
                handle(loop, context)

        loop.set_exception_handler(pass_over)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        self._count(connections=1)
        task = asyncio.create_task(self._serve(self.connections, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # one that is cancelled before its first step closes nothing

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(reader, writer)
        try:
            await line.play(self._greeting)
            while not writer.is_closing():
                await self._exchange(number, line)
        except (OSError, EOFError, ssl.SSLError):
            pass  # the client left, which is what many tests are about
        except Exception as error:  # noqa: BLE001 - a mistake in a script must fail its test, not vanish in a task
            self._failures.append(error)
        finally:
            self._count(connections=-1)
            await line.close()

    async def _exchange(self, number: int, line: _Line) -> None:
        head = (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.rstrip("\r\n").split("\r\n")
        pairs = [field.partition(":") for field in rest]
        request = Received(first, [(name.lower(), value.strip()) for name, _, value in pairs], number)
        self.requests.append(request)
        assert self._replies, f"no request was expected, and {first!r} came"
        reply = self._replies[min(len(self.requests), len(self._replies)) - 1]
        self._count(in_flight=1)
        try:
            await line.play(reply(request) if callable(reply) else reply)
        finally:
            self._count(in_flight=-1)

    def _count(self, *, connections: int = 0, in_flight: int = 0) -> None:
        self.open_connections += connections
        self._in_flight += in_flight
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        self._changed.set()


class _Line:
    """One connection, and the steps played on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def play(self, reply: Reply) -> None:
        for step in [reply] if isinstance(reply, bytes) else reply:
            if isinstance(step, Cut):
                self._cut(step)
                return
            if isinstance(step, asyncio.Event):
                await self._pause(step)
            else:
                for piece in [step] if isinstance(step, bytes) else step():
                    await self._write(piece)

    async def _write(self, piece: bytes) -> None:
        self._writer.write(piece)
        await self._writer.drain()
        await asyncio.sleep(0)  # the client, on the same loop, gets to read this piece before the next one

    async def _pause(self, event: asyncio.Event) -> None:
        # A client that waits for an answer sends nothing, so whatever is read here is the end of the connection.
        left, awaited = asyncio.create_task(self.reader.read(1)), asyncio.create_task(event.wait())
        try:
            await asyncio.wait({left, awaited}, return_when=asyncio.FIRST_COMPLETED)
            if not event.is_set():
                raise ConnectionResetError
        finally:
            left.cancel()
            awaited.cancel()
            await asyncio.gather(left, awaited, return_exceptions=True)

    def _cut(self, how: Cut) -> None:
        if how is Cut.RESET:
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()
