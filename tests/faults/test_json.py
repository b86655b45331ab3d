"""The body is no JSON, extreme JSON, or newer JSON than this client knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import isnotai_async as isnotai
from tests.faults.answers import event_row, http_reply, json_reply, listing, session_row
from tests.faults.clients import Ask, check_error, connected, failure_of, fixed_examples, list_events
from tests.faults.server import FaultServer

PAGE = json.dumps(listing([event_row(1), event_row(2)])).encode()
ASKS: dict[str, Ask] = {
    "events": lambda client: client.list_events("s1"),
    "sessions": lambda client: client.list_sessions(),
    "session": lambda client: client.get_session("s1"),
    "details": lambda client: client.get_session_details("s1"),
    "integration": lambda client: client.get_integration(),
    "health": lambda client: client.health(),
}
every_ask = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)

NO_JSON: dict[str, bytes] = {
    "UTF-16": PAGE.decode().encode("utf-16"),
    "UTF-16 without a mark": PAGE.decode().encode("utf-16-le"),
    "UTF-32": PAGE.decode().encode("utf-32"),
    "cut": PAGE[:-1],
    "two documents": PAGE + PAGE,
    "a comment": b"// hi\n" + PAGE,
    "a trailing comma": PAGE[:-1] + b",}",
    "single quotes": b"{'data': []}",
    "a bare word": b"ok",
    "an octal number": b'{"data": 01}',
    "a raw line break in a string": b'{"data": "a\nb"}',
    "NUL": b"\x00",
}


@every_ask
@pytest.mark.parametrize("name", NO_JSON)
async def test_what_is_no_json_is_a_decode_error(name: str, ask: Ask) -> None:
    error = await failure_of(FaultServer(http_reply(NO_JSON[name])), isnotai.DecodeError, ask, strict=True)
    assert error.path == "$"
    assert "JSON" in str(error)


async def test_text_that_is_not_utf_8_is_a_decode_error() -> None:
    body = PAGE.replace(b"keypress", b"key\xffpress", 1)
    error = await failure_of(FaultServer(http_reply(body)), isnotai.DecodeError, strict=True)
    assert "utf-8" in str(error)


@fixed_examples
@given(
    at=st.integers(0, len(PAGE) - 1),
    junk=st.binary(max_size=3),
    length=st.integers(0, 3),
)
async def test_an_altered_page_is_a_page_or_a_decode_error(at: int, junk: bytes, length: int) -> None:
    async with connected(FaultServer(http_reply(PAGE[:at] + junk + PAGE[at + length :])), strict=True) as client:
        try:
            page = await client.list_events("s1")
        except isnotai.DecodeError as error:
            assert error.path.startswith("$")
        except isnotai.GatewayError:
            assert at == 0, "what does not start like JSON may be text"
        else:
            assert all(type(event.timestamp) is int for event in page.data)


DEPTHS = [100, 400, 600, 800, 900, 950, 990, 1_000, 100_000]


@every_ask
@pytest.mark.parametrize("brackets", [(b'{"data":', b"}"), (b"[", b"]")], ids=["objects", "arrays"])
async def test_a_body_nested_without_end_is_a_decode_error(brackets: tuple[bytes, bytes], ask: Ask) -> None:
    body = brackets[0] * 100_000 + b"1" + brackets[1] * 100_000
    await failure_of(FaultServer(http_reply(body)), isnotai.DecodeError, ask, strict=True)


async def test_a_nested_integration_is_read_or_a_decode_error_at_every_depth() -> None:
    bodies = [http_reply(b'{"a":' * depth + b"1" + b"}" * depth) for depth in DEPTHS]
    async with connected(FaultServer(*bodies), strict=True) as client:
        for _ in DEPTHS:
            try:
                await client.get_integration()
            except isnotai.DecodeError as error:
                assert "nested too deep" in str(error)


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_refusal_with_nested_details_can_be_shown_and_pickled(depth: int) -> None:
    details = b'{"field": ' + b"[" * depth + b"]" * depth + b"}"
    body = b'{"error": {"code": "X", "message": "m", "details": ' + details + b"}}"
    kinds: tuple[type[isnotai.APIError | isnotai.GatewayError], ...] = (isnotai.NotFoundError,)
    if depth > 800:  # how deep `json` reads depends on the frames of the stack, and on the interpreter's version
        kinds = (isnotai.NotFoundError, isnotai.GatewayError)
    if depth > 10_000:
        kinds = (isnotai.GatewayError,)  # too deep to be read as an envelope
    async with connected(FaultServer(http_reply(body, status=404)), strict=True) as client:
        with pytest.raises(kinds) as caught:
            await list_events(client)
    assert caught.value.status == 404
    check_error(caught.value)


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "1.5", "1.0", "1e3", str(2**63), str(2**70), "9" * 5000, '"7"']


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
async def test_a_number_that_fits_no_field_is_refused_and_never_rounded(number: str) -> None:
    body = PAGE.replace(b"1781000000002", number.encode())
    await failure_of(FaultServer(http_reply(body)), isnotai.DecodeError, strict=True)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000], ids=lambda n: n[:9]
)
async def test_a_number_that_nothing_can_hold_is_refused_where_there_is_no_schema(number: str) -> None:
    reply = http_reply(f'{{"quota": {number}}}'.encode())
    await failure_of(FaultServer(reply), isnotai.DecodeError, ASKS["integration"])


@fixed_examples
@given(number=st.integers(-(2**200), 2**200))
@example(number=2**53 + 1)
@example(number=2**63)
@example(number=2**64)
async def test_an_integer_is_kept_exactly_or_refused(number: int) -> None:
    row = {**event_row(1), "timestamp": number}
    async with connected(
        FaultServer(http_reply(json.dumps({"n": number}).encode()), json_reply(listing([row])))
    ) as client:
        assert (await client.get_integration())["n"] == number
        try:
            page = await client.list_events("s1")
        except isnotai.DecodeError as error:
            assert error.path == "$.data[0].timestamp"
            assert not -(2**63) <= number < 2**63
        else:
            assert page.data[0].timestamp == number


SURROGATES = [rb"\ud800", rb"\udfff", rb"\ud800\ud800", rb"a\udc00b", rb"\ud83d", b"\xed\xa0\x80"]


@pytest.mark.parametrize("text", SURROGATES)
async def test_half_a_character_is_refused_before_anything_is_written(text: bytes) -> None:
    body = PAGE.replace(b'"e2"', b'"' + text + b'"')
    await failure_of(FaultServer(http_reply(body)), isnotai.DecodeError, strict=True)


@fixed_examples
@given(text=st.text(st.characters(codec=None), min_size=1, max_size=10))
@example(text="\ud83d\ude00")
@example(text="\u2028\x00\x7f\uffff")
async def test_any_text_that_is_read_can_be_written_again(text: str) -> None:
    body = json.dumps(listing([{**event_row(1), "eventId": text}])).encode()  # json escapes half characters too
    async with connected(FaultServer(http_reply(body)), strict=True) as client:
        try:
            page = await client.list_events("s1")
        except isnotai.DecodeError:
            with pytest.raises(UnicodeEncodeError):
                text.encode()
        else:
            assert page.data[0].event_id.encode() == text.encode("utf-16", "surrogatepass").decode("utf-16").encode()


async def test_fields_and_names_that_are_newer_than_this_client_are_passed_over() -> None:
    news: dict[str, Any] = {"isNew": True, "nested": {"deep": [1, None, "x"]}, "event_id": "not this", "": 0}
    rows = [{**event_row(1), **news, "eventTypeName": "telepathy", "messageId": 300}]
    body = {**listing(rows, "c2", totalCount=7, **news), **news}
    sessions = listing([{**session_row("s1"), **news, "status": "frozen", "detectionFlags": ["ghost"]}])
    async with connected(FaultServer(json_reply(body), json_reply(sessions)), strict=True) as client:
        page = await client.list_events("s1")
        session = (await client.list_sessions()).data[0]
    event = page.data[0]
    assert (event.event_id, event.event_type_name, event.message_id) == ("e1", "telepathy", 300)
    assert (page.next_cursor, page.has_more) == ("c2", True)
    assert (session.status, session.detection_flags) == ("frozen", ("ghost",))


async def test_of_a_field_given_twice_the_last_counts_as_in_every_json_reader() -> None:
    body = PAGE.replace(b'"eventId": "e2"', b'"eventId": "first", "eventId": "last"')
    async with connected(FaultServer(http_reply(body)), strict=True) as client:
        page = await client.list_events("s1")
    assert [event.event_id for event in page.data] == ["e1", "last"]
