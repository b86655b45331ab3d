"""A body in chunks of one byte: each costs several microseconds, and a body of 8 MiB would have eight million."""

from __future__ import annotations

import asyncio
import json

import pytest

import isnotai_async as isnotai
from tests.faults.answers import event_row, http_chunk, http_head, http_reply, listing
from tests.faults.clients import check_error, connected, failure_of
from tests.faults.server import Cut, FaultServer

MOST_CHUNKS = 32_768


def in_single_bytes(body: bytes, *, status: int = 200) -> bytes:
    head = http_head(status, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
    return head + b"".join(http_chunk(bytes([byte])) for byte in body) + http_chunk(b"")


def page_of(size: int) -> bytes:
    """Build a page of 100 events, with blanks at its end."""
    return json.dumps(listing([event_row(number) for number in range(100)])).encode().ljust(size)


async def test_a_page_in_as_many_chunks_as_allowed_is_read() -> None:
    async with connected(FaultServer(in_single_bytes(page_of(MOST_CHUNKS)))) as client:
        page = await client.list_events("s1")
    assert [event.event_id for event in page.data] == [f"e{number}" for number in range(100)]


async def test_one_chunk_more_ends_the_answer() -> None:
    error = await failure_of(FaultServer(in_single_bytes(page_of(MOST_CHUNKS + 1))), isnotai.ProtocolError)
    assert str(error).startswith("the body has more than 32,768 chunks, which no page of this API has")


async def test_a_walk_ends_at_an_endless_row_of_chunks_where_it_stands() -> None:
    server = FaultServer(in_single_bytes(page_of(8 * 2**20 // 16)))
    async with connected(server) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.ProtocolError, match="more than 32,768 chunks") as caught:
            _ = [event async for event in walk]
    check_error(caught.value)
    assert caught.value.position == walk.position


async def test_an_error_in_too_many_chunks_keeps_its_status() -> None:
    error = await failure_of(FaultServer(in_single_bytes(page_of(MOST_CHUNKS + 1), status=503)), isnotai.ServerError)
    assert error.status == 503


@pytest.mark.parametrize("status", [200, 503])
async def test_the_loop_runs_what_else_is_ready_while_such_a_body_is_read(status: int) -> None:
    loop, turns = asyncio.get_running_loop(), 0
    handle: asyncio.Handle

    def turn() -> None:
        nonlocal turns, handle
        turns += 1
        handle = loop.call_soon(turn)

    async with connected(FaultServer(in_single_bytes(page_of(30_000), status=status))) as client:
        handle = loop.call_soon(turn)
        try:
            await client.request("/v1/anything")
        except isnotai.ServerError:
            pass
        finally:
            handle.cancel()
    assert turns > 30_000 / 256


async def test_an_answer_that_has_no_body_has_no_chunks_however_often_it_comes() -> None:
    """All absent bodies are one object in aiohttp, and from the second reading on it returns ends of chunks only."""
    switch = http_reply(status=101, headers=[("Upgrade", "websocket"), ("Connection", "upgrade")])
    async with connected(FaultServer(switch, switch)) as client:
        for _ in range(2):
            with pytest.raises(isnotai.ProtocolError) as caught:
                await client.list_events("s1")
            assert caught.value.status == 101


@pytest.mark.parametrize("size", [1, 16, 4096, 200_000])
async def test_a_page_is_whole_if_its_connection_is_closed_right_after_it(size: int) -> None:
    body = page_of(200_000 if size > 1 else 20_000)
    chunks = [http_chunk(body[start : start + size]) for start in range(0, len(body), size)]
    head = http_head(200, [("Transfer-Encoding", "chunked"), ("Connection", "close")])
    async with connected(FaultServer([b"".join([head, *chunks, http_chunk(b"")]), Cut.CLOSE])) as client:
        assert len((await client.list_events("s1")).data) == 100
