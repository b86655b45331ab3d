"""The API key is nowhere to be seen: not in an error, not in a log, not in a traceback, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

import isnotai_async as isnotai
from isnotai_async._http.credentials import ApiKey
from tests.canary import CANARY_KEY, find_key, show_trace, shows_key
from tests.faults.answers import event_page, event_row, http_head, http_reply, json_reply, listing
from tests.faults.clients import build_client
from tests.faults.server import Cut, FaultServer, Received, Reply, Step


def echo(request: Received) -> str:
    """Write a request down again, the way careless servers and proxies do."""
    return "\r\n".join([request.line, *(f"{name}: {value}" for name, value in request.headers)])


def echo_envelope(request: Received) -> Reply:
    error = {"code": f"BAD {echo(request)}", "message": echo(request), "details": {"field": echo(request)}}
    return json_reply({"error": error}, status=401)


def echo_page(request: Received) -> Reply:
    rows = [{**event_row(1), "eventId": echo(request)}, {**event_row(2), "eventTypeName": 7, "extra": echo(request)}]
    return json_reply(listing(rows, echo(request)))


def echo_cursor(request: Received) -> Reply:
    return json_reply(listing([event_row(1)], request.header("authorization")))


def echo_after(filler: int) -> FaultServer:
    """Answer with something that is not HTTP, and in which the key comes this far in."""
    return FaultServer(lambda request: b"G" * filler + (request.header("authorization") or "").encode() + b"\r\n\r\n")


def echo_head(*rest: Step, status: int = 200, length: int = 99, upgrade: str = "") -> FaultServer:
    """Answer with a head that echoes the request, and go on as told; the body is not all that was announced."""

    def reply(request: Received) -> Reply:
        key = request.header("authorization") or ""
        headers = [("X-Echo", key), ("Content-Type", key), ("Content-Length", str(length))]
        if upgrade:
            headers += [("Connection", "upgrade"), ("Upgrade", upgrade)]
        return [http_head(status, headers).replace(b" Reason", f" {key}".encode(), 1), *rest]

    return FaultServer(reply)


SERVERS = {
    "a head that echoes the request, whose body is cut": lambda: echo_head(b"{", Cut.CLOSE),
    "a head that echoes the request, whose body gets stuck": lambda: echo_head(b"{", asyncio.Event()),
    "a head that echoes the request, whose body is too large": lambda: echo_head(b" " * 9_000_000, length=9_000_000),
    "a refusal that echoes the request, whose body is cut": lambda: echo_head(b"{", Cut.CLOSE, status=502),
    "an upgrade that echoes the request": lambda: echo_head(status=101, length=0, upgrade="websocket"),
    "a 401 that echoes the request": lambda: FaultServer(echo_envelope),
    "an error page that echoes the request": lambda: FaultServer(
        lambda request: http_reply(f"<pre>{request.headers}".encode(), status=502)
    ),
    "a page that echoes the request": lambda: FaultServer(echo_page),
    "a cursor that is the key": lambda: FaultServer(echo_cursor),
    "a status line that is the request": lambda: FaultServer(lambda request: echo(request).encode() + b"\r\n\r\n"),
    "garbage with the key at its head": lambda: echo_after(0),
    "a redirect to the key": lambda: FaultServer(
        lambda request: http_reply(status=302, headers=[("Location", f"/?{request.header('authorization')}")])
    ),
    "a broken header with the key": lambda: FaultServer(
        lambda request: http_head(200, [("X\0", request.header("authorization") or "")])
    ),
    "a reset": lambda: FaultServer([Cut.RESET]),
    "a cut body": lambda: FaultServer([event_page(1)[:-9], Cut.CLOSE]),
    "no answer": lambda: FaultServer([asyncio.Event()]),
    "half an answer": lambda: FaultServer([event_page(1)[:-9], asyncio.Event()]),
}


class Watched:
    """What one drive left behind: the error, and everything that could still be reached."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.reachable: list[object] = []


class Outlets:
    """Where a program can say something without being asked."""

    def __init__(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
    ) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog, self._capfd, self._recwarn = caplog, capfd, recwarn

    def read(self) -> str:
        records = [repr(vars(record)) for record in self._caplog.records]
        warnings = [str(warning) for warning in self._recwarn]
        return "\n".join([self._caplog.text, *records, *self._capfd.readouterr(), *warnings])


