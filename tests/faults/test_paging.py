"""Cursors that repeat, are missing, or are anything but harmless."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import isnotai_async as isnotai
from tests.faults.answers import event_page, event_row, http_reply, json_reply, listing
from tests.faults.clients import check_error, connected, fixed_examples
from tests.faults.server import FaultServer, Received, Reply


async def walk_to_error(server: FaultServer) -> tuple[list[str], isnotai.PaginationError]:
    """Walk until the chain breaks; return the ids handed out before, and the error."""
    ids: list[str] = []
    async with connected(server) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.PaginationError) as caught:
            async for event in walk:
                ids.append(event.event_id)
        assert caught.value.position == walk.position
    check_error(caught.value)
    return ids, caught.value


@pytest.mark.parametrize("cursors", ["AA", "ABA", "ABB", "ABCDEFB"])
async def test_a_cursor_that_comes_again_is_an_error_and_never_a_quiet_end(cursors: str) -> None:
    server = FaultServer(*(event_page(number, cursor=cursor) for number, cursor in enumerate(cursors)))
    ids, error = await walk_to_error(server)
    assert ids == [f"e{number}" for number in range(len(cursors))]
    assert len(server.requests) == len(cursors), "the repeated cursor is not followed"
    assert "circle" in str(error)


async def test_a_circle_is_seen_after_resuming_too() -> None:
    async with connected(FaultServer(event_page(1, cursor="A"), event_page(2, cursor="A"))) as client:
        walk = client.list_events("s1")
        async for _ in walk:
            break
        again = client.list_events("s1", resume=isnotai.Position.from_json(walk.position.to_json()))
        with pytest.raises(isnotai.PaginationError, match="circle"):
            _ = [event async for event in again]


async def test_a_circle_of_empty_pages_is_seen() -> None:
    ids, error = await walk_to_error(
        FaultServer(event_page(cursor="A"), event_page(cursor="B"), event_page(cursor="A"))
    )
    assert ids == []
    assert "circle" in str(error)


@pytest.mark.parametrize(
    "pagination", [{"nextCursor": None}, {"nextCursor": ""}, {}], ids=["null", "empty", "absent"]
)
async def test_more_without_a_cursor_is_an_error(pagination: dict[str, Any]) -> None:
    last = {"data": [event_row(2)], "pagination": {"hasMore": True, "limit": 100, **pagination}}
    ids, error = await walk_to_error(FaultServer(event_page(1, cursor="A"), json_reply(last)))
    assert ids == ["e1"]
    assert error.path == "$.pagination.nextCursor"
    assert "hasMore" in str(error)
    assert (error.region, error.attempts) == ("us", 1)


@pytest.mark.parametrize("cursor", ["A", "", None, "x" * 10_000])
async def test_the_end_is_the_end_whatever_the_cursor_says(cursor: str | None) -> None:
    last = listing([event_row(1)], cursor, hasMore=False)
    server = FaultServer(json_reply(last))
    async with connected(server) as client:
        page = await client.list_events("s1")
        ids = [event.event_id async for event in client.list_events("s1")]
    assert (page.has_more, page.next_cursor) == (False, None)
    assert ids == ["e1"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("cursor", [7, True, 1.5, ["A"], {"A": 1}, "x" * 16_385, "é" * 8_193, "x" * 1_000_000])
async def test_what_cannot_be_a_cursor_is_an_error(cursor: object) -> None:
    ids, error = await walk_to_error(FaultServer(event_page(1, cursor="A"), event_page(2, cursor=cursor)))
    assert ids == ["e1"]
    assert error.path == "$.pagination.nextCursor"
    assert len(str(error)) < 400


HARMFUL = [
    "a\r\nX-Evil: 1",
    "a&pageSize=1",
    "a=b;c",
    "#frag",
    "?x",
    "..",
    "/",
    "%2e%2e",
    "%",
    "+ +",
    "é\u2028",
    "\x00",
]


@fixed_examples
@given(cursor=st.text(min_size=1, max_size=200))
@example(cursor="x" * 4096)
@example(cursor="\U0001f600" * 1024)
async def test_any_cursor_is_sent_back_as_one_value_beside_its_filters(cursor: str) -> None:
    await check_cursor_comes_back(cursor)


@pytest.mark.parametrize("cursor", HARMFUL)
async def test_a_harmful_cursor_is_sent_back_as_one_value_beside_its_filters(cursor: str) -> None:
    await check_cursor_comes_back(cursor)


async def check_cursor_comes_back(cursor: str) -> None:
    server = FaultServer(_reply_to_first(cursor), event_page(2))
    async with connected(server) as client:
        ids = [event.event_id async for event in client.list_events("s1", type="key press", page_size=7)]
    assert ids == ["e1", "e2"]
    first, second = server.requests
    assert second.line.count(" ") == 2
    assert second.line.isascii()
    assert [name for name, _ in second.headers] == [name for name, _ in first.headers]
    parts = urlsplit(second.target)
    assert parts.path == "/v1/sessions/s1/events"
    query = parse_qsl(parts.query, strict_parsing=True)
    assert sorted(query) == sorted([("pageSize", "7"), ("type", "key press"), ("cursor", cursor)])


def _reply_to_first(cursor: str) -> Reply:
    body = listing([event_row(1)], cursor)
    return http_reply(json.dumps(body, ensure_ascii=False).encode())


async def test_every_request_of_a_long_walk_carries_its_own_cursor() -> None:
    def reply(request: Received) -> Reply:
        number = int(dict(parse_qsl(urlsplit(request.target).query)).get("cursor", "0"))
        return event_page(number, cursor=str(number + 1) if number < 50 else None)

    async with connected(FaultServer(reply)) as client:
        ids = [event.event_id async for event in client.list_events("s1")]
    assert ids == [f"e{number}" for number in range(51)]
