"""Each kind of session record that differs from the contract, in each way to read it; its events are exported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async._cli import main
from tests.faults.answers import event_page, json_reply, listing, session_row
from tests.faults.clients import connected
from tests.faults.server import FaultServer, Received

pytestmark = pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
NULL = {"createdAt": None, "status": None, "detectionFlags": None, "botScore": None}
KINDS: Mapping[str, tuple[dict[str, Any], datetime | None]] = {
    "no offset": ({"createdAt": "2026-06-10T12:00:00"}, NOON),
    "a space": ({"createdAt": "2026-06-10 12:00:00Z"}, NOON),
    "an offset without a colon": ({"createdAt": "2026-06-10T12:00:00+0000"}, NOON),
    "no seconds": ({"createdAt": "2026-06-10T12:00Z"}, NOON),
    "nine digits": ({"createdAt": "2026-06-10T12:00:00.123456789Z"}, NOON.replace(microsecond=123_456)),
    "the year 1": ({"createdAt": "0001-01-01"}, datetime(1, 1, 1, tzinfo=UTC)),
    "a 60th second": ({"createdAt": "2016-12-31T23:59:60Z"}, datetime(2017, 1, 1, tzinfo=UTC)),
    "null in every field that may be": (NULL, None),
    "nothing but its id": (dict.fromkeys(session_row("s1").keys() - {"id"}, ...), None),
    "unknown fields": ({"createdAt": "2026-06-10T12:00:00Z", "mood": {"is": ["good"]}}, NOON),
}


def answer(name: str) -> Callable[[Received], bytes]:
    """Answer with a session of a kind, alone or in a list, or with its events."""
    change = KINDS[name][0]
    row = {field: value for field, value in {**session_row("s1"), **change}.items() if value is not ...}

    def reply(request: Received) -> bytes:
        path = request.target.partition("?")[0]
        if path.endswith("/events"):
            return event_page(1)
        return json_reply({"data": row} if path.endswith("/s1") else listing([row]))

    return reply


async def by_await(client: isnotai.Client) -> list[isnotai.Session]:
    return list((await client.list_sessions()).data)


async def by_iterating(client: isnotai.Client) -> list[isnotai.Session]:
    return [session async for session in client.list_sessions()]


async def by_pages(client: isnotai.Client) -> list[isnotai.Session]:
    return [session async for page in client.list_sessions().pages() for session in page.data]


async def by_user(client: isnotai.Client) -> list[isnotai.Session]:
    return await client.get_user_sessions("u1").to_list()


async def by_id(client: isnotai.Client) -> list[isnotai.Session]:
    return [await client.get_session("s1")]


READS: Mapping[str, Callable[[isnotai.Client], Awaitable[list[isnotai.Session]]]] = {
    "await": by_await, "iterate": by_iterating, "pages": by_pages, "of a user": by_user, "one": by_id,
}  # fmt: skip


@pytest.mark.parametrize("way", READS)
@pytest.mark.parametrize("name", KINDS)
async def test_a_kind_of_session_in_the_library(name: str, way: str) -> None:
    async with connected(FaultServer(answer(name))) as client:
        (session,) = await READS[way](client)

    assert (session.id, session.created_at) == ("s1", KINDS[name][1])
    assert session.extra == ({"mood": {"is": ["good"]}} if "unknown" in name else {})


@pytest.mark.parametrize("name", KINDS)
async def test_a_kind_of_session_as_the_source_of_a_stream(name: str) -> None:
    async with (
        connected(FaultServer(answer(name))) as client,
        client.stream_events(client.list_sessions()) as stream,
    ):
        assert [event.event_id async for event in stream.events()] == ["e1"]


@pytest.mark.parametrize("name", KINDS)
async def test_a_kind_of_session_in_the_commands(
    name: str, own_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "events.jsonl"
    async with FaultServer(answer(name)) as server:
        url = ("--base-url", server.base_url)
        listed = await asyncio.to_thread(main, ["sessions", "--format", "jsonl", *url])
        printed = capsys.readouterr()
        exported = await asyncio.to_thread(main, ["export", "--all", "--out", str(out), *url])

    moment = KINDS[name][1]
    written = json.loads(printed.out)
    assert (listed, written["id"]) == (0, "s1")
    assert written["created_at"] == (None if moment is None else moment.isoformat().replace("+00:00", "Z"))
    assert (exported, len(out.read_bytes().splitlines())) == (0, 1)
