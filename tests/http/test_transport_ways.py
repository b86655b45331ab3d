"""The transport over other ways than its own plain connections: borrowed HTTP sessions, proxies, TLS."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

import isnotai_async as isnotai
from tests.canary import CANARY_KEY
from tests.faults.answers import error_reply, event_page, http_reply
from tests.faults.clients import build_client, check_error
from tests.faults.server import FaultServer

BODY = event_page(1).partition(b"\r\n\r\n")[2]


@asynccontextmanager
async def borrowing(server: FaultServer, **options: Any) -> AsyncIterator[isnotai.Client]:
    """Open the server and a client that borrows an HTTP session made with these options."""
    async with server, aiohttp.ClientSession(**options) as session:
        async with build_client(server, http_session=session) as client:
            yield client
        assert not session.closed, "who opens closes"


async def _twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    await handler(request)
    return await handler(request)


BORROWED: dict[str, dict[str, Any]] = {
    "raises for a status": {"raise_for_status": True},
    "has headers of its own": {"headers": {"Authorization": "Basic x", "Accept": "text/html", "X-Own": "kept"}},
    "has a base URL of its own": {"base_url": "https://elsewhere.example/x/"},
    "has a short timeout of its own": {"timeout": aiohttp.ClientTimeout(total=1e-6)},
    "reads the environment": {"trust_env": True},
    "sends twice by a middleware": {"middlewares": (_twice,)},
}


@pytest.mark.parametrize("name", BORROWED)
async def test_the_settings_of_a_borrowed_session_do_not_change_what_is_sent_and_read(name: str) -> None:
    server = FaultServer(event_page(1), error_reply(404, "NO_SESSION", "no such session"))
    async with borrowing(server, **BORROWED[name]) as client:
        page = await client.list_events("s1")
        with pytest.raises(isnotai.NotFoundError, match="no such session") as caught:
            await client.get_session("s1")
    check_error(caught.value)
    assert page.data[0].event_id == "e1"
    assert len(server.requests) == 2
    for request in server.requests:
        assert request.header("authorization") == f"Bearer {CANARY_KEY}"
        assert request.header("accept") == "application/json"


async def test_a_borrowed_session_follows_no_redirect() -> None:
    async with FaultServer() as target:
        server = FaultServer(http_reply(status=302, headers=[("Location", target.base_url)]))
        async with borrowing(server) as client:
            with pytest.raises(isnotai.ProtocolError, match="redirect"):
                await client.list_events("s1")
        assert target.connections == 0


async def test_a_borrowed_session_that_does_not_decompress_is_made_to() -> None:
    server = FaultServer(http_reply(gzip.compress(BODY), headers=[("Content-Encoding", "gzip")]))
    async with borrowing(server, auto_decompress=False) as client:
        await client.list_events("s1")


@pytest.mark.parametrize("source", ["auth=", "netrc"])
async def test_a_login_of_a_borrowed_session_does_not_take_the_place_of_the_key(
    source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"trust_env": True}
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if source == "auth=":
        with pytest.deprecated_call():
            options = {"auth": aiohttp.BasicAuth("someone", "else")}
    server = FaultServer(event_page(1))
    with nullcontext() if source == "netrc" else pytest.deprecated_call():
        session = aiohttp.ClientSession(**options)
    async with server, session, build_client(server, http_session=session) as client:
        await client.list_events("s1")
    assert server.requests[0].header("authorization") == f"Bearer {CANARY_KEY}"


async def test_a_borrowed_session_that_fails_after_it_has_sent_costs_the_permit() -> None:
    async def fail(*_: object) -> None:
        raise ValueError("a bug of the caller's metrics")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_end.append(fail)
    limiter = isnotai.LocalLimiter()
    async with (
        FaultServer(event_page(1)) as server,
        aiohttp.ClientSession(trace_configs=[tracing]) as session,
        build_client(server, http_session=session, limiter=limiter) as client,
    ):
        with pytest.raises(isnotai.ConfigError, match="a bug of the caller's metrics") as caught:
            await client.list_events("s1")
    assert len(server.requests) == caught.value.attempts == 1
    assert "1 of 60 slots occupied" in repr(limiter)


async def test_a_borrowed_session_that_was_closed_is_a_config_error() -> None:
    async with FaultServer() as server, aiohttp.ClientSession() as session:
        async with build_client(server, http_session=session) as client:
            await session.close()
            with pytest.raises(isnotai.ConfigError, match="close it after the client"):
                await client.list_events("s1")
        assert server.connections == 0


class _NoNames(AbstractResolver):
    async def resolve(self, *_: object, **__: object) -> list[ResolveResult]:
        raise OSError(None, "no name server today")

    async def close(self) -> None: ...


async def test_the_name_of_a_proxy_that_is_not_found_is_not_taken_for_the_name_of_the_api() -> None:
    connector = aiohttp.TCPConnector(resolver=_NoNames())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        build_client(
            "https://api.isnotai.example", http_session=session, proxy="http://proxy.example:3128"
        ) as client,
    ):
        with pytest.raises(isnotai.ConnectError, match=r"the name of the proxy proxy\.example:3128 was not found"):
            await client.list_events("s1")


async def test_a_name_that_is_not_found_is_a_connect_error() -> None:
    connector = aiohttp.TCPConnector(resolver=_NoNames())
    base_url = "https://api.isnotai.example"
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        build_client(base_url, http_session=session) as client,
    ):
        with pytest.raises(isnotai.ConnectError, match=r"name of api\.isnotai\.example was not found") as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert not caught.value.tls


async def test_requests_go_through_the_proxy_that_was_asked_for() -> None:
    async with FaultServer(event_page(1)) as proxy:
        address = f"http://someone:s3cret@127.0.0.1:{proxy.port}"
        async with build_client("http://127.0.0.1:9/gateway", proxy=address) as client:
            await client.list_events("s1")
            assert "s3cret" not in repr(client)
    (request,) = proxy.requests
    assert request.target == "http://127.0.0.1:9/gateway/v1/sessions/s1/events"
    assert request.header("authorization") == f"Bearer {CANARY_KEY}"
    assert (request.header("proxy-authorization") or "").startswith("Basic ")


async def test_a_proxy_that_refuses_is_a_connect_error_and_never_saw_the_key() -> None:
    async with FaultServer(http_reply(status=407)) as proxy:
        address = f"http://someone:s3cret@127.0.0.1:{proxy.port}"
        async with build_client("https://api.isnotai.example", proxy=address) as client:
            with pytest.raises(isnotai.ConnectError, match="proxy") as caught:
                await client.list_events("s1")
    check_error(caught.value)
    assert "s3cret" not in str(caught.value)
    (request,) = proxy.requests
    assert request.line.startswith("CONNECT api.isnotai.example:443 ")
    assert request.header("authorization") is None


async def test_a_proxy_that_is_not_there_is_a_connect_error_without_its_password() -> None:
    async with FaultServer() as gone:
        address = f"http://someone:s3cret@127.0.0.1:{gone.port}"
    async with build_client("http://127.0.0.1:9", proxy=address) as client:
        with pytest.raises(isnotai.ConnectError, match="proxy") as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value!r}"


AUTHORITY = trustme.CA()


def speaking_tls(name: str, *replies: bytes, **certificate: Any) -> FaultServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name, **certificate).configure_cert(context)
    return FaultServer(*replies, tls=context)


def trusting() -> aiohttp.TCPConnector:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return aiohttp.TCPConnector(ssl=context)


async def test_a_borrowed_session_brings_its_own_trust() -> None:
    server = speaking_tls("127.0.0.1", event_page(1))
    async with borrowing(server, connector=trusting()) as client:
        page = await client.list_events("s1")
    assert page.data[0].event_id == "e1"
    assert server.requests[0].header("authorization") == f"Bearer {CANARY_KEY}"


DISTRUSTED: dict[str, tuple[dict[str, Any], bool, str]] = {
    "of another host": ({"name": "elsewhere.example"}, True, "not valid for '127.0.0.1'"),
    "expired": ({"name": "127.0.0.1", "not_after": datetime(2020, 1, 1, tzinfo=UTC)}, True, "expired"),
    "of an unknown authority": ({"name": "127.0.0.1"}, False, "unable to get local issuer|self.signed"),
}


@pytest.mark.parametrize("name", DISTRUSTED)
async def test_a_certificate_that_cannot_be_trusted_is_a_connect_error_before_anything_is_sent(name: str) -> None:
    certificate, trusted, words = DISTRUSTED[name]
    server = speaking_tls(**certificate)
    connector = trusting() if trusted else None
    async with borrowing(server, connector=connector) as client:
        with pytest.raises(isnotai.ConnectError, match=words) as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert caught.value.tls
    assert "certificate" in str(caught.value)
    assert server.requests == []


async def test_a_server_that_speaks_no_tls_is_a_connect_error() -> None:
    plain = FaultServer(greeting=b"HTTP/1.1 400 You spoke TLS to a plain port\r\n\r\n")
    async with plain, build_client(f"https://127.0.0.1:{plain.port}") as client:
        with pytest.raises(isnotai.ConnectError, match="TLS handshake") as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert caught.value.tls
