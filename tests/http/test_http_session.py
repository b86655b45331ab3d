"""Opening, closing and sharing: a client belongs to the loop it was opened on, and to who opened it."""

from __future__ import annotations

import asyncio
import gc
import pickle

import aiohttp
import pytest
import trio

import isnotai_async as isnotai
from tests.canary import CANARY_KEY
from tests.faults.answers import event_page
from tests.faults.clients import build_client, check_error, connected
from tests.faults.server import FaultServer


async def test_a_client_is_refused_before_it_is_opened() -> None:
    async with FaultServer() as server:
        client = build_client(server)
        with pytest.raises(isnotai.ConfigError, match=r"not open; .*`async with client:` or `await client.open\(\)`"):
            await client.list_events("s1")
        assert server.connections == 0


async def test_a_client_is_refused_after_it_is_closed() -> None:
    async with FaultServer(event_page(1)) as server:
        async with build_client(server) as client:
            await client.list_events("s1")
        with pytest.raises(isnotai.ConfigError, match="is closed"):
            await client.list_events("s1")
        assert len(server.requests) == 1


async def test_a_closed_client_can_be_opened_again() -> None:
    async with FaultServer(event_page(1)) as server:
        client = build_client(server)
        copy = client.with_options(timeout=5)
        for _ in range(3):
            async with client:
                await client.list_events("s1")
                await copy.list_events("s1")
            assert "closed" in repr(client)
            await server.until(lambda: server.open_connections == 0)
    assert [request.connection for request in server.requests] == [1, 1, 2, 2, 3, 3]


def test_a_client_made_at_import_serves_one_event_loop_after_another() -> None:
    client = build_client("http://127.0.0.1:9", limiter=isnotai.LocalLimiter())

    async def ask(number: int) -> list[BaseException | None]:
        """Some wait for the limit when the loop ends, which must not hurt those of the next loop."""
        async with client:
            calls = [asyncio.ensure_future(client.list_events("s1")) for _ in range(number)]
            done, waiting = await asyncio.wait(calls, timeout=1.0, return_when=asyncio.FIRST_EXCEPTION)
            for call in waiting:
                call.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            return [call.exception() for call in done]

    for _ in range(3):
        errors = asyncio.run(ask(20))
        assert errors
        assert {type(error) for error in errors} == {isnotai.ConnectError}


def test_a_client_whose_loop_is_gone_can_be_opened_on_the_next_one() -> None:
    client = build_client("http://127.0.0.1:9")
    for _ in range(2):
        asyncio.run(client.open())  # an app that never shut down, or a fixture of each test's own loop

    async def use() -> None:
        async with client:
            with pytest.raises(isnotai.ConnectError):
                await client.list_events("s1")

    asyncio.run(use())
    gc.collect()  # an HTTP session that was left open would warn here, and warnings are errors


async def test_a_borrowed_session_serves_again_as_long_as_it_is_open() -> None:
    async with FaultServer(event_page(1)) as server, aiohttp.ClientSession() as session:
        client = build_client(server, http_session=session)
        for _ in range(2):
            async with client:
                await client.list_events("s1")
        await session.close()
        async with client:
            with pytest.raises(isnotai.ConfigError, match="close it after the client"):
                await client.list_events("s1")


def test_trio_is_a_config_error_that_names_asyncio() -> None:
    client = build_client("http://127.0.0.1:9")
    manager = isnotai.SessionManager({"us": CANARY_KEY})

    async def main() -> None:
        for use in (client.open, client.__aenter__, manager.__aenter__):
            with pytest.raises(isnotai.ConfigError, match="asyncio"):
                await use()

    trio.run(main)
    asyncio.run(client.open())

    async def ask() -> None:
        with pytest.raises(isnotai.ConfigError, match="asyncio"):
            await client.list_events("s1")

    trio.run(ask)
    asyncio.run(client.aclose())


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


@pytest.mark.parametrize("value", [3, aiohttp.ClientSession, "session"], ids=["int", "class", "str"])
def test_what_is_no_http_session_is_refused_before_it_is_used(value: object) -> None:
    with pytest.raises(isnotai.ConfigError, match=r"^http_session must be an aiohttp\.ClientSession, not "):
        isnotai.Client(CANARY_KEY, http_session=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [3, [3], aiohttp.TraceConfig()], ids=["int", "list of int", "one"])
def test_what_are_no_trace_configurations_is_refused_before_it_is_used(value: object) -> None:
    with pytest.raises(isnotai.ConfigError, match=r"^trace_configs must be a list of aiohttp\.TraceConfig"):
        isnotai.Client(CANARY_KEY, trace_configs=value)  # type: ignore[arg-type]
