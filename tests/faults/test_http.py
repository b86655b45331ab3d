"""What came back is hardly HTTP, or too much of it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable

import aiohttp
import anyio
import pytest

import isnotai_async as isnotai
from tests.faults.answers import event_page, http_chunk, http_head, http_reply
from tests.faults.clients import check_error, connected, failure_of
from tests.faults.server import Cut, FaultServer, Reply

BODY = event_page(1).partition(b"\r\n\r\n")[2]
CHUNKED = ("Transfer-Encoding", "chunked")


def ones(count: int, name: str = "X-Header-{}") -> list[tuple[str, str]]:
    return [(name.format(number), "1") for number in range(count)]


async def test_cookies_are_not_kept() -> None:
    cookies = [("Set-Cookie", f"name{number}=value; Path=/; Max-Age=9999") for number in range(100)]
    server = FaultServer(event_page(1, cursor="c2", headers=cookies), event_page(2))
    async with connected(server) as client:
        events = [event.event_id async for event in client.list_events("s1")]
    assert events == ["e1", "e2"]
    assert [request.header("cookie") for request in server.requests] == [None, None]


async def test_a_flood_of_cookies_is_a_protocol_error() -> None:
    cookies = [("Set-Cookie", f"name{number}=value") for number in range(5000)]
    await failure_of(FaultServer(event_page(1, headers=cookies)), isnotai.ProtocolError)


def with_headers(*headers: tuple[str, str], body: bytes = BODY) -> bytes:
    return http_head(200, [("Content-Type", "application/json"), *headers]) + body


LENGTH = ("Content-Length", str(len(BODY)))
NOT_HTTP: dict[str, Reply] = {
    "a header line of 9 KB": with_headers(LENGTH, ("X-Long", "x" * 9000)),
    "a header name of 9 KB": with_headers(LENGTH, ("x" * 9000, "1")),
    "more than 128 headers": with_headers(LENGTH, *ones(129)),
    "NUL in a header": with_headers(LENGTH, ("X-Nul", "a\0b")),
    "a control character in a name": with_headers(LENGTH, ("X-\x01", "1")),
    "CR in a header": with_headers(LENGTH, ("X-CR", "a\rb")),
    "two lengths": with_headers(LENGTH, ("Content-Length", "3")),
    "a negative length": with_headers(("Content-Length", "-1")),
    "a length that is no number": with_headers(("Content-Length", "many")),
    "a length of 400 digits": with_headers(("Content-Length", "9" * 400)),
    "length and chunks": with_headers(LENGTH, CHUNKED, body=http_chunk(BODY) + http_chunk(b"")),
    "a chunk size that is no number": with_headers(CHUNKED, body=b"zz\r\n" + BODY),
    "a chunk size of 100 digits": with_headers(CHUNKED, body=b"F" * 100 + b"\r\n" + BODY),
    "a chunk longer than it says": with_headers(CHUNKED, body=b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "no colon": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n" + BODY,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "a body cut short": [with_headers(("Content-Length", "1000")), Cut.CLOSE],
    "a chunk cut short": [with_headers(CHUNKED, body=b"fff\r\n" + BODY), Cut.CLOSE],
    "chunks without the last": [with_headers(CHUNKED, body=http_chunk(BODY)), Cut.CLOSE],
    "another protocol": http_reply(status=101, headers=[("Upgrade", "websocket"), ("Connection", "upgrade")]),
}


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_not_http_is_a_protocol_error_and_no_status_is_made_up(name: str) -> None:
    error = await failure_of(FaultServer(NOT_HTTP[name]), isnotai.ProtocolError)
    assert error.status in {None, 101}
    assert "400," not in str(error)
    assert "Bad Request" not in str(error)
    assert len(str(error)) < 1000


async def test_a_client_goes_on_after_an_answer_that_was_not_http() -> None:
    server = FaultServer(event_page(1, cursor="c2"), NOT_HTTP["SSH"], event_page(2))
    async with connected(server) as client:
        walk = client.list_events("s1")
        events = []
        with pytest.raises(isnotai.ProtocolError) as caught:
            async for event in walk:
                events.append(event.event_id)
        assert caught.value.position == walk.position
        events += [event.event_id async for event in walk]
    assert events == ["e1", "e2"]
    assert server.connections == 2, "the connection that spoke something else is not used again"


@pytest.mark.parametrize(
    "greeting", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]
)
async def test_a_server_that_speaks_first_is_not_taken_for_an_answer_of_the_api(greeting: bytes) -> None:
    server = FaultServer(event_page(1), greeting=greeting)
    async with connected(server, timeout=5.0) as client:
        with pytest.raises((isnotai.TransportError, isnotai.APIError)) as caught:
            await client.list_events("s1")
    check_error(caught.value)


EMPTY: dict[str, bytes] = {
    "200, no length": http_reply(),
    "200, no chunk": with_headers(CHUNKED, body=http_chunk(b"")),
    "200, blanks": http_reply(b" \r\n\t"),
}


@pytest.mark.parametrize("name", EMPTY)
async def test_an_empty_answer_is_the_gateways(name: str) -> None:
    error = await failure_of(FaultServer(EMPTY[name]), isnotai.GatewayError)
    assert name[:3] in str(error)


async def test_interim_answers_are_passed_over() -> None:
    early = http_head(103, [("Link", "</x>; rel=preload")])
    async with connected(FaultServer([early * 50, event_page(1)])) as client:
        page = await client.list_events("s1")
    assert page.data[0].event_id == "e1"


@pytest.mark.parametrize("status", [100, 102, 103])
async def test_a_flood_of_interim_answers_is_left_before_its_timeout(status: int) -> None:
    server = FaultServer([repeat(http_head(status) * 10)])
    async with connected(server, timeout=3_600.0) as client:
        with pytest.raises(isnotai.ProtocolError, match="more than 100 interim answers") as caught:
            await client.list_events("s1")
        await server.until(lambda: server.open_connections == 0)
    check_error(caught.value)


def repeat(data: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.repeat(data)


KILOBYTES = b" " * 65_536
ENDLESS: dict[str, Reply] = {
    "chunks": [http_head(200, [CHUNKED]), repeat(http_chunk(KILOBYTES))],
    "no length": [http_head(200, [("Connection", "close")]), repeat(KILOBYTES)],
    "a length of 1 TB": [http_head(200, [("Content-Length", str(10**12))]), repeat(KILOBYTES)],
    "headers": [b"HTTP/1.1 200 OK\r\n", repeat(b"X-More: 1\r\n")],
    "one header": [b"HTTP/1.1 200 OK\r\nX-Long: ", repeat(b"x" * 1000)],
    "a status line": [b"HTTP/1.1 200 ", repeat(b"O" * 1000)],
    "a chunk size": [http_head(200, [CHUNKED]) + b"5", repeat(b"0" * 1000)],
    "trailers": [http_head(200, [CHUNKED]) + http_chunk(BODY) + b"0\r\n", repeat(b"X-More: 1\r\n")],
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_an_endless_answer_is_left_and_its_connection_closed(name: str) -> None:
    server = FaultServer(ENDLESS[name])
    async with connected(server, timeout=20.0) as client:
        with pytest.raises(isnotai.ProtocolError) as caught:
            await client.list_events("s1")
        await server.until(lambda: server.open_connections == 0)
    check_error(caught.value)
    assert len(server.requests) == 1


MALFORMED_CHUNKS: dict[str, bytes] = {
    "a size that is no number": b"zzz\r\n",
    "a size that is too large": b"f" * 20 + b"\r\n",
    "no line end after the data": b"\r\nhello" + b"x" * 10,
    "a negative size": b"\r\nhello\r\n-1\r\n",
}


@pytest.mark.parametrize("name", MALFORMED_CHUNKS)
async def test_a_malformed_chunk_after_the_head_ends_the_attempt_at_once(name: str) -> None:
    has_head, trace = asyncio.Event(), aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        has_head.set()

    trace.on_request_end.append(note)
    malformed: Reply = [http_head(200, [CHUNKED]) + b"5", has_head, MALFORMED_CHUNKS[name]]
    server = FaultServer(malformed, event_page(1))
    async with connected(server, retry=isnotai.Retry(attempts=2, base=0.0), trace_configs=[trace]) as client:
        async with asyncio.timeout(10):  # and not after 30 s of silence
            page = await client.list_events("s1")

    assert (len(page.data), len(server.requests)) == (1, 2)


# Parsers drop both as they come, so that only time can bound them.
WITHOUT_END_OR_SIZE: dict[str, Reply] = {
    "row_27_a_chunk_extension": [http_head(200, [CHUNKED]) + b"5;", repeat(b"x" * 1000)],
}


@pytest.mark.parametrize("name", WITHOUT_END_OR_SIZE)
async def test_what_has_neither_end_nor_size_stops_with_the_timeout(name: str) -> None:
    server = FaultServer(WITHOUT_END_OR_SIZE[name])
    async with connected(server, timeout=0.3) as client:
        with pytest.raises(isnotai.TransportTimeoutError) as caught:
            await client.list_events("s1")
        await server.until(lambda: server.open_connections == 0)
    check_error(caught.value)


@pytest.mark.parametrize("name", ["chunks", "no length", "a length of 1 TB"])
async def test_an_endless_body_says_that_it_is_too_large(name: str) -> None:
    error = await failure_of(FaultServer(ENDLESS[name]), isnotai.ProtocolError)
    assert "larger than 8 MiB" in str(error)


async def test_of_an_endless_refusal_enough_is_read_to_tell_which() -> None:
    server = FaultServer([http_head(503, [CHUNKED]), repeat(http_chunk(b"<p>sorry</p>" * 1000))])
    async with connected(server, timeout=20.0) as client:
        with pytest.raises(isnotai.ServerError, match="sorry"):
            await client.list_events("s1")
        await server.until(lambda: server.open_connections == 0)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the entries vanish while a Path is made of them


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts files the way Linux shows them")  # noqa: PTH110
@pytest.mark.heavy
async def test_connections_that_close_leave_no_file_open() -> None:
    server = FaultServer(event_page(1, headers=[("Connection", "close")]))
    rounds, workers = 625, 8

    async def ask() -> None:
        for _ in range(rounds):
            await client.list_events("s1")

    async with connected(server) as client:
        before = open_files()
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(ask)
        await server.until(lambda: server.open_connections == 0)
        after = open_files()
    assert len(server.requests) == server.connections == rounds * workers
    assert after <= before + workers
