"""Records, pages and positions as plain JSON values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

import isnotai_async as isnotai
from tests import sample
from tests.faults.answers import json_reply
from tests.faults.clients import connected
from tests.faults.server import FaultServer

EVENT = isnotai.Event("e1", 1, "init", 1_781_092_800_123, 0)
PLAIN = {
    "event_id": "e1",
    "message_id": 1,
    "event_type_name": "init",
    "timestamp": 1_781_092_800_123,
    "payload_size": 0,
}


async def read(name: str) -> Any:
    async with connected(FaultServer(json_reply(sample.load(name)))) as client:
        if name == "details":
            return await client.get_session_details("s1")
        return await (client.list_sessions() if name == "sessions" else client.list_events("s1"))


def test_a_record_is_a_dict_with_snake_case_keys() -> None:
    assert isnotai.to_dict(EVENT) == PLAIN
    assert json.loads(isnotai.to_json([EVENT, EVENT])) == [PLAIN, PLAIN]
    assert json.loads(json.dumps({"event": EVENT}, default=isnotai.to_dict)) == {"event": PLAIN}


def test_what_a_limiter_gets_and_gives_is_a_dict_too() -> None:
    outcome = isnotai.RequestOutcome(429, 2.0, isnotai.Tier.PRO)

    assert isnotai.to_dict(outcome) == {"status": 429, "retry_after": 2.0, "tier": "pro"}
    assert isnotai.to_dict(isnotai.Permit(7)) == {"number": 7}


async def test_nested_records_times_and_tuples_are_plain_all_the_way_down() -> None:
    details = isnotai.to_dict(await read("details"))

    assert details["event_counts"]["total"] == 6
    assert details["start_time"].endswith("Z")
    assert isinstance(details["timeline"], list)
    assert "extra" not in details
    assert json.loads(json.dumps(details)) == details


async def test_a_page_and_its_position_are_plain() -> None:
    page = await read("events")
    walk: isnotai.Paginator[isnotai.Event]

    assert isnotai.to_dict(page)["data"][0]["event_id"] == "e1"
    assert isnotai.to_dict(page)["tier"] is None
    assert json.loads(isnotai.to_json(page))["next_cursor"] == page.next_cursor
    async with connected(FaultServer(json_reply(sample.load("events")))) as client:
        walk = client.list_events("s1")
        assert isnotai.to_dict(walk.position) == json.loads(walk.position.to_json())


def test_unknown_fields_are_kept_under_extra() -> None:
    health = isnotai.Health("healthy", "1", datetime(2026, 6, 10, tzinfo=UTC), extra={"zone": "a"})

    assert isnotai.to_dict(health) == {
        "status": "healthy",
        "version": "1",
        "timestamp": "2026-06-10T00:00:00Z",
        "extra": {"zone": "a"},
    }


async def test_a_report_is_plain(tmp_path: Path) -> None:
    async with (
        isnotai.Sandbox(sessions=2) as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client,
    ):
        report = await isnotai.export_events(client, ["big-1", "no-such"], tmp_path / "events.jsonl")
        stored = await isnotai.update_store(client, tmp_path / "events.db")

    plain = json.loads(isnotai.to_json(report))
    assert (plain["path"], plain["rows"]) == (str(tmp_path / "events.jsonl"), 1)
    assert [failure["session_id"] for failure in plain["failures"]] == ["no-such"]
    assert json.loads(isnotai.to_json(stored))["path"] == str(tmp_path / "events.db")


def test_what_is_no_value_is_an_error() -> None:
    with pytest.raises(TypeError, match="object is no value of this package"):
        isnotai.to_dict(object())


async def test_a_walk_is_a_list_and_has_a_first_record() -> None:
    body = sample.replaced(sample.load("events"), ("pagination", "hasMore"), False)
    async with connected(FaultServer(json_reply(body))) as client:
        walk = client.list_events("s1")
        first = await walk.first()
        rows = await walk.to_list()
        rest = await walk.to_list()

    assert (first, [event.event_id for event in rows], rest) == (rows[0], ["e1", "e2"], [])


async def test_the_first_record_of_nothing_is_none() -> None:
    body = {"data": [], "pagination": {"hasMore": False, "limit": 1}}
    async with connected(FaultServer(json_reply(body))) as client:
        assert await client.list_events("s1").first() is None


async def test_events_are_listed_of_a_session_record() -> None:
    server = FaultServer(json_reply(sample.load("sessions")), json_reply(sample.load("events")))
    async with connected(server) as client:
        session = (await client.list_sessions()).data[0]
        await client.list_events(session)

    assert server.requests[1].target == f"/v1/sessions/{session.id}/events"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_cannot_hold_is_an_error(value: float) -> None:
    for convert in (isnotai.to_dict, isnotai.to_json):
        with pytest.raises(isnotai.ConfigError, match=f"^{value} is no JSON number"):
            convert({"scores": [0.5, value]})


def test_msgspec_itself_writes_an_event_with_the_names_of_the_api() -> None:  # as docs/into-json.md says
    bucket = isnotai.TimelineBucket(None, 1, None, None)
    assert b'"eventId":"e1"' in msgspec.json.encode(EVENT)
    assert b'"event_count":1' in msgspec.json.encode(bucket)
