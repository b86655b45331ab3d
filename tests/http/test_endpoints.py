"""Requests from queries, and records or errors from answers; nothing is sent."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isnotai_async._http import endpoints
from isnotai_async._http.messages import Request, Response
from isnotai_async._models.pages import Headers
from isnotai_async._models.queries import EventQuery, SessionIdQuery, SessionQuery
from isnotai_async._models.tiers import Tier
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    ConfigError,
    GatewayError,
    InvalidCursorError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    ServerError,
)
from tests import sample

REQUEST = Request("list_events", "/v1/sessions/s/events")


def answer(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    request: Request = REQUEST,
) -> Response:
    return Response(request, status, Headers.of(headers or {}), body, "eu")


def test_every_request_goes_to_the_documented_path() -> None:
    assert endpoints.HEALTH.build() == Request("health", "/health", authenticated=False)
    assert endpoints.GET_INTEGRATION.build().target == "/v1/integration"
    assert endpoints.GET_SESSION.build(SessionIdQuery(session_id="s 1")).target == "/v1/sessions/s%201"
    assert (
        endpoints.GET_SESSION_DETAILS.build(SessionIdQuery(session_id="s/1")).target == "/v1/sessions/s%2F1/details"
    )
    assert endpoints.LIST_SESSIONS.build(SessionQuery()).target == "/v1/sessions"
    assert endpoints.LIST_EVENTS.build(EventQuery(session_id="s1")).target == "/v1/sessions/s1/events"


def test_filters_go_with_every_page_under_the_apis_names() -> None:
    query = EventQuery(session_id="s1", page_size=50, type="0x01", start_time=1, end_time=2)

    for cursor in (None, "next"):
        request = endpoints.LIST_EVENTS.build(query, cursor)
        params = dict(parse_qsl(urlsplit(request.target).query, strict_parsing=True))
        assert params.pop("cursor", None) == cursor == request.cursor
        assert params == {"pageSize": "50", "type": "0x01", "startTime": "1", "endTime": "2"}


def test_session_filters_go_under_the_apis_names() -> None:
    query = SessionQuery(status="active", bot_only=True, start_date="2026-06-10", end_date="2026-06-11")
    params = dict(parse_qsl(urlsplit(endpoints.LIST_SESSIONS.build(query).target).query))

    assert params == {
        "status": "active",
        "botOnly": "true",
        "startDate": "2026-06-10T00:00:00.000000Z",
        "endDate": "2026-06-11T23:59:59.999999Z",
    }


@given(
    cursor=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), name=st.text("a&=#?+% /\u2028é", min_size=1)
)
def test_a_cursor_is_one_value_whatever_it_holds(cursor: str, name: str) -> None:
    target = endpoints.LIST_EVENTS.build(EventQuery(session_id="s1", type=name), cursor).target

    assert target.isascii()
    assert target.isprintable()
    assert dict(parse_qsl(urlsplit(target).query, keep_blank_values=True)) == {"type": name, "cursor": cursor}


@given(session_id=st.text(min_size=1))
def test_an_id_is_one_segment_or_refused(session_id: str) -> None:
    try:
        target = endpoints.GET_SESSION.build(SessionIdQuery(session_id=session_id)).target
    except ConfigError:
        return
    prefix, _, segment = target.rpartition("/")
    assert prefix == "/v1/sessions"
    assert unquote(segment) == session_id
    assert segment not in {"", ".", ".."}


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, InvalidRequestError),
        (422, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (429, RateLimitedError),
        *[(status, ServerError) for status in (500, 502, 503, 504, 520, 524, 529, 599)],
        *[(status, APIError) for status in (402, 405, 408, 410, 425, 451)],
    ],
)
@pytest.mark.parametrize("enveloped", [True, False])
def test_a_refusal_is_typed_by_its_status_and_one_without_envelope_is_the_gateways(
    status: int, cls: type[APIError], enveloped: bool
) -> None:
    body = sample.body("error") if enveloped else b"<html>Bad Gateway</html>"
    kind = cls if enveloped or status >= 500 or status in {408, 425, 429} else GatewayError

    with pytest.raises(kind) as caught:
        endpoints.LIST_EVENTS.read(answer(status, body, {"content-type": "text/html"}))

    error = caught.value
    assert type(error) is kind
    assert error.status == status
    if isinstance(error, GatewayError):
        assert "text/html that starts with '<html>Bad Gateway</html>'" in error.message
    elif enveloped:
        assert (error.code, error.details) == ("VALIDATION_FAILED", {"field": "pageSize"})
        assert error.message == "pageSize must be at least 1."
    else:
        assert (error.code, error.details) == ("unknown", {})
        assert error.message == "no error envelope, text/html that starts with '<html>Bad Gateway</html>'"


def test_a_refused_key_is_explained_by_the_region() -> None:
    with pytest.raises(AuthenticationError, match="check that this key belongs to eu"):
        endpoints.LIST_EVENTS.read(answer(401, sample.body("error")))


@pytest.mark.parametrize(
    "envelope",
    [
        b'{"error": {"code": "X", "message": "m", "details": {"field": "cursor"}}}',
        b'{"error": {"code": "INVALID_CURSOR", "message": "m"}}',
        b'{"error": {"code": "X", "message": "The cursor has expired."}}',
    ],
)
def test_a_refusal_that_names_the_cursor_is_about_the_cursor(envelope: bytes) -> None:
    with_cursor = answer(400, envelope, request=Request("list_events", "/x?cursor=c", cursor="c"))

    with pytest.raises(InvalidCursorError, match="iterate again to resume"):
        endpoints.LIST_EVENTS.read(with_cursor)
    with pytest.raises(InvalidRequestError) as caught:
        endpoints.LIST_EVENTS.read(answer(400, envelope))
    assert type(caught.value) is InvalidRequestError


@pytest.mark.parametrize("body", [b'{"error": {"code": 7, "message": [], "details": 1}}', b'{"error": []}', b"\xff"])
def test_an_envelope_of_wrong_types_is_still_typed_by_its_status(body: bytes) -> None:
    with pytest.raises(ServerError) as caught:
        endpoints.LIST_EVENTS.read(answer(500, body))
    assert (caught.value.code, caught.value.details) == ("unknown", {})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_protocol_error(status: int) -> None:
    with pytest.raises(ProtocolError, match="does not follow") as caught:
        endpoints.LIST_EVENTS.read(answer(status))
    assert caught.value.status == status


@pytest.mark.parametrize("status", [100, 304, 600, 999])
def test_a_status_this_api_does_not_know_is_a_protocol_error(status: int) -> None:
    with pytest.raises(ProtocolError, match=f"status {status}"):
        endpoints.LIST_EVENTS.read(answer(status, sample.body("events")))


@pytest.mark.parametrize("status", [200, 201])
def test_an_empty_success_is_the_gateways(status: int) -> None:
    with pytest.raises(GatewayError, match=f"answered {status} without JSON, the body is empty"):
        endpoints.LIST_EVENTS.read(answer(status))


def test_a_captive_portal_is_named_by_its_content_type_and_its_first_bytes() -> None:
    portal = answer(200, b"<html>Please log in" + b"." * 1000, {"content-type": "text/html"})

    with pytest.raises(
        GatewayError, match=r"without JSON, text/html that starts with '<html>Please log in"
    ) as caught:
        endpoints.LIST_EVENTS.read(portal)
    assert len(str(caught.value)) < 400


def test_the_tier_is_read_and_an_unknown_one_ignored() -> None:
    body = sample.body("events")

    assert endpoints.LIST_EVENTS.read(answer(200, body, {"x-isnotai-tier": "pro"})).tier is Tier.PRO
    assert endpoints.LIST_EVENTS.read(answer(200, body, {"x-isnotai-tier": "gold"})).tier is None
    assert endpoints.LIST_EVENTS.read(answer(200, body)).tier is None


def test_an_answer_shows_no_body_and_no_headers() -> None:
    shown = repr(answer(200, b"secret body", {"x": "secret header"}))

    assert "secret" not in shown


def test_each_reader_reads_its_sample() -> None:
    assert endpoints.LIST_SESSIONS.read(answer(body=sample.body("sessions"))).data[0].id == "s1"
    assert endpoints.GET_SESSION_DETAILS.read(answer(body=sample.body("details"))).session_id == "s1"
    assert endpoints.HEALTH.read(answer(body=sample.body("health"))).status == "healthy"
    session = sample.dump({"data": sample.load("sessions")["data"][0]})
    assert endpoints.GET_SESSION.read(answer(body=session)).id == "s1"
    assert endpoints.GET_STATS.read(answer(body=b'{"apiKeyMasked": "x"}')) == {"apiKeyMasked": "x"}
