"""The transport: what one send puts on the wire, where it goes, and how long it may take."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import unquote
from weakref import ReferenceType, ref

import aiohttp
import anyio
import pytest
from anyio.lowlevel import cancel_shielded_checkpoint
from hypothesis import example, given
from hypothesis import strategies as st

import isnotai_async as isnotai
from isnotai_async._http import transport
from isnotai_async._http.messages import Request, Response
from isnotai_async._version import __version__
from tests.canary import CANARY_KEY
from tests.faults.answers import error_reply, event_page, http_head, http_reply, json_reply, session_row
from tests.faults.clients import build_client, check_error, connected, failure_of, fixed_examples
from tests.faults.server import Cut, FaultServer, Received, Reply, Step
from tests.garbage import no_collector

HEALTH = json_reply({"status": "healthy", "version": "1", "timestamp": "2026-06-10T12:00:00Z"})
CHUNKED = ("Transfer-Encoding", "chunked")
cuts = pytest.mark.parametrize("cut", Cut)


@cuts
async def test_a_connection_that_dies_before_the_answer_is_one_request_on_the_wire(cut: Cut) -> None:
    error = await failure_of(FaultServer([cut]), isnotai.TransportError)
    assert "was lost before the answer was complete" in str(error)


@cuts
async def test_a_kept_connection_that_dies_is_not_tried_again_behind_the_back(cut: Cut) -> None:
    server = FaultServer(event_page(1), [cut])
    async with connected(server) as client:
        await client.list_events("s1")
        with pytest.raises(isnotai.TransportError) as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert caught.value.attempts == 1
    assert [request.connection for request in server.requests] == [1, 1]


@cuts
async def test_a_connection_closed_while_it_was_idle_never_makes_two_requests_of_one(cut: Cut) -> None:
    server, calls = FaultServer([event_page(1), cut]), 20
    failed = 0
    async with connected(server) as client:
        for _ in range(calls):
            try:
                await client.list_events("s1")
            except isnotai.TransportError:
                failed += 1
    # A request may meet the dying connection and fail, once; none is sent twice.
    assert len(server.requests) <= calls
    assert len(server.requests) >= calls - failed


async def test_the_headers_say_who_asks_for_what_and_carry_the_key() -> None:
    server = FaultServer(event_page(1))
    async with connected(server) as client:
        await client.list_events("s1")
        server_host = f"127.0.0.1:{server.port}"
    (request,) = server.requests
    assert dict(request.headers) == {
        "host": server_host,
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "user-agent": f"isnotai-async/{__version__}",
        "authorization": f"Bearer {CANARY_KEY}",
    }


async def test_health_carries_no_key() -> None:
    server = FaultServer(HEALTH)
    async with connected(server) as client:
        await client.health()
    assert server.requests[0].header("authorization") is None
    assert server.requests[0].target == "/health"


async def test_without_a_key_health_works_and_nothing_else_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISNOTAI_API_KEY", raising=False)
    server = FaultServer(HEALTH)
    async with connected(server, api_key=None) as client:
        await client.health()
        with pytest.raises(isnotai.ConfigError, match="ISNOTAI_API_KEY"):
            await client.list_events("s1")
    assert len(server.requests) == 1


REFUSED_IDS = ["..", ".", "", "a\r\nX-Evil: 1", "a\nb", "\x00", "\x7f", "\x85", "\ud800", "x" * 10_000, "é" * 513]


@pytest.mark.parametrize("session_id", REFUSED_IDS, ids=lambda value: ascii(value)[:20])
async def test_an_id_that_cannot_be_a_segment_is_refused_before_any_connection(session_id: str) -> None:
    server = FaultServer()
    async with connected(server) as client:
        for ask in (client.get_session, client.get_session_details, client.list_events):
            with pytest.raises(isnotai.ConfigError) as caught:
                await ask(session_id)
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 200
    assert server.connections == 0


@fixed_examples
@given(session_id=st.text(min_size=1, max_size=60))
@example(session_id="../../admin")
@example(session_id="%2e%2e")
@example(session_id="%2E%2E%2Fadmin")
@example(session_id="a/b")
@example(session_id="?cursor=x")
@example(session_id="#fragment")
@example(session_id="//evil.example/")
@example(session_id="http://evil.example")
@example(session_id="user:pw@evil.example")
@example(session_id=";a=b&c + d\\e|{}[]^`\"'<>")
@example(session_id="\u2025\uff0e\uff0e/\u202e\U0001f600")
@example(session_id="x" * 1024)
async def test_an_accepted_id_is_one_segment_and_decodes_back_to_the_id(session_id: str) -> None:
    server = FaultServer(event_page(1), json_reply({"data": session_row("s1")}))
    async with connected(server) as client:
        try:
            await client.list_events(session_id)
        except isnotai.ConfigError:
            assert server.connections == 0
            return
        await client.get_session(session_id)
    targets = [request.target for request in server.requests]
    assert [target.count("/") for target in targets] == [4, 3]
    for target in targets:
        segment = target.split("/")[3]
        assert target.startswith(f"/v1/sessions/{segment}")
        assert unquote(segment, errors="strict") == session_id
        assert not set(segment) & set("/?# ")


@pytest.mark.parametrize("prefix", ["", "/", "/gateway", "/gateway/isnotai/", "/a%20b/%C3%A9"])
async def test_the_path_prefix_of_the_base_url_is_kept(prefix: str) -> None:
    async with FaultServer(event_page(1)) as server, build_client(server.base_url + prefix) as client:
        await client.list_events("a/b", page_size=2)
    assert server.requests[0].target == f"{prefix.rstrip('/')}/v1/sessions/a%2Fb/events?pageSize=2"


async def test_an_answer_that_never_comes_ends_with_the_timeout() -> None:
    server = FaultServer([asyncio.Event()])
    error = await failure_of(server, isnotai.TransportTimeoutError, timeout=0.1)
    assert isinstance(error, TimeoutError)
    assert not error.deadline_exceeded
    assert error.elapsed > 0
    assert str(error).endswith("in time; the timeout of 0.1 s passed")


async def test_an_answer_that_a_deadline_ends_names_timeout_and_deadline() -> None:
    retry = isnotai.Retry(base=0.01)
    async with connected(FaultServer([asyncio.Event()]), timeout=0.1, deadline=0.25, retry=retry) as client:
        with pytest.raises(isnotai.TransportTimeoutError) as caught:
            await client.list_events("s1")
    assert str(caught.value).endswith("in time; the timeout of 0.1 s passed; the deadline of 0.25 s ended the call")


async def test_a_body_that_drips_without_end_ends_with_the_timeout() -> None:
    head = http_head(200, [("Content-Length", str(2**40))])
    server = FaultServer([head, lambda: itertools.repeat(b" ")])
    async with connected(server, timeout=0.2) as client:
        with pytest.raises(isnotai.TransportTimeoutError) as caught:
            await client.list_events("s1")
        await server.until(lambda: server.open_connections == 0)
    check_error(caught.value)


async def test_waiting_for_a_free_slot_does_not_use_up_the_timeout() -> None:
    gate = asyncio.Event()
    server = FaultServer([gate, event_page(1)], event_page(2))
    async with connected(server, max_concurrency=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(_ask, client.with_options(timeout=None))
        await server.until(lambda: len(server.requests) == 1)
        hasty = client.with_options(timeout=0.5)
        tasks.start_soon(_ask, hasty)
        await asyncio.sleep(0.6)  # longer than the hasty one has for its attempt
        gate.set()
    assert len(server.requests) == 2


async def _ask(client: isnotai.Client) -> None:
    await client.list_events("s1")


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    gate = asyncio.Event()
    server = FaultServer([gate, event_page(1)])
    async with connected(server, max_concurrency=3) as client, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(_ask, client)
        await server.until(lambda: len(server.requests) == 3)
        for _ in range(20):  # time for a fourth to come, if it could
            await cancel_shielded_checkpoint()
        gate.set()
    assert server.most_in_flight == 3
    assert (len(server.requests), server.connections) == (20, 3)


@pytest.mark.parametrize("stage", ["before the answer", "in the body"])
async def test_a_cancelled_call_closes_its_connection_and_frees_its_slot(stage: str) -> None:
    begun = [http_reply(b"x" * 100)[:-50]] if stage == "in the body" else []
    server = FaultServer([*begun, asyncio.Event()], event_page(1))
    async with connected(server, max_concurrency=1) as client:
        call = asyncio.create_task(_ask(client))
        await server.until(lambda: len(server.requests) == 1)
        for _ in range(5):  # the client reads what there is of the answer
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until(lambda: server.open_connections == 0)
        await client.list_events("s1")
    assert [request.connection for request in server.requests] == [1, 2]


async def test_proxies_and_logins_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = FaultServer(event_page(1))
    async with connected(server) as client:
        await client.list_events("s1")
    assert server.requests[0].header("authorization") == f"Bearer {CANARY_KEY}"


async def test_a_refused_connection_says_where_and_why(unused_port: int) -> None:
    async with build_client(f"http://127.0.0.1:{unused_port}") as client:
        with pytest.raises(isnotai.ConnectError, match=f"127.0.0.1:{unused_port}: Connect") as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert not caught.value.tls
    assert caught.value.attempts == 1


@pytest.fixture
async def unused_port() -> int:
    async with FaultServer() as server:
        return server.port


def test_a_request_as_received_does_not_show_its_headers() -> None:
    assert "Bearer" not in repr(Received("GET / HTTP/1.1", [("authorization", "Bearer x")], 1))


# Slow and stuck transport. The half minute of silence is shortened, and the timeout is longer than it.


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(transport, "_ERROR_SECONDS", 0.2)


def slowly(reply: bytes, pieces: int, seconds: float) -> Callable[[Received], Reply]:
    """Answer with so many pieces after the head, each so many seconds after the one before."""
    head, _, body = reply.partition(b"\r\n\r\n")
    size = -(-len(body) // pieces)

    def begin(_: Received) -> Reply:
        steps: list[Step] = [head + b"\r\n\r\n"]
        for number in range(pieces):
            gate = asyncio.Event()
            asyncio.get_running_loop().call_later(seconds * (number + 1), gate.set)
            steps += [gate, body[number * size : (number + 1) * size]]
        return steps

    return begin


async def test_a_body_may_take_longer_than_the_silence_if_it_is_never_silent(short_silence: None) -> None:
    async with connected(FaultServer(slowly(event_page(*range(30)), 10, 0.1)), timeout=20) as client:
        assert len((await client.list_events("s1")).data) == 30


async def test_a_body_that_stops_coming_ends_the_attempt_before_its_timeout(short_silence: None) -> None:
    stuck: Reply = [event_page(*range(30))[:-20], asyncio.Event()]
    async with connected(FaultServer(stuck), timeout=3_600) as client:
        with pytest.raises(isnotai.TransportTimeoutError, match=r"in time; nothing came for 0\.5 s$"):
            await client.list_events("s1")


@pytest.mark.parametrize("timeout", [0.6, 3_600, None])
async def test_an_error_whose_body_stops_coming_keeps_its_status(timeout: float | None, short_silence: None) -> None:
    refusal = error_reply(429, "RATE_LIMITED", "slow down", headers=[("Retry-After", "7")])
    async with connected(FaultServer([refusal[:-9], asyncio.Event()]), timeout=timeout) as client:
        with pytest.raises(isnotai.RateLimitedError) as caught:
            await client.list_events("s1")
    assert caught.value.retry_after == 7


async def test_waiting_in_a_borrowed_pool_is_no_silence_of_the_servers(short_silence: None) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(FaultServer(slowly(event_page(1), 1, 0.3)))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)))
        client = await stack.enter_async_context(build_client(server, http_session=session, timeout=30))
        pages = await asyncio.gather(*(client.list_events("s1") for _ in range(4)))
    assert [len(page.data) for page in pages] == [1] * 4


async def test_an_answer_in_one_piece_is_watched_no_longer() -> None:
    async with connected(FaultServer(event_page(1))) as client:
        await client.list_events("s1")


@pytest.mark.parametrize(
    "steps",
    [
        [Cut.CLOSE],
        [http_head(200, [("Content-Length", "99")]), b"{", Cut.CLOSE],
        [http_head(200, [("Content-Length", "9000000")]), b" " * 9_000_000],
        [b"no HTTP\r\n\r\n"],
        error_reply(503, "X", "m"),
    ],
    ids=["lost", "cut", "too large", "no HTTP", "refused"],
)
async def test_a_failed_call_leaves_nothing_for_the_garbage_collector(steps: Reply) -> None:
    async def fail(client: isnotai.Client) -> ReferenceType[isnotai.IsNotAIError]:
        try:
            await client.list_events("s1")
        except isnotai.IsNotAIError as error:
            return ref(error)
        raise AssertionError("it should have failed")

    async with connected(FaultServer(steps)) as client:
        with no_collector():
            before = count_left()
            error = await fail(client)
            assert error() is None
            assert count_left() == before


@pytest.mark.parametrize(
    "steps",
    [
        [Cut.CLOSE],
        [http_head(200, [("Content-Length", "99")]), b"{", Cut.CLOSE],
        [b"no HTTP\r\n\r\n", Cut.CLOSE],
        http_reply(b"no JSON"),
        error_reply(503, "X", "m"),
        [Cut.RESET],
        [http_head(200, [CHUNKED]) + b"fff\r\n{", Cut.CLOSE],
        [http_head(200, [CHUNKED]) + b"zz\r\n{", Cut.CLOSE],
        http_reply(b"no gzip", headers=[("Content-Encoding", "gzip")]),
        [asyncio.Event()],
        [http_head(200, [("Content-Length", "99")]), b"{", asyncio.Event()],
    ],
    ids=["lost", "cut", "no HTTP", "no JSON", "refused", "reset", "chunk", "no chunk", "no gzip", "silent", "stuck"],
)
async def test_a_call_that_succeeds_at_last_leaves_nothing_for_the_garbage_collector(steps: Reply) -> None:
    """Exports make millions of calls: a page that stays behind with the failure before it would be their memory."""
    server = FaultServer(steps, event_page(1))
    async with connected(server, retry=isnotai.Retry(base=0.0), timeout=0.5) as client:
        with no_collector():
            before = count_left()
            page = ref(await client.list_events("s1"))
            assert page() is None
            assert count_left() == before


def count_left() -> int:
    """Count the errors of this package that are alive; other tests keep some."""
    errors = (found for found in gc.get_objects() if isinstance(found, BaseException))
    return sum(type(error).__module__.startswith("isnotai_async") for error in errors)


@pytest.mark.parametrize(("size", "is_apart"), [(12_000, False), (300_000, True), (8_000_000, True)])
async def test_large_bodies_are_decoded_in_a_thread_and_pages_are_not(size: int, is_apart: bool) -> None:
    threads = list[int]()

    def remember(response: Response) -> int:
        threads.append(threading.get_ident())
        return len(response.body)

    body = b'{"a":[' + b"{}," * (size // 3) + b"{}]}"
    async with connected(FaultServer(http_reply(body))) as client:
        read = client._retrying.fetch(Request("get_integration", "/v1/integration"), remember)
        assert await read == len(body)
    assert (threads[0] != threading.get_ident()) is is_apart


async def test_what_a_large_body_has_wrong_is_said_as_of_a_small_one() -> None:
    body = b'{"data": [' + b" " * 300_000 + b'{"eventId": 7}], "pagination": {"hasMore": false, "limit": 1}}'
    async with connected(FaultServer(http_reply(body))) as client:
        with pytest.raises(isnotai.DecodeError) as caught:
            await client.list_events("s1")
    assert caught.value.path == "$.data[0].eventId"


async def test_an_answer_that_changes_protocol_is_an_error_and_its_connection_closed() -> None:
    head = http_head(101, [("Connection", "upgrade"), ("Upgrade", "websocket")])
    server = FaultServer([head, asyncio.Event()])
    error = await failure_of(server, isnotai.ProtocolError)
    assert error.status == 101
    await server.until(lambda: server.open_connections == 0)


async def test_a_path_that_is_none_goes_nowhere() -> None:
    """No operation makes one: it would change the path prefix, and with it whom the key is sent to."""
    async with connected(FaultServer(event_page(1))) as client:
        with pytest.raises(isnotai.ConfigError, match="would leave") as caught:
            await client._transport.send(Request("list_events", "evil/v1"))
        assert caught.value.attempts == 0


@pytest.mark.parametrize("target", ["//evil.example/v1", "/@evil.example", "/:99/", "/v1?next=//evil", "/\\evil"])
async def test_whatever_is_asked_for_is_asked_of_the_own_host(target: str) -> None:
    server = FaultServer(event_page(1))
    async with connected(server) as client:
        await client._transport.send(Request("list_events", target))
        assert [request.header("host") for request in server.requests] == [f"127.0.0.1:{server.port}"]
