"""They answered, and it is not the page that was asked for."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import isnotai_async as isnotai
from tests.faults.answers import error_reply, event_page, http_head, http_reply
from tests.faults.clients import ERROR_BY_STATUS, connected, failure_of, fixed_examples
from tests.faults.server import FaultServer

HTML = [("Content-Type", "text/html; charset=utf-8")]


async def test_a_login_page_with_status_200_is_the_gateways_and_shows_how_it_begins() -> None:
    page = b"<!doctype html><title>Hotel WLAN: please sign in</title>" + b"<p>welcome</p>" * 1000
    error = await failure_of(FaultServer(http_reply(page, headers=HTML)), isnotai.GatewayError)
    assert "text/html" in str(error)
    assert "Hotel WLAN" in str(error)
    assert len(str(error)) < 400
    assert error.status == 200


async def test_a_login_page_in_the_middle_of_a_walk_loses_nothing() -> None:
    server = FaultServer(event_page(1, 2, cursor="c2"), http_reply(b"<html>", headers=HTML), event_page(3))
    async with connected(server) as client:
        walk = client.list_events("s1")
        events = [event async for event in _until_error(walk, isnotai.GatewayError)]
        events += [event async for event in walk]
    assert [event.event_id for event in events] == ["e1", "e2", "e3"]


async def _until_error(walk: isnotai.Paginator[Any], kind: type[isnotai.IsNotAIError]) -> Any:
    with pytest.raises(kind) as caught:
        async for event in walk:
            yield event
    assert caught.value.position == walk.position
    assert caught.value.position.cursor == "c2"


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 529])
@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b'{"error":{"code":"DOWN","message":"back soon"}}']
)
async def test_a_failing_server_is_a_server_error_with_its_status(status: int, body: bytes) -> None:
    error = await failure_of(FaultServer(http_reply(body, status=status)), isnotai.ServerError)
    assert error.status == status
    assert error.code == ("DOWN" if b"DOWN" in body else "unknown")
    assert str(error).startswith(f"{status} ")
    assert error.retry_after is None


@pytest.mark.parametrize("status", ERROR_BY_STATUS)
async def test_a_refusal_has_its_class_and_keeps_what_the_api_said(status: int) -> None:
    details = {"field": "pageSize", "min": 1}
    reply = error_reply(status, "VALIDATION_FAILED", "pageSize must be positive", details=details)
    error = await failure_of(FaultServer(reply), ERROR_BY_STATUS[status])
    assert (error.status, error.code, error.message) == (status, "VALIDATION_FAILED", "pageSize must be positive")
    assert error.details == details
    assert "pageSize must be positive" in str(error)
    assert "field: pageSize" in str(error)


async def test_a_refused_key_explains_the_region() -> None:
    error = await failure_of(
        FaultServer(error_reply(401, "INVALID_API_KEY", "The API key is invalid.")), isnotai.AuthenticationError
    )
    assert "from region us" in str(error)
    assert "belongs to us" in str(error)
    assert "ISNOTAI_REGION" in str(error)


async def test_a_refused_cursor_has_a_class_of_its_own() -> None:
    refusal = error_reply(400, "INVALID_CURSOR", "The cursor has expired.", details={"field": "cursor"})
    server = FaultServer(event_page(1, cursor="c2"), refusal)
    async with connected(server) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.InvalidCursorError, match="iterate again to resume") as caught:
            _ = [event async for event in walk]
    assert caught.value.position is not None
    assert caught.value.position.watermark == (1_781_000_000_001, "e1")


async def test_rate_limiting_says_how_long_to_wait() -> None:
    reply = error_reply(429, "RATE_LIMITED", "Too many requests", headers=[("Retry-After", "17")])
    error = await failure_of(FaultServer(reply), isnotai.RateLimitedError)
    assert error.retry_after == 17
    assert "retry after 17 s" in str(error)


@pytest.mark.parametrize("values", [["3", "17"], ["17", "3"], ["3, 16.5"], ["abc", "17"]])
async def test_of_several_times_to_wait_the_longest_counts(values: list[str]) -> None:
    reply = error_reply(503, "BUSY", "soon", headers=[("Retry-After", value) for value in values])
    error = await failure_of(FaultServer(reply), isnotai.ServerError)
    assert error.retry_after == 17


ENVELOPES: dict[str, bytes] = {
    "empty": b"",
    "html": b"<html><h1>403 Forbidden</h1></html>",
    "not utf-8": b'{"error": {"code": "\xff"}}',
    "a list": b"[]",
    "null": b"null",
    "error is null": b'{"error": null}',
    "error is a string": b'{"error": "boom"}',
    "all of the wrong type": b'{"error": {"code": 7, "message": ["x"], "details": "y"}}',
    "nothing in it": b'{"error": {}}',
    "a lone surrogate": b'{"error": {"code": "X", "message": "\\ud800"}}',
    "nested too deep": b'{"error":' * 100_000,
    "10 MB": b'{"error": {"code": "X", "message": "' + b"x" * 10_000_000 + b'"}}',
}


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 503])
async def test_a_broken_envelope_is_typed_by_its_status_or_the_gateways(status: int, name: str) -> None:
    kind = ERROR_BY_STATUS[status] if status in {429, 503} else isnotai.GatewayError
    error = await failure_of(FaultServer(http_reply(ENVELOPES[name], status=status)), kind)
    assert getattr(error, "status", None) == status
    assert "error envelope" in error.message
    if isinstance(error, isnotai.APIError):
        assert error.code == "unknown"
        assert error.details == ("y" if name == "all of the wrong type" else {})  # kept as it came
    assert len(error.message) < 2000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENVELOPE = st.fixed_dictionaries({}, optional={"code": JSON, "message": JSON, "details": JSON, "extra": JSON})


@fixed_examples
@given(status=st.sampled_from(sorted(ERROR_BY_STATUS)), error=ENVELOPE | JSON)
@example(status=400, error={"code": "\x1b[31m", "message": "\u202e\r\nSet-Cookie: x", "details": {"field": "\x00"}})
@example(status=404, error={"code": "X" * 9000, "message": "m" * 9000, "details": {"field": "f" * 9000}})
async def test_any_envelope_is_typed_by_its_status_and_safe_to_show(status: int, error: object) -> None:
    reply = http_reply(json.dumps({"error": error}).encode(), status=status)
    words = [error.get("code"), error.get("message")] if isinstance(error, dict) else []
    is_of_the_api = status >= 500 or status in {408, 429} or any(isinstance(word, str) and word for word in words)
    kind = ERROR_BY_STATUS[status] if is_of_the_api else isnotai.GatewayError
    refusal = await failure_of(FaultServer(reply), kind)
    assert getattr(refusal, "status", None) == status
    assert len(str(refusal)) < 4000


REDIRECTS = [300, 301, 302, 303, 305, 307, 308]


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_is_an_error_and_its_target_gets_no_connection(status: int) -> None:
    async with FaultServer() as target:
        location = [("Location", f"{target.base_url}/v1/sessions/s1/events")]
        server = FaultServer(http_reply(status=status, headers=location))
        error = await failure_of(server, isnotai.ProtocolError)
        assert target.connections == 0
    assert server.connections == 1
    assert error.status == status
    assert "redirect" in str(error)
    assert "base_url" in str(error)


@pytest.mark.parametrize(
    "location", ["/v1/other", "//127.0.0.1/x", "https://127.0.0.1:1/", "javascript:x", "", "\xff"]
)
async def test_a_redirect_is_not_followed_wherever_it_points(location: str) -> None:
    server = FaultServer(http_reply(status=302, headers=[("Location", location)]))
    error = await failure_of(server, isnotai.ProtocolError)
    assert error.status == 302


@pytest.mark.parametrize("tier", ["\xff\xfe", "caf\xe9", "platinum", "pro, pro", "PRO+", "", "x" * 4000])
async def test_a_tier_header_that_names_no_tier_is_passed_over_with_a_warning(
    tier: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(FaultServer(event_page(1, headers=[("x-isnotai-tier", tier)]))) as client:
        page = await client.list_events("s1")
    assert page.tier is None
    assert page.data[0].event_id == "e1"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "unknown tier" in warning
    assert warning.isprintable()
    assert len(warning.encode()) < 1000


async def test_a_header_that_is_not_utf_8_is_safe_to_show() -> None:
    reply = http_head(502, [("Content-Type", "text/\xff\xfe"), ("Content-Length", "5")]) + b"<htm>"
    error = await failure_of(FaultServer(reply), isnotai.ServerError)
    assert "text/" in str(error)
