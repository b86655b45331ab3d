"""Proxies: CONNECT with a login, those of the environment, and what must not go through one."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

import isnotai_async as isnotai
from isnotai_async._http.proxies import choose_proxy
from tests.canary import CANARY_KEY
from tests.command import Command
from tests.faults.answers import event_page, http_reply
from tests.faults.clients import build_client, check_error
from tests.faults.server import FaultServer

AUTHORITY = trustme.CA()
AGAIN = isnotai.Retry(attempts=2, base=0.0)


class Tunnel:
    """A proxy that connects every CONNECT to one port of this machine, whatever the name.

    Attributes:
        heads: The requests it was sent.
    """

    def __init__(self, port: int) -> None:
        self.heads: list[bytes] = []
        self._port = port

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
    target.close()


@asynccontextmanager
async def tunnelled() -> AsyncIterator[tuple[Tunnel, FaultServer]]:
    """Open a TLS server that is api.isnotai.example, and a proxy that leads to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("api.isnotai.example").configure_cert(context)
    async with FaultServer(event_page(1), tls=context) as server, Tunnel(server.port) as tunnel:
        yield tunnel, server


@pytest.fixture
def authority(tmp_path: Path) -> str:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def login_of(head: bytes) -> str | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"proxy-authorization":
            return base64.b64decode(value.split()[1]).decode("latin-1")
    return None


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("", None),
        ("ada:s3cret@", "ada:s3cret"),
        ("ada%40example.org:p%3Ass%2Fw%C3%B6rd%25@", "ada@example.org:p:ss/wörd%"),
        ("ada@", "ada:"),
    ],
)
async def test_requests_go_through_a_tunnel_with_the_login_of_the_url(
    login: str, expected: str | None, authority: str
) -> None:
    async with tunnelled() as (tunnel, server):
        proxy = f"http://{login}{tunnel.place}"
        async with build_client("https://api.isnotai.example", proxy=proxy, ssl=authority) as client:
            for _ in range(2):
                assert len((await client.list_events("s1")).data) == 1
        assert [request.header("authorization") for request in server.requests] == [f"Bearer {CANARY_KEY}"] * 2
    (head,) = tunnel.heads  # one tunnel for both requests
    assert head.startswith(b"CONNECT api.isnotai.example:443 HTTP/1.1\r\n")
    assert login_of(head) == expected
    assert CANARY_KEY.encode() not in head


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used_if_it_is_trusted(
    name: str, authority: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text(
        "machine api.isnotai.example login no password no\ndefault login no password no\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with tunnelled() as (tunnel, server):
        monkeypatch.setenv(name, tunnel.place if name == "https_proxy" else f"http://ada:pw@{tunnel.place}")
        async with build_client("https://api.isnotai.example", trust_env=True, ssl=authority) as client:
            await client.list_events("s1")
        assert server.requests[0].header("authorization") == f"Bearer {CANARY_KEY}"
    assert [login_of(head) for head in tunnel.heads] == [None if name == "https_proxy" else "ada:pw"]


@pytest.mark.parametrize(
    ("no_proxy", "is_used"),
    [
        ("", True),
        ("api.isnotai.com", False),
        (".isnotai.com", False),
        ("isnotai.com", False),
        ("other.example, api.isnotai.com", False),
        ("api.isnotai.com:443", False),
        ("api.isnotai.com:8443", True),
        ("*", False),
        ("notai.com", True),
    ],
)
def test_no_proxy_names_what_is_asked_directly(no_proxy: str, is_used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    chosen = choose_proxy(None, trust_env=True, base_url="https://api.isnotai.com")
    assert chosen == ("http://proxy.example:3128" if is_used else None)


def test_the_environment_is_not_read_unless_it_is_trusted_and_a_given_proxy_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert choose_proxy(None, trust_env=False, base_url="https://api.isnotai.com") is None
    assert choose_proxy("http://p:1", trust_env=True, base_url="https://api.isnotai.com") == "http://p:1"
    assert choose_proxy(None, trust_env=True, base_url="http://127.0.0.1:9") is None, "a sandbox has no proxy"


@pytest.mark.parametrize("value", ["socks5://ada:s3cret@proxy.example:1080", "ftp://x", "http://ada:s3cret@:0"])
def test_an_unusable_proxy_of_the_environment_is_named_without_its_password(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(isnotai.ConfigError, match="HTTPS_PROXY is not the URL of an HTTP proxy") as caught:
        build_client("https://api.isnotai.example", trust_env=True)
    assert "s3cret" not in str(caught.value)


def test_trust_env_is_a_switch() -> None:
    with pytest.raises(isnotai.ConfigError, match="trust_env must be True or False, not str"):
        build_client("https://api.isnotai.example", trust_env="yes")


def test_the_key_goes_to_no_proxy_in_clear() -> None:
    with pytest.raises(isnotai.ConfigError, match="the proxy would see the key"):
        build_client("http://127.0.0.1:9", proxy="http://proxy.example:3128")
    build_client("http://127.0.0.1:9", proxy="http://[::1]:3128")
    build_client("https://api.isnotai.example", proxy="http://proxy.example:3128")


@pytest.mark.parametrize("source", ["proxy=", "trust_env="])
async def test_the_key_goes_in_clear_to_no_proxy_of_a_borrowed_session_either(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"proxy": "http://proxy.example:3128"}
    if source == "trust_env=":
        options = {"trust_env": True}
        monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    async with (
        FaultServer() as server,
        aiohttp.ClientSession(**options) as session,
        build_client(server, http_session=session) as client,
    ):
        with pytest.raises(isnotai.ConfigError, match="the proxy would see the key") as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert caught.value.attempts == 0


@pytest.mark.parametrize(
    ("status", "asked", "says"),
    [(407, 1, "407 Reason; check the login"), (403, 1, "403 Reason"), (502, 2, "502 Reason")],
)
async def test_a_proxy_that_refuses_says_why_and_is_asked_again_only_if_that_may_help(
    status: int, asked: int, says: str
) -> None:
    async with FaultServer(http_reply(status=status)) as proxy:
        address = f"http://ada:s3cret@127.0.0.1:{proxy.port}"
        async with build_client("https://api.isnotai.example", proxy=address, retry=AGAIN) as client:
            with pytest.raises(isnotai.ConnectError, match=says) as caught:
                await client.list_events("s1")
    check_error(caught.value)
    assert "s3cret" not in str(caught.value)
    assert (len(proxy.requests), caught.value.attempts) == (asked, asked)


async def test_the_command_line_reads_the_proxy_of_the_environment() -> None:
    async with FaultServer(http_reply(status=407)) as proxy:
        environment = {**os.environ, "HTTPS_PROXY": f"http://ada:s3cret@127.0.0.1:{proxy.port}"}
        command = ["health", "--base-url", "https://api.isnotai.example"]
        child = Command(command, stderr=subprocess.PIPE, env=environment)
        _, words = await asyncio.to_thread(child.communicate)
        assert proxy.requests[0].line.startswith("CONNECT api.isnotai.example:443 ")
    assert child.returncode == 1
    assert b"check the login in the URL of the proxy" in words
    assert b"s3cret" not in words


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("cause", ["DNS", "TLS", "refused"])
async def test_a_failed_connection_says_that_a_proxy_is_set_and_unused(
    cause: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("elsewhere.example").configure_cert(context)
    loop = asyncio.get_running_loop()
    async with FaultServer(event_page(1), tls=context) as server:

        async def look_up(host: str, port: int, **_: object) -> list[Any]:
            if cause == "DNS":
                raise OSError("no such name")
            return [(2, 1, 6, "", ("127.0.0.1", server.port if cause == "TLS" else 1))]

        monkeypatch.setattr(loop, "getaddrinfo", look_up)
        for no_proxy, is_said in (("", True), ("isnotai.example", False)):
            monkeypatch.setenv(name, "http://ada:s3cret@proxy.example:3128")
            monkeypatch.setenv("NO_PROXY", no_proxy)
            async with build_client("https://api.isnotai.example") as client:
                with pytest.raises(isnotai.ConnectError) as caught:
                    await client.list_events("s1")
            check_error(caught.value)
            assert (f"{name} is set and not used: to use it, pass trust_env=True" in str(caught.value)) is is_said
            assert "s3cret" not in str(caught.value)
