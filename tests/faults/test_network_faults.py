"""What a network does to a request, and what the user sees of it."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

import isnotai_async as isnotai
from isnotai_async.sandbox import Fault
from tests.canary import CANARY_KEY
from tests.faults.answers import event_page, http_chunk, http_head, http_reply, sliced
from tests.faults.clients import check_error
from tests.faults.server import Cut, FaultServer, Step

HASTY = isnotai.Retry(base=0.001, cap=0.01)
PAGE = event_page(1, 2)
BODY = PAGE.partition(b"\r\n\r\n")[2]
JSON = ("Content-Type", "application/json")


def build(where: FaultServer | str, **options: Any) -> isnotai.Client:
    base_url = where if isinstance(where, str) else where.base_url
    defaults = {"retry": HASTY, "limiter": isnotai.Unlimited()}
    return isnotai.Client(CANARY_KEY, base_url=base_url, **{**defaults, **options})


@asynccontextmanager
async def asking(server: FaultServer, **options: Any) -> AsyncIterator[isnotai.Client]:
    async with server, build(server, **options) as client:
        yield client


async def failure(where: FaultServer | str, kind: type[isnotai.IsNotAIError], **options: Any) -> Any:
    """Ask for a page and return the error that it ends with."""
    async with build(where, **options) as client:
        with pytest.raises(kind) as caught:
            await client.list_events("s1")
        check_error(caught.value)
        return caught.value


# No connection.


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


async def test_a_refused_connection_is_tried_four_times(closed_port: int) -> None:
    error = await failure(f"http://127.0.0.1:{closed_port}", isnotai.ConnectError)
    assert (error.attempts, error.deadline_exceeded) == (4, False)
    assert error.elapsed > 0


class BrokenResolver(AbstractResolver):
    """Fails as getaddrinfo does."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:  # noqa: ARG002
        self.calls += 1
        raise socket.gaierror(self.number, "as the test wants")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("number", "attempts"), [(socket.EAI_AGAIN, 4), (socket.EAI_NONAME, 2)], ids=["not now", "no such name"]
)
async def test_a_name_that_is_not_found_is_looked_up_again(number: int, attempts: int) -> None:
    resolver = BrokenResolver(number)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as session:
        error = await failure("https://api.isnotai.test", isnotai.ConnectError, http_session=session)
    assert error.attempts == resolver.calls == attempts


