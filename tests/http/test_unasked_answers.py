"""An answer that no request asked for: it must not be given to the next request, and shift all that follow."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

import isnotai_async as isnotai
from tests.faults.answers import event_row, http_chunk, http_head, json_reply, listing
from tests.faults.clients import build_client, check_error, connected
from tests.faults.server import FaultServer, Received, Reply

both_sessions = pytest.mark.parametrize("is_borrowed", [False, True], ids=["own", "borrowed"])


def page_of(name: str) -> bytes:
    """Answer with one event, whose id is that of its session."""
    return json_reply(listing([event_row(1) | {"eventId": name}]))


def session_of(request: Received) -> str:
    return request.target.split("/")[3]


UNASKED: dict[str, bytes] = {
    "a page": page_of("stray"),
    "a page and a half": page_of("stray") + page_of("stray")[:-5],
    "a head alone": http_head(200, [("Content-Length", "10")]),
    "chunks": http_head(200, [("Transfer-Encoding", "chunked")]) + http_chunk(b"{}"),
    "an interim answer": http_head(103),
    "408 of a proxy": http_head(408, [("Content-Length", "0")]),
    "no HTTP": b"220 mail.example ESMTP\r\n",
}


async def turn_the_loop() -> None:
    """Let the server write, and the client read what it wrote."""
    for _ in range(30):
        await asyncio.sleep(0)


@asynccontextmanager
async def client_of(server: FaultServer, *, is_borrowed: bool) -> AsyncIterator[isnotai.Client]:
    if not is_borrowed:
        async with connected(server) as client:
            yield client
        return
    async with server, aiohttp.ClientSession() as session, build_client(server, http_session=session) as client:
        yield client


async def read_id(client: isnotai.Client, session: str) -> str:
    return (await client.list_events(session)).data[0].event_id


@both_sessions
@pytest.mark.parametrize("name", UNASKED)
async def test_an_answer_that_comes_while_a_connection_is_idle_is_given_to_no_request(
    name: str, is_borrowed: bool
) -> None:
    gate = asyncio.Event()

    def reply(request: Received) -> Reply:
        asked = page_of(session_of(request))
        return [asked, gate, UNASKED[name]] if session_of(request) == "a" else asked

    server = FaultServer(reply)
    async with client_of(server, is_borrowed=is_borrowed) as client:
        found = [await read_id(client, "a")]
        gate.set()
        await turn_the_loop()
        found += [await read_id(client, session) for session in "bcd"]
    assert found == ["a", "b", "c", "d"]
    assert [request.connection for request in server.requests] == [1, 2, 2, 2]


@both_sessions
async def test_a_connection_is_asked_before_each_use_and_not_only_the_first(is_borrowed: bool) -> None:
    gate = asyncio.Event()

    def reply(request: Received) -> Reply:
        asked = page_of(session_of(request))
        return [asked, gate, page_of("stray")] if session_of(request) == "d" else asked

    server = FaultServer(reply)
    async with client_of(server, is_borrowed=is_borrowed) as client:
        found = [await read_id(client, session) for session in "abcd"]
        gate.set()
        await turn_the_loop()
        found.append(await read_id(client, "e"))
    assert found == ["a", "b", "c", "d", "e"]
    assert [request.connection for request in server.requests] == [1, 1, 1, 1, 2]


async def test_each_idle_connection_that_received_something_is_passed_over() -> None:
    gate, together = asyncio.Event(), asyncio.Barrier(4)

    def reply(request: Received) -> Reply:
        asked = page_of(session_of(request))
        if len(server.requests) > 4:
            return asked
        here = asyncio.Event()
        meeting = asyncio.create_task(together.wait())
        meeting.add_done_callback(lambda _: here.set())
        return [here, asked, gate, page_of("stray")]

    server = FaultServer(reply)
    async with connected(server) as client:
        await asyncio.gather(*(read_id(client, f"s{number}") for number in range(4)))
        gate.set()
        await turn_the_loop()
        assert await read_id(client, "b") == "b"
        await server.until(lambda: server.open_connections == 1)
    assert server.connections == 5


@both_sessions
async def test_what_waits_unread_in_the_socket_is_seen_before_the_request_is_written(is_borrowed: bool) -> None:
    """A loop that was busy has not read it yet, so aiohttp knows nothing of it."""
    server = FaultServer(lambda request: page_of(session_of(request)))
    async with client_of(server, is_borrowed=is_borrowed) as client:
        assert await read_id(client, "a") == "a"
        os.write(server.sockets[0], page_of("stray"))
        assert await read_id(client, "b") == "b"
    assert [request.connection for request in server.requests] == [1, 2]


async def test_a_connection_that_the_server_has_closed_costs_no_attempt_even_if_the_loop_did_not_see_it_yet() -> None:
    server = FaultServer(lambda request: page_of(session_of(request)))
    async with connected(server) as client:
        await read_id(client, "a")
        with socket.socket(fileno=os.dup(server.sockets[0])) as line:
            line.shutdown(socket.SHUT_RDWR)
        assert await read_id(client, "b") == "b"


async def test_a_server_that_answers_before_it_is_asked_is_a_protocol_error() -> None:
    async def wait_for_the_greeting(*_: object) -> None:
        await turn_the_loop()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(wait_for_the_greeting)
    server = FaultServer(page_of("b"), greeting=page_of("greeting"))
    async with connected(server, trace_configs=[tracing]) as client:
        with pytest.raises(isnotai.ProtocolError, match="answered before it was asked") as caught:
            await client.list_events("a")
    check_error(caught.value)
    assert server.requests == []


async def test_an_answer_that_comes_with_the_one_before_it_is_given_to_no_request() -> None:
    def reply(request: Received) -> Reply:
        asked = page_of(session_of(request))
        return asked + page_of("stray") if session_of(request) == "a" else asked

    server = FaultServer(reply)
    async with connected(server) as client:
        assert [await read_id(client, session) for session in "abc"] == ["a", "b", "c"]


async def test_an_unasked_answer_in_flight_costs_one_answer_and_does_not_shift_the_others() -> None:
    """HTTP/1.1 does not say which request an answer is for, so the one that is asked just then gets it."""
    gate = asyncio.Event()

    def reply(request: Received) -> Reply:
        asked = page_of(session_of(request))
        return [page_of("stray"), gate, asked] if session_of(request) == "b" else asked

    server = FaultServer(reply)
    async with connected(server) as client:
        found = [await read_id(client, session) for session in "ab"]
        gate.set()
        await turn_the_loop()
        found += [await read_id(client, session) for session in "cd"]
    assert found == ["a", "stray", "c", "d"]
