"""The fault server itself: what the other tests take from it on trust."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.answers import http_reply, sliced
from tests.faults.server import Cut, FaultServer, Received

ASK = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Name: value: more\r\n\r\n"


async def talk(server: FaultServer, *requests: bytes) -> bytes:
    """Send requests on one connection, each after the last one's reply began; return all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    heard = b""
    for request in requests:
        writer.write(request)
        heard += await reader.read(1)
    writer.write_eof()
    heard += await reader.read()
    writer.close()
    return heard


async def test_it_writes_what_it_was_told_and_records_what_it_read() -> None:
    async with FaultServer(b"one", sliced(b"two"), lambda request: request.target.encode()) as server:
        assert await talk(server, ASK, ASK, ASK, ASK) == b"onetwo/a?b=c/a?b=c"
        assert server.requests[0] == Received("GET /a?b=c HTTP/1.1", [("host", "x"), ("x-name", "value: more")], 1)
        assert (len(server.requests), server.connections) == (4, 1)
        await server.until(lambda: server.open_connections == 0)


async def test_it_speaks_first_and_closes_where_it_was_told() -> None:
    async with FaultServer([b"bye", Cut.CLOSE], greeting=b"hello ") as server:
        assert await talk(server, ASK) == b"hello bye"


async def test_a_reset_is_one() -> None:
    async with FaultServer([b"x", asyncio.Event(), Cut.RESET], greeting=[Cut.RESET]) as server:
        with pytest.raises(ConnectionResetError):
            await talk(server, ASK)


async def test_a_pause_ends_when_the_test_says_so_and_when_the_client_leaves() -> None:
    gate = asyncio.Event()
    async with FaultServer([b"x", gate, b"y"], [b"x", asyncio.Event(), b"never"]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ASK)
        assert await reader.readexactly(1) == b"x"
        gate.set()
        assert await reader.readexactly(1) == b"y"
        assert await talk(server, ASK) == b"x"
        writer.close()
        await server.until(lambda: server.open_connections == 0)


async def test_endless_replies_end_with_the_client() -> None:
    async with FaultServer([lambda: iter(lambda: b"x" * 1000, b"")]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ASK)
        assert await reader.readexactly(100_000) == b"x" * 100_000
        writer.transport.abort()
        await server.until(lambda: server.open_connections == 0)


async def test_a_mistake_in_a_script_fails_its_test() -> None:
    def mistake(request: Received) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with FaultServer(mistake) as server:
            await talk(server, ASK)


async def test_a_request_that_nobody_expected_fails_its_test() -> None:
    with pytest.raises(AssertionError, match="no request was expected"):
        async with FaultServer() as server:
            await talk(server, ASK)


def test_a_correct_reply_says_how_long_it_is() -> None:
    assert http_reply(b"body", headers=[("X", "y")]).endswith(b"X: y\r\nContent-Length: 4\r\n\r\nbody")
