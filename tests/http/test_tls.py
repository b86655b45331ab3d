"""Whom a client trusts, and how it names the program that uses it."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

import isnotai_async as isnotai
from isnotai_async._version import __version__
from tests.faults.answers import event_page
from tests.faults.clients import build_client, check_error, connected
from tests.faults.server import FaultServer

AUTHORITY = trustme.CA()


def speaking_tls() -> FaultServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return FaultServer(event_page(1), tls=context)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


@pytest.mark.parametrize("kind", ["path", "string", "context"])
@pytest.mark.parametrize("is_borrowed", [False, True], ids=["own", "borrowed"])
async def test_a_private_authority_is_trusted_if_it_is_given(kind: str, is_borrowed: bool, authority: Path) -> None:
    trust = {
        "path": authority,
        "string": str(authority),
        "context": ssl.create_default_context(cafile=authority),
    }[kind]
    async with speaking_tls() as server, aiohttp.ClientSession() as session:
        given = {"http_session": session} if is_borrowed else {}
        async with build_client(server, ssl=trust, **given) as client:
            assert len((await client.list_events("s1")).data) == 1


async def test_the_authorities_of_the_file_are_the_only_ones(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    async with connected(speaking_tls(), ssl=tmp_path / "other.pem") as client:
        with pytest.raises(isnotai.ConnectError, match="certificate") as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert caught.value.tls


async def test_ssl_cert_file_is_read_as_by_python_itself(authority: Path) -> None:
    async with speaking_tls() as server:
        program = f"""
import asyncio, isnotai_async as isnotai
async def main():
    async with isnotai.Client("aik_v1_x", base_url="{server.base_url}") as client:
        print(len((await client.list_events("s1")).data))
asyncio.run(main())
"""
        environment = {**os.environ, "SSL_CERT_FILE": str(authority)}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=environment
        )
        output, _ = await child.communicate()
    assert output == b"1\n"


def blind() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def nameless() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@pytest.mark.parametrize(
    ("trust", "says"),
    [
        (False, "not bool"),
        (True, "not bool"),
        (7, "not int"),
        (b"ca.pem", "not bytes"),
        pytest.param(blind(), "does not verify", id="blind"),
        pytest.param(nameless(), "does not verify", id="nameless"),
        ("/no/such/ca.pem", "No such file"),
        ("/", "Is a directory|no certificate"),
        ("nul\0.pem", "cannot read"),
        pytest.param(__file__, "no certificate in PEM form", id="no certificate"),
        ("", "cannot read|No such file"),
    ],
    ids=str,
)
def test_what_cannot_be_trusted_is_a_config_error(trust: Any, says: str) -> None:
    with pytest.raises(isnotai.ConfigError, match=says):
        build_client("https://api.isnotai.example", ssl=trust)


async def test_the_program_is_named_behind_this_package() -> None:
    server = FaultServer(event_page(1))
    async with connected(server, user_agent=" my-app/1.2 (+https://example.org) ") as client:
        await client.list_events("s1")
    assert server.requests[0].header("user-agent") == f"isnotai-async/{__version__} my-app/1.2 (+https://example.org)"


@pytest.mark.parametrize("name", ["", " ", "a\r\nX-Evil: 1", "caf\u00e9", "x" * 300, 7, "\x7f"])
def test_a_name_that_no_header_may_carry_is_a_config_error(name: Any) -> None:
    with pytest.raises(isnotai.ConfigError, match="user_agent"):
        build_client("https://api.isnotai.example", user_agent=name)


async def test_a_manager_hands_all_of_it_to_its_clients(authority: Path) -> None:
    async with speaking_tls() as server:
        credential = isnotai.Credential("aik_v1_x", base_url=server.base_url)
        manager = isnotai.SessionManager({"us": credential}, ssl=authority, user_agent="my-app", trust_env=True)
        async with manager:
            await manager["us"].list_events("s1")
    assert server.requests[0].header("user-agent") == f"isnotai-async/{__version__} my-app"
