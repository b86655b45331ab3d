"""Connections that died unnoticed (sleep, NAT, a new address): one attempt finds out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

import isnotai_async as isnotai
from isnotai_async._http import http_session
from tests.faults.answers import event_page
from tests.faults.clients import build_client
from tests.faults.server import Cut, FaultServer, Received, Reply

IDLE = 8
AGAIN = isnotai.Retry(attempts=2, base=0.0)


def dying(how: Reply) -> FaultServer:
    """Serve `IDLE` requests at once, one a connection; from then on those connections are dead."""
    together = asyncio.Barrier(IDLE)

    def reply(request: Received) -> Reply:
        if request.connection > IDLE:
            return event_page(1)
        if len(server.requests) > IDLE:
            return how
        here = asyncio.Event()
        meeting = asyncio.create_task(together.wait())
        meeting.add_done_callback(lambda _: here.set())
        return [here, event_page(1)]

    server = FaultServer(reply)
    return server


@asynccontextmanager
async def idle_client(server: FaultServer, *, is_borrowed: bool = False, **options: Any) -> AsyncIterator[Any]:
    """Open a client and leave `IDLE` connections idle in its pool."""
    async with server, aiohttp.ClientSession() as session:
        given = {"http_session": session} if is_borrowed else {}
        async with build_client(server, **given, **options) as client:
            patient = client.with_options(timeout=None)  # none may be sent again, however busy the machine is
            await asyncio.gather(*(patient.list_events("s1") for _ in range(IDLE)))
            assert server.connections == IDLE
            yield client


@pytest.mark.parametrize("is_borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("how", [[Cut.RESET], [Cut.CLOSE], [asyncio.Event()]], ids=["reset", "closed", "silent"])
async def test_after_an_idle_connection_died_the_next_attempt_makes_a_new_one(how: Reply, is_borrowed: bool) -> None:
    server = dying(how)
    async with idle_client(server, is_borrowed=is_borrowed, retry=AGAIN, timeout=0.5) as client:
        await client.list_events("s1")
        await server.until(lambda: server.open_connections == 1)
    dead, new = (request.connection for request in server.requests[IDLE:])
    assert (dead <= IDLE, new) == (True, IDLE + 1)


async def test_a_caller_that_gave_up_waiting_is_not_given_the_next_dead_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_session, "_SILENT_SECONDS", 0.1)
    server = dying([asyncio.Event()])
    async with idle_client(server) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.list_events("s1")
        await client.list_events("s1")
    dead, new = (request.connection for request in server.requests[IDLE:])
    assert (dead <= IDLE, new) == (True, IDLE + 1)


async def test_a_caller_that_leaves_at_once_says_nothing_about_the_other_connections() -> None:
    server = dying([asyncio.Event()])
    async with idle_client(server) as client:
        call = asyncio.ensure_future(client.list_events("s1"))
        await server.until(lambda: len(server.requests) == IDLE + 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until(lambda: server.open_connections < IDLE)
        assert server.open_connections == IDLE - 1


async def test_a_connection_in_use_is_not_dropped_with_the_idle_ones() -> None:
    gate = asyncio.Event()

    def reply(request: Received) -> Reply:
        if request.target.startswith("/v1/sessions/long"):
            return [gate, event_page(1)]
        return [Cut.RESET] if request.target.startswith("/v1/sessions/dead") else event_page(1)

    async with FaultServer(reply) as server, build_client(server) as client:
        await client.list_events("s1")
        long = asyncio.ensure_future(client.list_events("long"))
        await server.until(lambda: len(server.requests) == 2)
        await client.list_events("s1")
        with pytest.raises(isnotai.TransportError):
            await client.list_events("dead")
        gate.set()
        assert len((await long).data) == 1


async def test_after_a_failed_connection_the_name_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultServer() as server:
        port = server.port
    loop, asked = asyncio.get_running_loop(), []
    look_up = loop.getaddrinfo

    async def count(*args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return await look_up(*args, **options)

    monkeypatch.setattr(loop, "getaddrinfo", count)
    async with build_client(f"http://localhost:{port}", retry=AGAIN) as client:
        with pytest.raises(isnotai.ConnectError):
            await client.list_events("s1")
    assert asked.count("localhost") == 2
