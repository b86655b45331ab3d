"""Response heads that are late: one timer ends each request when it is due, whatever the others do."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

import isnotai_async as isnotai
from tests.faults.answers import event_page
from tests.faults.clients import build_client, connected
from tests.faults.server import FaultServer, Received, Step

LEFT_OPEN = """
import asyncio, socket
import isnotai_async as isnotai

async def leave_open(client):
    await client.open()
    left = asyncio.create_task(client.get_session("s1"))
    await asyncio.sleep(0.1)
    return left

async def use_again(client):
    async with client, asyncio.timeout(10):
        begun = asyncio.get_running_loop().time()
        try:
            await client.get_session("s1")
        except isnotai.TransportTimeoutError:
            return asyncio.get_running_loop().time() - begun

silent = socket.create_server(("127.0.0.1", 0))
address = f"http://127.0.0.1:{silent.getsockname()[1]}"
client = isnotai.Client("a" * 40, base_url=address, timeout=0.3, retry=isnotai.Retry(attempts=1))
loop = asyncio.new_event_loop()
left = loop.run_until_complete(leave_open(client))
loop.close()
print(asyncio.run(use_again(client)))
"""


async def seconds_until_late(client: isnotai.Client) -> float:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(isnotai.TransportTimeoutError):
        await client.list_events("s1")
    return asyncio.get_running_loop().time() - begun


async def test_each_request_in_flight_ends_when_it_is_due() -> None:
    async with connected(FaultServer([asyncio.Event()])) as client:
        limits = [0.6, 0.2, 0.4]
        late = await asyncio.gather(*(seconds_until_late(client.with_options(timeout=limit)) for limit in limits))
    assert all(limit <= seconds < limit + 0.2 for limit, seconds in zip(limits, late, strict=True)), late


async def test_a_later_request_ends_though_an_earlier_one_was_answered() -> None:
    async with connected(FaultServer(event_page(1), [asyncio.Event()]), timeout=0.3) as client:
        await client.list_events("s1")
        assert await seconds_until_late(client) >= 0.3


def test_a_client_that_is_opened_on_another_loop_ends_late_requests_there_too() -> None:
    async def be_late(client: isnotai.Client) -> float:
        async with client:
            return await seconds_until_late(client)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = build_client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        assert all(0.3 <= asyncio.run(be_late(client)) < 2 for _ in range(2))


async def test_a_request_on_a_borrowed_session_ends_when_it_is_due_though_its_client_was_closed() -> None:
    def dribble(_: Received) -> list[Step]:
        pauses = [asyncio.Event() for _ in range(40)]
        for number, pause in enumerate(pauses):
            asyncio.get_running_loop().call_later(0.05 * number, pause.set)
        return [step for pause in pauses for step in (b"HTTP/1.1 102 Processing\r\n\r\n", pause)]

    async with FaultServer(dribble) as server, aiohttp.ClientSession() as session:
        async with build_client(server, http_session=session, timeout=0.3) as client:
            late = asyncio.create_task(seconds_until_late(client))
            await server.until(lambda: len(server.requests) == 1)
        assert 0.3 <= await late < 1


def test_a_client_whose_loop_was_closed_with_a_request_in_flight_ends_late_requests_on_another() -> None:
    program = [sys.executable, "-W", "ignore", "-c", LEFT_OPEN]  # in its own process: the closed loop leaves a socket
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=30)
    assert 0.3 <= float(done.stdout) < 2


async def test_the_connection_of_a_late_request_is_closed() -> None:
    server = FaultServer([asyncio.Event()], event_page(1))
    async with connected(server, timeout=0.1) as client:
        await seconds_until_late(client)
        await server.until(lambda: server.open_connections == 0)
        await client.list_events("s1")
    assert [request.connection for request in server.requests] == [1, 2]


class SilentResolver(AbstractResolver):
    async def resolve(self, *_: object, **__: object) -> list[ResolveResult]:
        return await asyncio.Future()

    async def close(self) -> None:
        pass


async def test_a_name_that_is_not_resolved_in_time_ends_with_the_timeout() -> None:
    connector = aiohttp.TCPConnector(resolver=SilentResolver())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        build_client("https://name.invalid", http_session=session, timeout=0.2) as client,
    ):
        assert 0.2 <= await seconds_until_late(client) < 0.4


async def test_a_connection_that_is_not_made_in_time_ends_with_the_timeout() -> None:
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # more than its queue takes: the system answers no further one
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        async with build_client(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.3) as client:
            assert 0.3 <= await seconds_until_late(client) < 0.6


@pytest.mark.parametrize("event", ["on_request_start", "on_connection_create_end", "on_request_headers_sent"])
async def test_a_trace_that_hangs_ends_with_the_timeout(event: str) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Future()

    trace = aiohttp.TraceConfig()
    getattr(trace, event).append(hang)
    async with connected(FaultServer(event_page(1)), trace_configs=[trace], timeout=0.2) as client:
        assert 0.2 <= await seconds_until_late(client) < 0.4


async def test_a_trace_of_a_borrowed_session_that_hangs_ends_with_the_timeout() -> None:
    async def hang(*_: object) -> Any:
        await asyncio.Future()

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(hang)
    async with (
        FaultServer(event_page(1)) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        build_client(server, http_session=session, timeout=0.2) as client,
    ):
        assert 0.2 <= await seconds_until_late(client) < 0.4