@contextmanager
def black_hole() -> Iterator[int]:
    """Listen with a queue that is full, so that the kernel drops each further SYN."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


async def test_a_connect_that_nobody_answers_ends_and_is_tried_again() -> None:
    twice = isnotai.Retry(attempts=2, base=0.0)
    with black_hole() as port:
        error = await failure(f"http://127.0.0.1:{port}", isnotai.TransportTimeoutError, timeout=0.2, retry=twice)
    assert (error.attempts, error.deadline_exceeded) == (2, False)


AUTHORITY = trustme.CA()
CERTIFICATES: dict[str, tuple[dict[str, Any], bool]] = {
    "of another host": ({"name": "elsewhere.example"}, True),
    "expired": ({"name": "127.0.0.1", "not_after": datetime(2020, 1, 1, tzinfo=UTC)}, True),
    "of an unknown authority": ({"name": "127.0.0.1"}, False),
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_certificate_that_cannot_be_trusted_is_not_tried_again(name: str) -> None:
    certificate, is_known = CERTIFICATES[name]
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    AUTHORITY.issue_cert(certificate.pop("name"), **certificate).configure_cert(serving)
    if is_known:
        AUTHORITY.configure_trust(trusting)
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with FaultServer(PAGE, tls=serving) as server, aiohttp.ClientSession(connector=connector) as session:
        error = await failure(server, isnotai.ConnectError, http_session=session)
        assert (error.tls, error.attempts) == (True, 1)
        assert not server.requests


# A connection that breaks.


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_connection_that_is_lost_before_any_byte_is_made_again_at_once(cut: Cut) -> None:
    told = list[isnotai.Notice]()
    server = FaultServer([cut], PAGE)
    async with asking(server, on_notice=told.append, retry=isnotai.Retry(base=10.0)) as client:
        await client.list_events("s1")
    assert len(server.requests) == 2
    (retry,) = [notice for notice in told if isinstance(notice, isnotai.RetryNotice)]
    assert (retry.attempt, retry.wait) == (2, 0.0)


@pytest.mark.parametrize("cut", list(Cut))
async def test_each_attempt_is_one_request_on_the_wire(cut: Cut) -> None:
    async with FaultServer([cut]) as server:
        error = await failure(server, isnotai.TransportError)
        assert error.attempts == len(server.requests) == 4


async def test_a_connection_closed_between_two_requests_is_not_noticed() -> None:
    server = FaultServer([PAGE, Cut.CLOSE])
    async with asking(server) as client:
        for _ in range(5):
            await client.list_events("s1")
            await asyncio.sleep(0.01)
    assert len(server.requests) == 5


@pytest.mark.parametrize("times", [200, pytest.param(1000, marks=pytest.mark.heavy)])
async def test_a_connection_closed_in_the_moment_of_its_reuse_is_never_an_error(times: int) -> None:
    """Many times, with up to four turns of the loop between the answer and the next request."""
    server = FaultServer([PAGE, Cut.CLOSE])
    async with asking(server) as client:
        for number in range(times):
            await client.list_events("s1")
            for _ in range(number % 5):
                await asyncio.sleep(0)
    assert len(server.requests) >= times


# Slow answers.


async def test_headers_that_never_come_end_the_attempt_and_not_the_call() -> None:
    server = FaultServer([asyncio.Event()], PAGE)
    async with asking(server, timeout=1.0) as client:
        page = await client.list_events("s1")
    assert len(page.data) == 2
    assert len(server.requests) == 2


async def test_a_body_that_drips_ends_the_attempt_and_not_the_call() -> None:
    async with isnotai.Sandbox() as sandbox:
        sandbox.inject(Fault.slow_body(0.2))
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, timeout=1.0, retry=HASTY) as client:
            await client.get_session("big-1")
        assert sandbox.stats.requests == 2


async def test_a_deadline_ends_a_body_that_drips() -> None:
    async with isnotai.Sandbox() as sandbox:
        sandbox.inject(Fault.slow_body(0.05, times=None))
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, deadline=0.4) as client:
            with pytest.raises(isnotai.TransportTimeoutError) as caught:
                await client.get_session("big-1")
        assert (caught.value.deadline_exceeded, caught.value.attempts) == (True, 1)


# Bodies that are cut.

LENGTH = ("Content-Length", str(len(BODY)))
CHUNKED = ("Transfer-Encoding", "chunked")
CUT_BODIES = {
    "short of its length": http_head(headers=[JSON, LENGTH]) + BODY[:-20],
    "inside a chunk": http_head(headers=[JSON, CHUNKED]) + b"%x\r\n" % len(BODY) + BODY[:-20],
    "between two chunks": http_head(headers=[JSON, CHUNKED]) + http_chunk(BODY[:-20]),
}


@pytest.mark.parametrize("name", CUT_BODIES)
async def test_a_cut_body_is_asked_for_again(name: str) -> None:
    cut: list[Step] = [CUT_BODIES[name], Cut.CLOSE]
    server = FaultServer(cut, cut, PAGE)
    async with asking(server) as client:
        page = await client.list_events("s1")
    assert [event.event_id for event in page.data] == ["e1", "e2"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("name", CUT_BODIES)
async def test_a_body_that_is_always_cut_is_an_error_and_no_page(name: str) -> None:
    async with FaultServer([CUT_BODIES[name], Cut.CLOSE]) as server:
        error = await failure(server, isnotai.ProtocolError)
        assert error.attempts == len(server.requests) == 4


async def test_a_cut_body_without_a_length_counts_as_an_attempt() -> None:
    """Nothing but the JSON tells that it is not whole."""
    cut: list[Step] = [http_head(headers=[JSON, ("Connection", "close")]) + BODY[:-20], Cut.CLOSE]
    server = FaultServer(cut, PAGE)
    async with asking(server) as client:
        page = await client.list_events("s1")
    assert len(page.data) == 2
    async with FaultServer(cut) as server:
        error = await failure(server, isnotai.DecodeError)
        assert error.attempts == len(server.requests) == 4


async def test_an_answer_in_pieces_of_one_byte_is_an_answer() -> None:
    server = FaultServer(sliced(PAGE))
    async with asking(server) as client:
        page = await client.list_events("s1")
    assert len(page.data) == 2
    assert len(server.requests) == 1


async def test_a_captive_portal_is_the_gateways_with_a_sample_and_no_storm() -> None:
    page = http_reply(b"<html>" + b"x" * 5000, headers=[("Content-Type", "text/html")])
    async with FaultServer(page) as server:
        error = await failure(server, isnotai.GatewayError)
        assert "text/html that starts with '<html>xxx" in str(error)
        assert len(str(error)) < 400
        assert len(server.requests) == 4


async def test_what_is_not_http_is_asked_for_once_more() -> None:
    async with FaultServer([b"SSH-2.0-OpenSSH_9.6\r\n", Cut.CLOSE]) as server:
        error = await failure(server, isnotai.ProtocolError)
        assert error.attempts == len(server.requests) == 2


async def test_a_redirect_is_not_asked_for_again() -> None:
    async with FaultServer(http_reply(status=302, headers=[("Location", "/elsewhere")])) as server:
        error = await failure(server, isnotai.ProtocolError)
        assert (error.status, error.attempts, len(server.requests)) == (302, 1, 1)


async def test_an_oversized_body_is_not_asked_for_again() -> None:
    async with FaultServer(http_reply(b" " * (9 * 2**20))) as server:
        error = await failure(server, isnotai.ProtocolError)
        assert (error.attempts, len(server.requests)) == (1, 1)


# Many at once.


async def test_waiting_for_a_connection_uses_up_no_attempt() -> None:
    """Twelve calls of 0.5 s over two connections, with 2 s for an attempt: the last ones wait for longer."""
    async with isnotai.Sandbox(latency=0.5) as sandbox:
        client = isnotai.Client(
            sandbox.api_key, base_url=sandbox.base_url, timeout=2.0, max_concurrency=2, limiter=isnotai.Unlimited()
        )
        async with client:
            await asyncio.gather(*(client.get_session("big-1") for _ in range(12)))
        assert sandbox.stats.requests == 12
        assert sandbox.stats.max_in_flight <= 2


async def test_a_deadline_covers_the_wait_for_a_connection() -> None:
    async with isnotai.Sandbox(latency=1.0) as sandbox:
        client = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, max_concurrency=1, deadline=1.8)
        async with client:
            ends = await asyncio.gather(*(client.get_session("big-1") for _ in range(3)), return_exceptions=True)
    late = [end for end in ends if isinstance(end, isnotai.TransportTimeoutError)]
    assert len(late) == 2
    assert all(error.deadline_exceeded for error in late)


# Clocks, cancellation, loops.


def test_only_monotonic_clocks_measure() -> None:
    root = Path(isnotai.__file__).parent
    # The doctor compares the clock of this machine with the server's, and a Delta table says to other machines when a
    # run was there; neither measures anything by it.
    apart = {"sandbox", "_diagnosis", "_delta_runs.py"}
    sources = [path for path in root.rglob("*.py") if not apart & {*path.parts}]
    assert len(sources) > 20
    for path in sources:
        assert not re.search(r"(?<!\.)\btime\.time\(|from time import.*\btime\b", path.read_text()), path.name


async def test_rows_56_and_58_a_walk_that_is_cancelled_anywhere_goes_on_and_misses_nothing() -> None:
    async with isnotai.Sandbox() as sandbox:
        client = isnotai.Client(
            sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.LocalLimiter(tier="enterprise", window=0.6)
        )
        async with client:
            whole = [event.event_id async for event in client.list_events("big-5", page_size=2)]
            for turns in range(2000):
                found, walk = list[str](), client.list_events("big-5", page_size=2)

                async def go_on(walk: Any = walk, found: list[str] = found) -> None:
                    async for event in walk:
                        found.append(event.event_id)

                task = asyncio.create_task(go_on())
                for _ in range(turns):
                    await asyncio.sleep(0)
                was_done = task.done()
                task.cancel()
                await asyncio.wait([task])
                gc.collect(0)
                await go_on()
                assert found == whole
                if was_done:
                    return
    pytest.fail("the walk never came to an end")


def test_a_client_serves_one_loop_and_says_so_on_another() -> None:
    client = isnotai.Client(CANARY_KEY, base_url="http://127.0.0.1:9", limiter=isnotai.Unlimited())
    asyncio.run(client.open())

    async def ask() -> None:
        with pytest.raises(isnotai.ConfigError, match="opened on another event loop"):
            await client.list_events("s1")

    try:
        asyncio.run(ask())
    finally:
        asyncio.run(client.aclose())


def test_a_limiter_serves_one_loop_after_the_other() -> None:
    limiter = isnotai.LocalLimiter(window=0.5)

    async def ask() -> None:
        async with isnotai.Sandbox(tier="free", window=0.5) as sandbox:
            async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client:
                await asyncio.gather(*(client.get_session("big-1") for _ in range(70)))
            assert sandbox.stats.rejected == 0

    for _ in range(2):
        asyncio.run(ask())
