"""Keys, routes, methods, headers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isnotai_async
from isnotai_async.sandbox import Sandbox
from isnotai_async.sandbox.responses import json_answer

TIER = "x-isnotai-tier"


async def test_keys_look_like_the_real_ones_and_differ_by_seed_and_region() -> None:
    keys = {key for seed in (1, 2) for key in Sandbox(seed=seed).api_keys.values()}

    assert len(keys) == 4
    assert all(re.fullmatch(r"aik_v1_[A-Za-z0-9_-]{40}", key) for key in keys)


RIGHT_KEYS: dict[str, Callable[[str], dict[str, str]]] = {
    "bearer": lambda key: {"Authorization": f"Bearer {key}"},
    "other case": lambda key: {"Authorization": f"bearer  {key}"},
    "x-api-key": lambda key: {"x-api-key": key},
    "both, bearer right": lambda key: {"Authorization": f"Bearer {key}", "x-api-key": "wrong"},
}


@pytest.mark.parametrize("form", RIGHT_KEYS)
async def test_the_regions_key_opens(sandbox: Sandbox, ask: Any, form: str) -> None:
    reply = await ask(sandbox, "/v1/integration", headers=RIGHT_KEYS[form](sandbox.api_key))

    assert reply.status == 200
    assert reply.headers[TIER] == "enterprise"
    assert reply.json == {"data": {"apiKeyMasked": f"aik_v1_****{sandbox.api_key[-4:]}"}}


WRONG_KEYS: dict[str, Callable[[Sandbox], dict[str, str]]] = {
    "none": lambda _: {},
    "empty bearer": lambda _: {"Authorization": "Bearer"},
    "nonsense": lambda _: {"Authorization": "Bearer nonsense"},
    "unknown": lambda _: {"x-api-key": "aik_v1_" + "A" * 40},
    "no scheme": lambda sandbox: {"Authorization": sandbox.api_key},
    "other scheme": lambda sandbox: {"Authorization": f"Basic {sandbox.api_key}"},
    "other region": lambda sandbox: {"Authorization": f"Bearer {sandbox.api_keys['eu']}"},
    "both, bearer wrong": lambda sandbox: {"Authorization": "Bearer wrong", "x-api-key": sandbox.api_key},
    "not ASCII": lambda sandbox: {"Authorization": f"Bearer {sandbox.api_key}é"},
}


@pytest.mark.parametrize("form", WRONG_KEYS)
async def test_any_other_key_is_a_401_without_tier(sandbox: Sandbox, ask: Any, form: str) -> None:
    for path in ("/v1/integration", "/v1/sessions/big-1/events", "/v1/nothing"):
        reply = await ask(sandbox, path, headers=WRONG_KEYS[form](sandbox))
        assert (reply.status, reply.code) == (401, "INVALID_API_KEY")
        assert TIER not in reply.headers
    assert len(sandbox.stats.arrivals) == 0


async def test_health_needs_no_key_and_the_clock_stands_still(sandbox: Sandbox, ask: Any) -> None:
    reply = await ask(sandbox, "/health", headers={})

    assert reply.status == 200
    assert reply.json == {
        "status": "healthy",
        "version": "1.0.17.0",
        "timestamp": "2026-06-10T12:00:00.0000000+00:00",
    }
    assert TIER not in reply.headers


async def test_the_contract_is_served_without_a_key(sandbox: Sandbox, ask: Any) -> None:
    reply = await ask(sandbox, "/openapi/v3.json", headers={})

    assert (reply.status, TIER in reply.headers) == (200, False)
    assert reply.json == json.loads((Path(isnotai_async.__file__).parent / "openapi.json").read_text("utf-8"))


async def raw(sandbox: Sandbox, request: bytes) -> bytes:
    """Send bytes, and read what comes back until the connection ends."""
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await reader.read(-1)
    finally:
        writer.close()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:8080"])
async def test_names_of_this_machine_are_answered(sandbox: Sandbox, host: str) -> None:
    request = f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"

    assert (await raw(sandbox, request.encode())).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/health", "/openapi/v3.json", "/v1/sessions"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "8.8.8.8", "[", ""])
async def test_another_host_gets_nothing(sandbox: Sandbox, host: str, path: str) -> None:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"x-api-key: {sandbox.api_key}", "Connection: close"]
    reply = await raw(sandbox, "\r\n".join([*lines, "", ""]).encode())

    assert reply.startswith(b"HTTP/1.1 421 ")
    assert b"SANDBOX_FOREIGN_HOST" in reply


MALFORMED = {
    "version": b"GET / HTTP/9\r\n\r\n",
    "header": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "long": b"GET / HTTP/1.1\r\nX: aik_v1_" + b"a" * 20_000 + b"\r\n\r\n",
    "length": b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_one_line_in_the_log(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    assert (await raw(sandbox, MALFORMED[name])).startswith(b"HTTP/1.0 400 ")

    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith("malformed request: ")
    assert record.exc_info is None
    assert "aik_v1_" not in record.getMessage()


async def test_health_never_answers_with_the_envelope(sandbox: Sandbox, ask: Any) -> None:
    reply = await ask(sandbox, "/health", method="POST", headers={})

    assert (reply.status, reply.body) == (405, b"")


@pytest.mark.parametrize(
    "path",
    ["/v1", "/", "/v1/", "/v1/sessions/", "/v1/sessions//events", "/v1/sessions/big-1/nothing", "/v2/sessions"],
)
async def test_unknown_routes_are_404(sandbox: Sandbox, ask: Any, path: str) -> None:
    reply = await ask(sandbox, path)

    assert (reply.status, reply.code) == (404, "SANDBOX_NOT_FOUND")
    assert (TIER in reply.headers) == path.startswith("/v1/")


@pytest.mark.parametrize("rest", ["", "/details", "/events"])
@pytest.mark.parametrize("session_id", ["nobody", "big-1000001", "big-1%2Fevents", "%2E%2E%2E", "%ff", "%00"])
async def test_unknown_sessions_are_404(sandbox: Sandbox, ask: Any, session_id: str, rest: str) -> None:
    reply = await ask(sandbox, f"/v1/sessions/{session_id}{rest}")

    assert (reply.status, reply.code) == (404, "SESSION_NOT_FOUND")
    assert reply.headers[TIER] == "enterprise"


async def test_sessions_of_the_other_region_are_unknown(sandbox: Sandbox, ask: Any) -> None:
    session_id = sandbox.session_ids("eu")[0]

    assert (await ask(sandbox, f"/v1/sessions/{session_id}")).status == 404
    assert (await ask(sandbox, f"/v1/sessions/{session_id}", region="eu")).status == 200


async def test_an_id_may_be_percent_encoded(sandbox: Sandbox, ask: Any) -> None:
    assert (await ask(sandbox, "/v1/sessions/%62ig%2D1")).json["data"]["id"] == "big-1"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_is_allowed(sandbox: Sandbox, ask: Any, method: str) -> None:
    reply = await ask(sandbox, "/v1/sessions", method=method)

    assert reply.status == 405
    assert reply.headers["Allow"] == "GET"
    assert reply.headers[TIER] == "enterprise"
    assert method == "HEAD" or reply.code == "SANDBOX_METHOD_NOT_ALLOWED"


async def test_errors_after_authentication_carry_the_tier(ask: Any) -> None:
    async with Sandbox(tier={"us": "free", "eu": "pro"}) as sandbox:
        for region, tier in (("us", "free"), ("eu", "pro")):
            reply = await ask(sandbox, "/v1/sessions", region=region, pageSize="x")
            assert (reply.status, reply.headers[TIER]) == (400, tier)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0, deflate;q=0.5", "deflate"),
        ("br", None),
        ("identity", None),
        ("*", "gzip"),
    ],
)
async def test_answers_are_compressed_as_accepted(
    sandbox: Sandbox, ask: Any, accepted: str, coding: str | None
) -> None:
    headers = {"Authorization": f"Bearer {sandbox.api_key}", "Accept-Encoding": accepted}
    plain = await ask(sandbox, "/v1/sessions")
    reply = await ask(sandbox, "/v1/sessions", headers=headers)

    assert reply.headers.get("Content-Encoding") == coding
    # The client has unpacked it already.
    assert reply.body == plain.body


async def test_compression_can_be_switched_off(ask: Any) -> None:
    async with Sandbox(compress=False) as sandbox:
        assert "Content-Encoding" not in (await ask(sandbox, "/v1/sessions")).headers


def test_deflate_has_the_wrapping_that_http_wants() -> None:
    packed = json_answer({"a": "b" * 500}).compressed("deflate")

    assert zlib.decompress(packed.body) == json_answer({"a": "b" * 500}).body