@pytest.fixture
def outlets(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> Outlets:
    return Outlets(caplog, capfd, recwarn)


@asynccontextmanager
async def watched(outlets: Outlets) -> AsyncIterator[Watched]:
    """Look for the key in what happened inside; asyncio says all it can."""
    asyncio.get_running_loop().set_debug(True)
    seen = Watched()
    yield seen
    assert find_key(*seen.reachable, *seen.errors) == []
    for error in seen.errors:
        assert not shows_key(show_trace(error))
        assert not shows_key(f"{error} {error!r}")
        if isinstance(error, isnotai.IsNotAIError):
            assert not shows_key(pickle.dumps(error))
            assert error.position is None or not shows_key(error.position.to_json())
    assert not shows_key(outlets.read())


@pytest.mark.parametrize("name", SERVERS)
async def test_the_key_is_not_shown_by(name: str, outlets: Outlets) -> None:
    async with watched(outlets) as seen:
        await drive(SERVERS[name](), seen)
    assert seen.errors


async def drive(server: FaultServer, seen: Watched) -> None:
    async with server, build_client(server, timeout=0.3) as client:
        walk = client.list_events("s1")
        for ask in (client.list_events("s1"), _collect(walk), client.get_integration()):
            try:
                seen.reachable.append(await ask)
            except isnotai.IsNotAIError as error:
                seen.errors.append(error)
        seen.reachable += [client, vars(client), walk, vars(walk), walk.position]
        assert server.requests, "the key was on its way"
        assert all(request.header("authorization") == f"Bearer {CANARY_KEY}" for request in server.requests)


async def _collect(walk: isnotai.Paginator[isnotai.Event]) -> list[isnotai.Event]:
    return [event async for event in walk]


@pytest.mark.parametrize("filler", [300, 400, 410, 420, 500])
async def test_the_key_is_not_shown_by_garbage_that_is_cut_within_the_key(filler: int, outlets: Outlets) -> None:
    async with watched(outlets) as seen:
        await drive(echo_after(filler), seen)


@pytest.mark.parametrize("header", ["Content-Type", "x-isnotai-tier"])
async def test_the_key_is_not_shown_by_a_header_that_is_the_key(header: str, outlets: Outlets) -> None:
    server = FaultServer(
        lambda request: http_reply(b"<html>", headers=[(header, request.header("authorization") or "")])
    )
    async with watched(outlets) as seen:
        await drive(server, seen)


async def test_the_key_is_not_shown_by_a_call_that_is_cancelled_before_the_answer(outlets: Outlets) -> None:
    server = FaultServer([asyncio.Event()])
    shown = await cancel(server, outlets, lambda: server.until(lambda: len(server.requests) == 1))
    assert "_connect_and_send_request" in shown, "aiohttp's frames are among those looked at"


@pytest.mark.parametrize(
    "server",
    [
        lambda: FaultServer([event_page(1)[:-9], asyncio.Event()]),
        lambda: echo_head(b"{", asyncio.Event()),
        lambda: echo_head(b"{", asyncio.Event(), status=502),
    ],
    ids=["a page", "an echo", "a refusal that echoes"],
)
async def test_the_key_is_not_shown_by_a_call_that_is_cancelled_in_the_body(
    server: Callable[[], FaultServer], outlets: Outlets
) -> None:
    head, trace = asyncio.Event(), aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        head.set()

    trace.on_request_end.append(note)
    shown = await cancel(server(), outlets, head.wait, trace_configs=[trace])
    assert "readchunk" in shown, "the body was waited for"


async def test_the_key_is_not_shown_by_a_call_that_is_cancelled_between_two_attempts(outlets: Outlets) -> None:
    """The refusal that it waits after echoes the key in a way that only decoding shows."""

    def refuse(request: Received) -> Reply:
        key = "".join(f"\\u{ord(letter):04x}" for letter in request.header("authorization") or "")
        body = json.dumps({"error": {"code": "X", "message": "KEY", "details": {"field": "KEY"}}})
        return http_reply(body.replace("KEY", key).encode(), status=503)

    waits, patient = asyncio.Event(), isnotai.Retry(base=1000.0, cap=2000.0)

    def hear(notice: isnotai.Notice) -> None:
        if isinstance(notice, isnotai.RetryNotice):
            waits.set()

    shown = await cancel(FaultServer(refuse), outlets, waits.wait, retry=patient, deadline=None, on_notice=hear)
    assert "ServerError" in shown, "the refusal is among what was looked at"


async def cancel(
    server: FaultServer, outlets: Outlets, until: Callable[[], Awaitable[object]], **options: Any
) -> str:
    """Cancel a call when something is so; return its traceback, with locals, in which the key was looked for."""
    async with watched(outlets) as seen, server, build_client(server, **options) as client:
        call = asyncio.create_task(_collect(client.list_events("s1")))
        await until()
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        shown = show_trace(caught.value)
        seen.errors.append(caught.value)
        seen.reachable += [client, vars(client), call]
    return shown


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_key_is_not_shown_when_no_connection_is_made(scheme: str, outlets: Outlets) -> None:
    async with FaultServer(greeting=b"this is no TLS") as plain:
        port = plain.port if scheme == "https" else 1
        async with watched(outlets) as seen, build_client(f"{scheme}://127.0.0.1:{port}") as client:
            with pytest.raises(isnotai.ConnectError) as caught:
                await client.list_events("s1")
            seen.errors.append(caught.value)
            seen.reachable += [client, vars(client)]


@pytest.mark.parametrize("flaw", ["\n", " ", "\ud800", "é", "x" * 500], ids=lambda flaw: ascii(flaw)[:9])
@pytest.mark.parametrize("source", ["argument", "environment"])
def test_a_key_that_is_refused_is_not_shown(flaw: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> isnotai.Client:
        if source == "argument":
            return isnotai.Client(f"{CANARY_KEY}{flaw}")
        monkeypatch.setattr(os, "environ", {"ISNOTAI_API_KEY": f"{CANARY_KEY}{flaw}"})
        return isnotai.Client()

    with pytest.raises(isnotai.ConfigError, match="the API key") as caught:
        build()
    assert not shows_key(show_trace(caught.value))
    assert not shows_key(pickle.dumps(caught.value))


async def test_no_other_option_that_is_refused_shows_the_key() -> None:
    options: list[dict[str, Any]] = [{"region": "mars"}, {"base_url": "ftp://x"}, {"timeout": -1}, {"proxy": "x"}]
    for option in options:
        with pytest.raises(isnotai.ConfigError) as caught:
            isnotai.Client(CANARY_KEY, **option)
        assert not shows_key(show_trace(caught.value))


def test_a_key_hides_itself() -> None:
    key = ApiKey(CANARY_KEY)
    assert not shows_key(
        f"{key} {key!r} {key.authorization!r} {[key.authorization]} {vars(build_client('http://[::1]'))}"
    )
    for secret in (key, key.authorization):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
