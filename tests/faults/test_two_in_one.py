"""An answer is a success and holds an error envelope, with a good answer in the same body: the API says it failed."""

from __future__ import annotations

from typing import Any

import pytest

import isnotai_async as isnotai
from tests.faults.answers import event_page, event_row, http_reply, json_reply, listing, session_row
from tests.faults.clients import Ask, check_error, connected
from tests.faults.server import FaultServer

ENVELOPE = {"code": "BACKEND_TIMEOUT", "message": "partial result"}
UNREADABLE = {"eventId": "e2"}
ONCE_MORE: dict[str, Any] = {"retry": isnotai.Retry(base=0.01)}
in_both_modes = pytest.mark.parametrize("strict", [False, True], ids=["tolerant", "strict"])


@in_both_modes
@pytest.mark.parametrize("rows", [[], [event_row(2)], [UNREADABLE]], ids=["nothing", "an event", "an odd record"])
async def test_an_error_with_an_empty_page_never_ends_a_walk_in_silence(rows: list[Any], strict: bool) -> None:
    partial = json_reply({"error": ENVELOPE, **listing(rows)})
    async with connected(
        server := FaultServer(event_page(1, cursor="A"), partial), strict=strict, **ONCE_MORE
    ) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.APIError, match="partial result") as caught:
            await walk.to_list()
    assert (caught.value.status, caught.value.code, caught.value.attempts) == (200, "BACKEND_TIMEOUT", 2)
    assert len(server.requests) == 3
    assert walk.position.cursor == "A"
    check_error(caught.value)


async def test_a_text_with_half_a_character_does_not_hide_the_error() -> None:
    body = json_reply({"error": ENVELOPE, **listing([{**event_row(2), "eventTypeName": "\ud800"}])})
    async with connected(FaultServer(body), **ONCE_MORE) as client:
        with pytest.raises(isnotai.DecodeError, match="error envelope"):
            await client.list_events("s1")


async def test_the_second_attempt_can_be_good() -> None:
    partial = json_reply({"error": ENVELOPE, **listing([])})
    server = FaultServer(event_page(1, cursor="A"), partial, event_page(2))
    async with connected(server, **ONCE_MORE) as client:
        assert [event.event_id async for event in client.list_events("s1")] == ["e1", "e2"]


@in_both_modes
@pytest.mark.parametrize("error", [None, {}, "boom", [], {"code": 7}, {"code": "", "message": None}])
async def test_what_is_no_envelope_is_an_unknown_field(error: object, strict: bool) -> None:
    async with connected(
        FaultServer(json_reply({"error": error, **listing([event_row(1)])})), strict=strict
    ) as client:
        assert [event.event_id async for event in client.list_events("s1")] == ["e1"]


OTHERS: dict[str, tuple[Ask, dict[str, Any]]] = {
    "sessions": (lambda client: client.list_sessions(), listing([session_row("s1")])),
    "courses": (lambda client: client.list_courses(), listing([{"id": "c1"}])),
    "session": (lambda client: client.get_session("s1"), {"data": session_row("s1")}),
    "integration": (lambda client: client.get_integration(), {"data": {"name": "x"}}),
    "usage": (lambda client: client.get_usage(), {"requests": 7}),
}


@in_both_modes
@pytest.mark.parametrize("name", OTHERS)
async def test_every_other_answer_that_holds_an_error_is_that_error(name: str, strict: bool) -> None:
    ask, answer = OTHERS[name]
    async with connected(FaultServer(json_reply({**answer, "error": ENVELOPE})), strict=strict) as client:
        with pytest.raises(isnotai.APIError, match="partial result") as caught:
            await ask(client)
    assert caught.value.code == "BACKEND_TIMEOUT"


async def test_a_refusal_that_also_has_data_is_the_apis() -> None:
    reply = http_reply(b'{"data": null, "error": {"code": "SESSION_NOT_FOUND", "message": "gone"}}', status=404)
    async with connected(FaultServer(reply)) as client:
        with pytest.raises(isnotai.NotFoundError, match="gone"):
            await client.get_session("s1")
