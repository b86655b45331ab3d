"""Every scripted fault, as a plain aiohttp client meets it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import Fault, Sandbox

EVENTS = "/v1/sessions/big-700/events"
TIER = "x-isnotai-tier"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 522])
async def test_a_status_comes_with_the_envelope(sandbox: Sandbox, ask: Any, status: int) -> None:
    sandbox.inject(Fault.status(status))
    reply = await ask(sandbox, EVENTS)

    assert reply.status == status
    assert set(reply.json["error"]) == {"code", "message"}
    # Neither a 401 nor an answer of the edge tells the tier.
    assert (TIER in reply.headers) == (status not in {401, 429})


async def test_a_status_can_come_without_a_body(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.status(503, body=False))
    reply = await ask(sandbox, EVENTS)

    assert (reply.status, reply.body, TIER in reply.headers) == (503, b"", False)


@pytest.mark.parametrize("value", [3, 0.5, "Wed, 10 Jun 2026 12:01:00 GMT", "soon", "-1", "9" * 99])
async def test_retry_after_is_sent_as_it_was_given(sandbox: Sandbox, ask: Any, value: Any) -> None:
    sandbox.inject(Fault.status(503, retry_after=value))
    sandbox.inject(Fault.rate_limited(value))

    assert (await ask(sandbox, EVENTS)).headers["Retry-After"] == str(value)
    reply = await ask(sandbox, EVENTS)
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (429, "SANDBOX_RATE_LIMITED", str(value))


async def test_a_429_can_come_without_retry_after(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.rate_limited())
    reply = await ask(sandbox, EVENTS)

    assert reply.status == 429
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (Fault.html(), 502, "text/html"),
        (Fault.html(522), 522, "text/html"),
        (Fault.captive_portal(), 200, "text/html"),
        (Fault.garbage(), 200, "application/json"),
    ],
)
async def test_what_stands_before_the_api_answers_without_json_and_tier(
    *, sandbox: Sandbox, ask: Any, fault: Fault, status: int, kind: str
) -> None:
    sandbox.inject(fault)
    reply = await ask(sandbox, EVENTS)

    assert reply.status == status
    assert reply.headers["Content-Type"].startswith(kind)
    assert TIER not in reply.headers
    with pytest.raises(ValueError, match=r"."):
        json.loads(reply.body)


async def test_raw_sends_exactly_what_it_was_given(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.raw(203, b"\x00" * 2_000, {"X-Odd": "yes", TIER: "platinum"}))
    sandbox.inject(Fault.raw(200, {"data": 7}))
    first, second = await ask(sandbox, EVENTS), await ask(sandbox, EVENTS)

    assert (first.status, first.body, first.headers["X-Odd"]) == (203, b"\x00" * 2_000, "yes")
    assert first.headers[TIER] == "platinum"
    assert "Content-Encoding" not in first.headers
    assert second.json == {"data": 7}


async def test_slow_headers_wait_before_a_true_answer(sandbox: Sandbox, ask: Any) -> None:
    right = (await ask(sandbox, EVENTS)).body
    sandbox.inject(Fault.slow_headers(0.05))
    before = asyncio.get_running_loop().time()

    assert (await ask(sandbox, EVENTS)).body == right
    assert asyncio.get_running_loop().time() - before >= 0.05


async def test_a_slow_body_arrives_whole(sandbox: Sandbox, ask: Any) -> None:
    right = (await ask(sandbox, EVENTS)).body
    sandbox.inject(Fault.slow_body(0.001, piece=200))

    assert (await ask(sandbox, EVENTS)).body == right


async def test_a_client_that_leaves_a_slow_answer_frees_it(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.slow_headers(3_600))
    sandbox.inject(Fault.slow_body(3_600))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(sandbox, EVENTS), 0.05)
    async with asyncio.timeout(5):
        while sandbox.stats.in_flight:
            await asyncio.sleep(0.001)


async def test_closing_does_not_wait_for_slow_answers(ask: Any) -> None:
    async with asyncio.timeout(5):
        async with Sandbox() as sandbox:
            sandbox.inject(Fault.slow_headers(3_600))
            waiting = asyncio.ensure_future(ask(sandbox, EVENTS))
            while not sandbox.stats.in_flight:
                await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def raw_exchange(sandbox: Sandbox) -> tuple[bytes, BaseException | None]:
    """Send one request by hand and read until the connection ends."""
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {sandbox.api_key}\r\n\r\n".encode())
    received = b""
    try:
        while piece := await reader.read(65_536):
            received += piece
    except ConnectionError as error:
        return received, error
    finally:
        writer.close()
    return received, None


async def test_a_reset_comes_before_any_byte(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.reset())
    received, error = await raw_exchange(sandbox)

    assert received == b""
    assert isinstance(error, ConnectionResetError)
    assert sandbox.stats.statuses == {0: 1}


async def test_a_cut_body_is_shorter_than_announced(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.cut_body())
    head, _, body = (await raw_exchange(sandbox))[0].partition(b"\r\n\r\n")
    announced = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))

    assert head.startswith(b"HTTP/1.1 200 ")
    assert len(body) == int(announced.split()[1]) // 2


async def test_a_cut_chunk_ends_in_the_middle(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.cut_body(chunked=True))
    head, _, body = (await raw_exchange(sandbox))[0].partition(b"\r\n\r\n")
    size, _, chunk = body.partition(b"\r\n")

    assert b"Transfer-Encoding: chunked" in head
    assert len(chunk) == int(size, 16) // 2


@pytest.mark.parametrize("fault", [Fault.cut_body(), Fault.cut_body(chunked=True), Fault.corrupt_gzip()])
async def test_a_broken_body_is_noticed_and_the_next_answer_is_right(
    sandbox: Sandbox, ask: Any, fault: Fault
) -> None:
    sandbox.inject(fault)
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(sandbox, EVENTS)

    assert len((await ask(sandbox, EVENTS)).json["data"]) == 100


async def test_gzip_is_corrupt_also_for_who_does_not_accept_it(ask: Any) -> None:
    async with Sandbox(compress=False) as sandbox:
        sandbox.inject(Fault.corrupt_gzip())
        with pytest.raises(aiohttp.ClientPayloadError):
            await ask(sandbox, EVENTS)


async def test_empty_pages_in_the_middle_lose_nothing(sandbox: Sandbox, ask: Any) -> None:
    every = await ask.walk(sandbox, EVENTS)
    sandbox.inject(Fault.empty_page(times=3))
    cursors: list[str] = []
    rows: list[object] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await ask(sandbox, EVENTS, **cursor)).json
        rows += page["data"]
        if not page["pagination"]["hasMore"]:
            break
        cursors.append(page["pagination"]["nextCursor"])
        cursor = {"cursor": cursors[-1]}

    assert rows == every
    assert len(set(cursors)) == len(cursors) == 9


async def test_a_repeated_cursor_waits_for_a_request_that_has_one(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.repeated_cursor())
    first = (await ask(sandbox, EVENTS)).json["pagination"]["nextCursor"]
    page = (await ask(sandbox, EVENTS, cursor=first)).json

    assert page["pagination"] == {"nextCursor": first, "hasMore": True, "limit": 100}
    assert (await ask(sandbox, EVENTS, cursor=first)).json["pagination"]["nextCursor"] != first


async def test_has_more_without_a_cursor(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.no_cursor())
    page = (await ask(sandbox, EVENTS)).json

    assert page["pagination"] == {"nextCursor": None, "hasMore": True, "limit": 100}
    assert len(page["data"]) == 100


async def test_faults_of_pages_wait_for_a_list(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.no_cursor())

    assert (await ask(sandbox, "/v1/integration")).status == 200
    assert (await ask(sandbox, "/v1/sessions")).json["pagination"]["hasMore"] is True


async def test_faults_are_met_first_in_first_out_and_as_often_as_said(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.status(503, times=2))
    sandbox.inject(Fault.status(500))

    assert [(await ask(sandbox, EVENTS)).status for _ in range(4)] == [503, 503, 500, 200]


async def test_a_fault_looks_at_operation_and_region(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.status(503), operation="get_session")
    sandbox.inject(Fault.status(500), region="eu")

    assert (await ask(sandbox, EVENTS)).status == 200
    assert (await ask(sandbox, "/v1/sessions/big-1")).status == 503
    assert (await ask(sandbox, EVENTS, region="eu")).status == 500


async def test_health_meets_faults_too(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.html(), operation="health")

    assert (await ask(sandbox, "/health", headers={})).status == 502


async def test_a_fault_without_times_stands_until_it_is_cleared(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.status(503, times=None))
    assert [(await ask(sandbox, EVENTS)).status for _ in range(5)] == [503] * 5

    sandbox.clear_faults()
    assert (await ask(sandbox, EVENTS)).status == 200


async def test_random_faults_follow_the_seed_and_stand(ask: Any) -> None:
    runs = []
    for seed in (1, 1, 2):
        async with Sandbox(seed=seed) as sandbox:
            sandbox.inject(Fault.status(503), probability=0.3)
            runs.append([(await ask(sandbox, "/v1/integration")).status for _ in range(100)])

    assert runs[0] == runs[1] != runs[2]
    assert 15 <= runs[0].count(503) <= 45


async def test_refused_requests_meet_no_fault(ask: Any) -> None:
    async with Sandbox(rate_limit=1) as sandbox:
        sandbox.inject(Fault.status(500), operation="list_events")
        assert (await ask(sandbox, EVENTS, headers={})).status == 401
        assert (await ask(sandbox, EVENTS)).status == 500
        sandbox.inject(Fault.status(500))
        assert (await ask(sandbox, EVENTS)).status == 429


async def test_a_fault_can_wait_and_then_strike(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.status(503).delayed(0.03))
    before = asyncio.get_running_loop().time()

    assert (await ask(sandbox, EVENTS)).status == 503
    assert asyncio.get_running_loop().time() - before >= 0.03


IMPOSSIBLE: dict[str, Callable[[], object]] = {
    "no error status": lambda: Fault.status(200),
    "never": lambda: Fault.status(503, times=0),
    "negative": lambda: Fault.slow_headers(-1),
    "not a number": lambda: Fault.slow_body(float("nan")),
    "no piece": lambda: Fault.slow_body(piece=0),
    "endless": lambda: Fault.reset().delayed(float("inf")),
    "operation": lambda: Sandbox().inject(Fault.reset(), operation="listEvents"),
    "region": lambda: Sandbox().inject(Fault.reset(), region="mars"),
    "probability": lambda: Sandbox().inject(Fault.reset(), probability=1.5),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_faults_that_cannot_be_are_refused(case: str) -> None:
    with pytest.raises(ConfigError):
        IMPOSSIBLE[case]()


async def test_a_storm_of_faults_leaves_no_error_in_the_log(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    storm = (
        Fault.reset(),
        Fault.cut_body(),
        Fault.cut_body(chunked=True),
        Fault.corrupt_gzip(),
        Fault.slow_body(0.001, piece=500),
        Fault.slow_headers(3_600),
        Fault.status(503),
    )

    async def one(sandbox: Sandbox) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):
            await asyncio.wait_for(ask(sandbox, EVENTS), 3)

    async with Sandbox(latency=(0.0, 0.01), rate_limit=None) as sandbox:
        for fault in storm:
            sandbox.inject(fault, probability=0.1)
        await asyncio.gather(*(one(sandbox) for _ in range(100)))

    assert sandbox.stats.in_flight == 0
    assert sandbox.stats.statuses[503] > 0
    # In debug mode asyncio warns of a callback that took 0.1 s, which says how busy the machine is.
    records = [record for record in caplog.records if "Executing" not in record.msg]
    assert [record for record in records if record.levelno >= logging.WARNING] == []
