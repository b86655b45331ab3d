"""What something in front of the API says is never taken for the API's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from tests.faults.answers import error_reply, event_page, http_reply, json_reply, listing, session_row
from tests.faults.clients import build_client, connected, failure_of, list_events
from tests.faults.server import FaultServer, Received

HTML = [("Content-Type", "text/html; charset=utf-8")]
TEXT = [("Content-Type", "text/plain")]
PAGE = b"<html><h1>blocked by policy</h1></html>"
BODIES = {
    "html": http_reply(PAGE, status=404, headers=HTML),
    "nothing": http_reply(status=404),
    "other JSON": json_reply({"message": "no route"}, status=404),
    "an empty envelope": json_reply({"error": {}}, status=404),
    "an envelope of other types": json_reply({"error": {"code": 7, "message": ["x"]}}, status=404),
}
QUICK = isnotai.Retry(attempts=3, base=0.001)


def status_reply(status: int, body: bytes = PAGE) -> bytes:
    return http_reply(body, status=status, headers=[*HTML, ("X-Cache", "edge-7")])


@pytest.mark.parametrize("reply", BODIES.values(), ids=BODIES)
async def test_a_404_without_the_envelope_is_not_the_apis(reply: bytes) -> None:
    error = await failure_of(FaultServer(reply), isnotai.GatewayError)

    assert error.status == 404
    assert "envelope" in str(error)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 418, 422, 451, 499])
async def test_every_other_4xx_without_the_envelope_is_the_gateways(status: int) -> None:
    error = await failure_of(FaultServer(status_reply(status)), isnotai.GatewayError)

    assert error.status == status
    assert error.headers["x-cache"] == "edge-7"
    assert "blocked by policy" in str(error)


@pytest.mark.parametrize(("status", "kind"), [(408, isnotai.APIError), (425, isnotai.APIError)])
@pytest.mark.parametrize("body", [PAGE, b""])
async def test_what_says_try_again_keeps_its_class(status: int, kind: type[isnotai.APIError], body: bytes) -> None:
    await failure_of(FaultServer(status_reply(status, body)), kind)


async def test_429_and_5xx_keep_their_classes_without_the_envelope() -> None:
    await failure_of(FaultServer(status_reply(429)), isnotai.RateLimitedError)
    await failure_of(FaultServer(status_reply(502)), isnotai.ServerError)


@pytest.mark.parametrize(
    "reply",
    [
        http_reply(PAGE, headers=HTML),
        http_reply(b"  \n" + PAGE),
        http_reply(b"welcome to the hotel", headers=TEXT),
        http_reply(PAGE, status=203, headers=HTML),
        http_reply(),
        http_reply(b" \r\n", headers=HTML),
        http_reply(status=201),
    ],
    ids=["html", "html without a type", "text", "203", "empty", "white space", "201 empty"],
)
async def test_a_success_that_is_a_page_or_nothing_is_the_gateways(reply: bytes) -> None:
    error = await failure_of(FaultServer(reply), isnotai.GatewayError)

    assert 200 <= error.status < 300


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_health_has_no_envelope_so_its_4xx_is_the_gateways(status: int) -> None:
    await failure_of(FaultServer(error_reply(status, "X", "y")), isnotai.GatewayError, lambda client: client.health())


async def test_health_that_fails_is_a_server_error() -> None:
    await failure_of(FaultServer(status_reply(503)), isnotai.ServerError, lambda client: client.health())


@pytest.mark.parametrize("reply", [status_reply(403), http_reply(PAGE, headers=HTML), http_reply()])
async def test_it_is_asked_again_as_often_as_there_are_attempts(reply: bytes) -> None:
    server = FaultServer(reply, reply, event_page(1))

    async with connected(server, retry=QUICK) as client:
        page = await list_events(client)

    assert [event.event_id for event in page.data] == ["e1"]
    assert len(server.requests) == 3


async def test_a_gateway_that_asks_to_wait_is_waited_for() -> None:
    reply = http_reply(PAGE, status=403, headers=[*HTML, ("Retry-After", "3600")])

    async with connected(FaultServer(reply), retry=QUICK) as client:
        with pytest.raises(isnotai.GatewayError) as caught:
            await list_events(client)

    assert caught.value.attempts == 1, "an hour is longer than it waits, so the error comes at once"


@pytest.mark.parametrize("reply", [status_reply(404), status_reply(403), status_reply(400), http_reply(status=404)])
async def test_in_a_stream_the_session_stays_unfinished(reply: bytes) -> None:
    server = FaultServer(reply)

    async with connected(server) as client:
        async with client.stream_events(["s1"], on_error="collect") as stream:
            assert [page async for page in stream] == []
        assert type(stream.failures["s1"]) is isnotai.GatewayError
        assert [walk.session_id for session in stream.position.unfinished for walk in session.walks] == ["s1"]


@pytest.mark.parametrize("on_error", ["collect"])
@pytest.mark.parametrize("reply", [status_reply(404), status_reply(403), status_reply(400), http_reply(status=404)])
async def test_an_export_is_not_finished_by_it_whatever_on_error_says(
    tmp_path: Path, reply: bytes, on_error: str
) -> None:
    def answer(request: Received) -> bytes:
        return reply if "/s2/" in request.target else event_page(1, 2)

    target = tmp_path / "events.jsonl"
    async with FaultServer(answer) as server, build_client(server) as client:
        report = await isnotai.export_events(client, ["s1", "s2"], target, on_error=on_error)  # type: ignore[arg-type]

    assert not report.is_complete
    assert not target.exists()
    assert [failure.error for failure in report.failures] == ["GatewayError"]


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_saved_cursor_that_is_refused_does_not_finish_an_export(tmp_path: Path, status: int) -> None:
    refusal = error_reply(status, "BAD_REQUEST", "The continuation token has expired.")
    down = error_reply(503, "DOWN", "later")
    target = tmp_path / "events.jsonl"
    async with FaultServer(event_page(*range(20), cursor="c2"), down) as server, build_client(server) as client:
        first = await isnotai.export_events(client, ["s1"], target, on_error="collect")
    assert not first.is_complete

    def answer(request: Received) -> bytes:
        if "cursor=c2" in request.target:
            return refusal
        return event_page(*range(20, 45)) if "cursor=" in request.target else event_page(*range(20), cursor="c3")

    async with FaultServer(answer) as server, build_client(server) as client:
        second = await isnotai.export_events(client, ["s1"], target, on_error="collect")

    if second.is_complete:
        assert second.rows == 45
    else:
        assert not target.exists()


async def test_a_refused_listing_ends_its_region_only() -> None:
    eu = FaultServer(error_reply(401, "INVALID_API_KEY", "no such key"))
    us = FaultServer(event_page(1), event_page(2))
    async with eu, us:
        keys = {
            "us": isnotai.Credential("aik_v1_" + "u" * 40, base_url=us.base_url, limiter=isnotai.Unlimited()),
            "eu": isnotai.Credential(
                "aik_v1_" + "e" * 40, region="eu", base_url=eu.base_url, limiter=isnotai.Unlimited()
            ),
        }
        async with isnotai.SessionManager(keys, retry=isnotai.Retry(attempts=1)) as manager:
            sources: dict[str, Any] = {"us": ["a", "b"], "eu": manager["eu"].list_sessions()}
            async with manager.stream_events(sources, on_error="collect", concurrency=2) as stream:
                pages = [page async for page in stream]

    assert {page.session_id for page in pages} == {"a", "b"}
    assert {name: type(error) for (name, _), error in stream.failures.items()} == {"eu": isnotai.AuthenticationError}
    assert stream.position.sources["eu"].count == 0


async def test_a_listing_that_broke_off_goes_on_when_the_stream_is_resumed() -> None:
    listed = json_reply(listing([session_row("x")], "c2"))
    eu = FaultServer(listed, event_page(1), status_reply(403))
    us = FaultServer(event_page(2))
    async with eu, us:
        keys = {
            "us": isnotai.Credential("aik_v1_" + "u" * 40, base_url=us.base_url, limiter=isnotai.Unlimited()),
            "eu": isnotai.Credential(
                "aik_v1_" + "e" * 40, region="eu", base_url=eu.base_url, limiter=isnotai.Unlimited()
            ),
        }
        async with isnotai.SessionManager(keys, retry=isnotai.Retry(attempts=1)) as manager:
            sources: dict[str, Any] = {"us": ["a"], "eu": manager["eu"].list_sessions()}
            async with manager.stream_events(sources, on_error="collect", concurrency=2) as stream:
                first = [page.session_id async for page in stream]
            sources = {"us": ["a"], "eu": ["x", "y"]}
            resumed = manager.stream_events(sources, on_error="collect", concurrency=2, resume=stream.position)
            async with resumed as stream:
                second = [page.session_id async for page in stream if page.session_id != "a"]

    assert "a" in first
    assert stream.position.sources["eu"].count == 2
    assert "y" not in first
    assert "y" in {*second, *(session_id for _, session_id in stream.failures)}


async def test_a_mistake_in_a_source_still_ends_the_stream() -> None:
    us = FaultServer(event_page(1))
    async with us:
        keys = {"us": isnotai.Credential("aik_v1_" + "u" * 40, base_url=us.base_url, limiter=isnotai.Unlimited())}
        async with isnotai.SessionManager(keys) as manager:
            sources: dict[str, Any] = {"us": [7]}
            stream = manager.stream_events(sources, on_error="collect")
            async with stream:
                with pytest.raises(isnotai.ConfigError, match="ids or Session records"):
                    _ = [page async for page in stream]
