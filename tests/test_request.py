"""`Client.request`: any path of the API, with everything that a call has."""

from __future__ import annotations

import pickle

import pytest

import isnotai_async as isnotai
from tests.canary import CANARY_KEY, shows_key
from tests.faults.answers import error_reply, event_page, http_reply, json_reply
from tests.faults.clients import build_client, connected
from tests.faults.server import FaultServer


async def test_an_answer_comes_as_it_is_with_status_headers_and_what_it_took() -> None:
    server = FaultServer(json_reply({"a": 1}, status=203, headers=[("X-Request-Id", "r-7")]))

    async with connected(server) as client:
        answer = await client.request("/v1/anything", params={"a": "b c", "n": 7, "yes": True, "left out": None})

    assert server.requests[0].target == "/v1/anything?a=b%20c&n=7&yes=true"
    assert (answer.status, answer.region, answer.attempts, answer.json()) == (203, "us", 1, {"a": 1})
    assert answer.headers["x-request-id"] == answer.headers["X-REQUEST-ID"] == "r-7"
    assert answer.elapsed > 0
    assert pickle.loads(pickle.dumps(answer)) == answer


async def test_it_is_retried_and_counts_its_attempts() -> None:
    server = FaultServer(error_reply(503, "DOWN", "later"), json_reply([]))
    retry = isnotai.Retry(base=0.001)

    async with connected(server, retry=retry) as client:
        answer = await client.request("/v1/anything")

    assert (answer.attempts, answer.json()) == (2, [])


async def test_an_error_of_the_api_is_the_same_error_as_of_every_call() -> None:
    server = FaultServer(error_reply(404, "NO", "not here", headers=[("X-Request-Id", "r-8")]))

    async with connected(server) as client:
        with pytest.raises(isnotai.NotFoundError) as caught:
            await client.request("/v1/anything")

    assert caught.value.headers["x-request-id"] == "r-8"


@pytest.mark.parametrize("path", ["/health", "/openapi/v3.json", "/swagger"])
async def test_the_key_is_not_sent_where_none_is_needed(path: str) -> None:
    server = FaultServer(http_reply(b"<html>", headers=[("Content-Type", "text/html")]))

    async with connected(server) as client:
        answer = await client.request(path)

    assert server.requests[0].header("authorization") is None
    assert answer.body == b"<html>"
    with pytest.raises(isnotai.DecodeError, match="not valid JSON"):
        answer.json()


async def test_open_paths_are_asked_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISNOTAI_API_KEY", raising=False)
    server = FaultServer(json_reply({"openapi": "3.0.3"}))

    async with connected(server, api_key=None) as client:
        assert (await client.request("/openapi/v3.json")).json() == {"openapi": "3.0.3"}
        with pytest.raises(isnotai.ConfigError, match="no API key"):
            await client.request("/v1/stats")


async def test_a_key_that_the_server_echoes_is_nowhere_in_the_answer() -> None:
    headers = [("X-Echo", CANARY_KEY), (CANARY_KEY, "name")]
    server = FaultServer(json_reply({"key": CANARY_KEY}, headers=headers))

    async with connected(server) as client:
        answer = await client.request("/v1/anything")

    assert answer.headers["x-echo"] == "***"
    assert answer.json() == {"key": "***"}
    assert not shows_key(pickle.dumps(answer))


@pytest.mark.parametrize(
    "path",
    [
        "v1/x", "", "//evil.example/x", "/v1/../x", "/v1/%2e%2e/x", "/v1/a%2F..%2Fb", "/v1/./x", "/a\\..\\b",
        "/v1/x?a=b", "/v1/x#a", "/v1/x\r\nHost: evil", "https://evil.example/",
    ],
)  # fmt: skip
async def test_a_path_that_could_lead_elsewhere_is_rejected(path: str) -> None:
    async with FaultServer() as server, build_client(server) as client:
        with pytest.raises(isnotai.ConfigError, match="path"):
            await client.request(path)

    assert server.requests == []


async def test_pages_and_errors_have_the_headers_of_their_answer() -> None:
    server = FaultServer(event_page(1, headers=[("X-Request-Id", "r-9")]))

    async with connected(server) as client:
        page = await client.list_events("s1")

    assert page.headers["X-Request-ID"] == "r-9"
    assert page.headers.get("x-unknown") is None
    assert "r-9" not in repr(page)
    assert pickle.loads(pickle.dumps(page)).headers == page.headers


async def test_several_values_of_one_header_are_joined_in_any_case_also_in_a_copy() -> None:
    server = FaultServer(event_page(1, headers=[("Via", "one"), ("via", "two")]))

    async with connected(server) as client:
        page = await client.list_events("s1")

    for headers in (page.headers, pickle.loads(pickle.dumps(page.headers))):
        assert headers["VIA"] == "one, two"
        assert list(headers).count("via") == 1
        assert len(headers) == len(dict(headers))
