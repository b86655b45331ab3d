"""The key is in a request's headers only while they are written: recorders, traces and errors never have it."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rich.console import Console
from rich.pretty import pretty_repr

import isnotai_async as isnotai
from isnotai_async._http.credentials import ApiKey
from tests.canary import CANARY_KEY, shows_key
from tests.faults.answers import event_page, http_head, json_reply
from tests.faults.clients import build_client, check_error, connected, failure_of
from tests.faults.server import FaultServer


@pytest.mark.parametrize("serializer", ["yaml", "json"])
async def test_a_cassette_of_vcrpy_is_recorded_and_replayed_without_the_key(serializer: str, tmp_path: Path) -> None:
    import vcr  # type: ignore[import-untyped]  # here, because it imports every HTTP library that it finds

    cassette = str(tmp_path / "cassette")
    server = FaultServer(event_page(1, cursor="c2"), event_page(2))
    found = []
    async with server, build_client(server) as client:
        for mode in ("once", "none"):
            with vcr.use_cassette(cassette, serializer=serializer, record_mode=mode):
                found.append([event.event_id async for event in client.list_events("s1")])
    assert found == [["e1", "e2"], ["e1", "e2"]]
    assert len(server.requests) == 2, "the second time nothing was sent"
    assert server.requests[0].header("authorization") == f"Bearer {CANARY_KEY}"
    written = Path(cassette).read_text()
    assert "e2" in written
    assert not shows_key(written)


async def test_traces_of_the_http_session_see_the_key_only_while_headers_are_written() -> None:
    seen: dict[str, str] = {}
    kept: list[Any] = []
    tracing = aiohttp.TraceConfig()

    def remember(name: str) -> Any:
        async def note(_session: object, _context: object, params: Any) -> None:
            seen[name] = str(dict(params.headers))
            kept.append(params)

        return note

    for name in ("on_request_start", "on_request_headers_sent", "on_request_end"):
        getattr(tracing, name).append(remember(name))
    async with connected(FaultServer(event_page(1)), trace_configs=[tracing]) as client:
        await client.list_events("s1")
    assert {name for name, text in seen.items() if "Authorization" in text} == {"on_request_headers_sent"}
    assert not any(shows_key(text) for text in seen.values())
    assert not any("Authorization" in str(dict(params.headers)) for params in kept)


def test_copies_of_the_header_are_the_same_object_and_show_nothing() -> None:
    header = ApiKey(CANARY_KEY).authorization
    for copied in (
        copy.copy(header),
        copy.deepcopy(header),
        copy.deepcopy({"Authorization": header})["Authorization"],
    ):
        assert copied is header
    assert not shows_key(pretty_repr({"Authorization": header}, max_string=40))
    assert not shows_key(header[:30] + header[-9:])


def test_the_key_of_a_credential_is_shown_by_nothing() -> None:
    credential = isnotai.Credential(CANARY_KEY)
    secret: Any = credential.api_key
    console = Console(record=True, file=io.StringIO())
    console.print(secret, credential)
    shown = [
        f"{secret}",
        f"{secret!s:>90}",
        f"{secret!r}",
        str(secret),
        repr([secret]),
    ]
    shown += [pretty_repr(secret, max_string=9), console.export_text(), json.dumps([secret], default=str)]
    assert not any(shows_key(text) for text in shown)
    for leak in (lambda: secret[:20], lambda: secret + "", lambda: json.dumps(secret), lambda: "".join(secret)):
        with pytest.raises(TypeError) as caught:
            leak()
        assert not shows_key(str(caught.value))


async def test_a_credential_still_opens_a_client() -> None:
    async with FaultServer(event_page(1)) as server:
        credential = isnotai.Credential(CANARY_KEY, base_url=server.base_url)
        async with isnotai.SessionManager({"us": credential}) as manager:
            await manager["us"].list_events("s1")
    assert server.requests[0].header("authorization") == f"Bearer {CANARY_KEY}"


def escaped(text: str, *, upper: bool = False) -> str:
    return "".join(f"\\u{ord(character):04{'X' if upper else 'x'}}" for character in text)


ESCAPED = {
    "all": escaped(CANARY_KEY),
    "capitals": escaped(CANARY_KEY, upper=True),
    "the first letter": escaped(CANARY_KEY[0]) + CANARY_KEY[1:],
    "the last letter": CANARY_KEY[:-1] + escaped(CANARY_KEY[-1]),
    "every other": "".join(escaped(c) if at % 2 else c for at, c in enumerate(CANARY_KEY)),
}


@pytest.mark.parametrize("name", ESCAPED)
async def test_a_key_echoed_with_escapes_is_in_no_cursor_and_no_position(name: str) -> None:
    body = event_page(1, cursor="CURSOR").partition(b"\r\n\r\n")[2].replace(b"CURSOR", ESCAPED[name].encode())
    async with connected(FaultServer(http_head(200, [("Content-Length", str(len(body)))]) + body)) as client:
        walk = client.list_events("s1")
        async for page in walk.pages():
            assert not shows_key(repr(page))
            assert not shows_key(str(page.next_cursor))
            break
        assert not shows_key(walk.position.to_json())


@pytest.mark.parametrize("name", ESCAPED)
async def test_a_key_echoed_with_escapes_is_in_no_name_of_a_member(name: str) -> None:
    body = b'{"data": {"KEY": [{"KEY": "KEY"}]}, "id": 7}'.replace(b"KEY", ESCAPED[name].encode())
    reply = http_head(200, [("Content-Length", str(len(body)))]) + body
    async with connected(FaultServer(reply)) as client:
        assert not shows_key(repr(await client.get_integration()))
    check_error(await failure_of(FaultServer(reply), isnotai.DecodeError, lambda client: client.get_session("s1")))


async def test_escapes_that_spell_no_key_stay() -> None:
    async with connected(FaultServer(json_reply({"a": 'Łukasz "quoted" \\ / \u2028'}))) as client:
        assert dict(await client.get_integration()) == {"a": 'Łukasz "quoted" \\ / \u2028'}


@pytest.mark.parametrize("key", ['aik_v1_"quotes"\\back/slash', "a" * 40, "[.*]+?(x)|{1,2}^$-#"])
def test_keys_of_any_characters_are_found_in_json(key: str) -> None:
    secret = ApiKey(key)
    for body in (json.dumps(key), json.dumps(key).replace("/", "\\/"), f'"{escaped(key)}\\n"'):
        assert json.loads(secret.scrub(body.encode())).rstrip() == "***"


TOO_LONG = {
    "header": "HTTP/1.1 200 OK\r\nX-Echo: {}\r\n\r\n",
    "status": "HTTP/1.1 200 {}\r\n\r\n",
    "name": "HTTP/1.1 200 OK\r\n{}: 1\r\n\r\n",
    "chunk size": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
    "not HTTP": "{}\r\n\r\n",
}


def overlong(kind: str, before: int) -> FaultServer:
    line = f"{'x' * before}{CANARY_KEY}{'y' * 9_000}"
    return FaultServer(TOO_LONG[kind].format(line).encode())


@pytest.mark.parametrize("before", [0, 30, 60, 70, 80, 90, 95, 8_120, 8_150, 8_180])
@pytest.mark.parametrize("kind", TOO_LONG)
async def test_a_key_echoed_in_a_line_that_is_too_long_is_in_no_message(kind: str, before: int) -> None:
    """The sample in the message of aiohttp is cut somewhere, and with it the key."""
    check_error(await failure_of(overlong(kind, before), isnotai.ProtocolError))


def test_pieces_of_the_key_are_masked_and_other_words_stay() -> None:
    secret = ApiKey(CANARY_KEY)
    assert secret.scrub_pieces(f"b'x: {CANARY_KEY[:30]}'") == "b'x: ***'"
    assert secret.scrub_pieces(f"{CANARY_KEY[20:]}…") == "***…"
    assert secret.scrub_pieces("Expected HTTP/, RTSP/ or ICE/") == "Expected HTTP/, RTSP/ or ICE/"
    assert secret.scrub_pieces("") == ""
