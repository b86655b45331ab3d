"""Opening, closing and sharing: a client belongs to the loop it was opened on, and to who opened it."""

from __future__ import annotations

import asyncio
import gc
import pickle

import aiohttp
import pytest

import isnotai_async as isnotai
from tests.faults.answers import event_page
from tests.faults.clients import build_client, check_error, connected
from tests.faults.server import FaultServer


async def test_a_client_is_refused_before_it_is_opened() -> None:
    async with FaultServer() as server:
        client = build_client(server)
        with pytest.raises(isnotai.ConfigError, match="not open; write: async with Client"):
            await client.list_events("s1")
        assert server.connections == 0


async def test_a_client_is_refused_after_it_is_closed() -> None:
    async with FaultServer(event_page(1)) as server:
        async with build_client(server) as client:
            await client.list_events("s1")
        with pytest.raises(isnotai.ConfigError, match="is closed"):
            await client.list_events("s1")
        with pytest.raises(isnotai.ConfigError, match="was closed; build a new one"):
            await client.open()
        assert len(server.requests) == 1


async def test_opening_and_closing_twice_changes_nothing() -> None:
    async with FaultServer(event_page(1)) as server:
        client = build_client(server)
        await client.open()
        await client.open()
        async with client:
            await client.list_events("s1")
        assert "closed" in repr(client)
        await client.aclose()
        await client.aclose()
        await server.until(lambda: server.open_connections == 0)
        assert server.connections == 1


async def test_closing_what_was_never_opened_is_allowed() -> None:
    client = build_client("http://127.0.0.1:9")
    await client.aclose()
    assert "closed" in repr(client)


def test_a_client_is_made_without_a_loop_and_opened_on_one() -> None:
    client = build_client("http://127.0.0.1:9")
    assert "not open" in repr(client)

    async def main() -> str:
        async with client:
            return repr(client)

    assert "open" in asyncio.run(main())


def test_a_client_is_refused_on_another_loop_than_its_own() -> None:
    async def use(client: isnotai.Client) -> None:
        for ask in (client.list_events("s1"), client.open()):
            with pytest.raises(isnotai.ConfigError, match="another event loop"):
                await ask

    async def main() -> None:
        async with FaultServer() as server, build_client(server) as client:
            await asyncio.to_thread(asyncio.run, use(client))
            assert server.connections == 0

    asyncio.run(main())


def test_a_client_whose_loop_is_gone_can_still_be_closed() -> None:
    client = build_client("http://127.0.0.1:9")
    asyncio.run(client.open())
    asyncio.run(client.aclose())
    assert "closed" in repr(client)
    gc.collect()  # an HTTP session that was left open would warn here, and warnings are errors


def test_a_borrowed_session_of_a_loop_that_is_gone_is_a_config_error() -> None:
    async def borrow() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def use(session: aiohttp.ClientSession) -> None:
        async with FaultServer() as server, build_client(server, http_session=session) as client:
            try:
                with pytest.raises(isnotai.ConfigError, match="loop"):
                    await client.list_events("s1")
            finally:
                await session.close()
            assert server.requests == []

    asyncio.run(use(asyncio.run(borrow())))


async def test_copies_share_the_connections_and_close_nothing() -> None:
    server = FaultServer(event_page(1))
    async with connected(server) as client:
        await client.list_events("s1")
        async with client.with_options(timeout=5) as copy:
            await copy.list_events("s1")
        await copy.aclose()
        await client.list_events("s1")
        await copy.list_events("s1")
    assert [request.connection for request in server.requests] == [1, 1, 1, 1]
    with pytest.raises(isnotai.ConfigError, match="closed"):
        await copy.list_events("s1")


async def test_a_copy_made_before_opening_is_open_with_its_parent() -> None:
    async with FaultServer(event_page(1)) as server:
        client = build_client(server)
        copy = client.with_options(timeout=5)
        async with client:
            await copy.list_events("s1")
    assert len(server.requests) == 1


async def test_a_body_that_raises_inside_the_client_closes_it_too() -> None:
    server = FaultServer(event_page(1))
    async with server:
        with pytest.raises(KeyError):
            async with build_client(server) as client:
                await client.list_events("s1")
                raise KeyError("the caller's own")
        await server.until(lambda: server.open_connections == 0)


async def test_closing_ends_the_calls_under_way_with_clear_errors() -> None:
    server = FaultServer([asyncio.Event()])
    async with connected(server, max_concurrency=1) as client:
        calls = [asyncio.create_task(_ask(client)) for _ in range(3)]
        await server.until(lambda: len(server.requests) == 1)
        await client.aclose()
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} <= {isnotai.TransportError, isnotai.ConfigError}
    for error in errors:
        assert isinstance(error, BaseException)
        check_error(error)


async def _ask(client: isnotai.Client) -> None:
    await client.list_events("s1")


async def test_a_client_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="build one where it is used"):
        pickle.dumps(build_client("http://127.0.0.1:9"))
