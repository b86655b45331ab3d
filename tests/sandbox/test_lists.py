"""Pages, cursors and filters, over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from isnotai_async.sandbox import Fault, Sandbox

EVENTS = "/v1/sessions/big-700/events"


async def test_a_walk_meets_every_event_once_and_in_time_order(sandbox: Sandbox, ask: Any) -> None:
    walks = [await ask.walk(sandbox, EVENTS, pageSize=size) for size in (3, 64, 100)]

    assert walks[0] == walks[1] == walks[2]
    assert len({event["eventId"] for event in walks[0]}) == 700


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200])
async def test_has_more_is_true_exactly_while_there_is_more(sandbox: Sandbox, ask: Any, size: int) -> None:
    first = (await ask(sandbox, f"/v1/sessions/big-{size}/events")).json

    assert len(first["data"]) == min(size, 100)
    assert first["pagination"]["hasMore"] == (size > 100)
    assert (first["pagination"]["nextCursor"] is not None) == (size > 100)


async def test_the_last_cursor_is_null_for_events_and_absent_for_sessions(sandbox: Sandbox, ask: Any) -> None:
    events = (await ask(sandbox, "/v1/sessions/big-1/events")).json["pagination"]
    sessions = (await ask(sandbox, "/v1/sessions")).json["pagination"]

    assert events == {"nextCursor": None, "hasMore": False, "limit": 100}
    assert sessions == {"hasMore": False, "limit": 50}


@pytest.mark.parametrize(
    ("tier", "path", "asked", "limit"),
    [
        ("free", EVENTS, {}, 50),
        ("pro", EVENTS, {}, 100),
        ("free", EVENTS, {"pageSize": 1000}, 50),
        ("enterprise", EVENTS, {"pageSize": 1000}, 100),
        ("enterprise", "/v1/sessions", {}, 50),
        ("enterprise", "/v1/sessions", {"pageSize": 1000}, 100),
        ("free", "/v1/sessions", {"pageSize": 1}, 1),
    ],
)
async def test_the_page_size_is_clamped_to_the_tiers(
    *, ask: Any, tier: Any, path: str, asked: dict[str, int], limit: int
) -> None:
    async with Sandbox(tier=tier) as sandbox:
        page = (await ask(sandbox, path, **asked)).json

    assert page["pagination"]["limit"] == limit
    assert len(page["data"]) <= limit


async def test_the_page_size_can_be_capped_further(ask: Any) -> None:
    async with Sandbox(page_size_cap=7) as sandbox:
        assert (await ask(sandbox, EVENTS)).json["pagination"]["limit"] == 7


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (EVENTS, {"pageSize": "0"}, "pageSize"),
        (EVENTS, {"pageSize": "ten"}, "pageSize"),
        (EVENTS, {"type": "0x100"}, "type"),
        (EVENTS, {"startTime": "noon"}, "startTime"),
        (EVENTS, {"startTime": "3", "endTime": "1"}, "startTime"),
        (EVENTS, {"cursor": "nonsense"}, "cursor"),
        ("/v1/sessions", {"botOnly": "maybe"}, "botOnly"),
        ("/v1/sessions", {"startDate": "yesterday"}, "startDate"),
        ("/v1/sessions", {"startDate": "2026-06-02", "endDate": "2026-06-01"}, "startDate"),
        ("/v1/sessions", {"cursor": "+/=="}, "cursor"),
    ],
)
async def test_bad_values_are_a_400_that_names_the_field(
    *, sandbox: Sandbox, ask: Any, path: str, query: dict[str, str], field: str
) -> None:
    reply = await ask(sandbox, path, **query)

    assert (reply.status, reply.field) == (400, field)
    assert not any(value in reply.json["error"]["message"] for value in query.values() if len(value) > 3)


async def test_an_empty_cursor_or_metric_is_an_absent_one(sandbox: Sandbox, ask: Any) -> None:
    for path in (EVENTS, "/v1/sessions", "/v1/users", "/v1/users/u-1000/sessions", "/v1/courses"):
        assert (await ask(sandbox, path, cursor="")).body == (await ask(sandbox, path)).body
    assert (await ask(sandbox, "/v1/usage", metric="")).json["totals"].keys() > {"ApiCalls"}


async def test_a_fault_of_cursors_takes_an_empty_one_for_none(sandbox: Sandbox, ask: Any) -> None:
    sandbox.inject(Fault.refused_cursor())

    assert (await ask(sandbox, EVENTS, cursor="")).status == 200


@pytest.mark.parametrize("path", ["/v1/users", "/v1/courses"])
@pytest.mark.parametrize("query", [{"pageSize": "ten"}, {"cursor": "nonsense"}, {"pageSize": "0", "cursor": "x"}])
async def test_a_list_without_a_400_in_the_contract_passes_over_what_is_malformed(
    sandbox: Sandbox, ask: Any, path: str, query: dict[str, str]
) -> None:
    reply = await ask(sandbox, path, **query)

    assert reply.status == 200
    assert reply.body == (await ask(sandbox, path)).body


async def test_a_window_below_one_millisecond_is_empty(sandbox: Sandbox, ask: Any) -> None:
    at = (await ask(sandbox, EVENTS)).json["data"][50]["timestamp"]
    page = (await ask(sandbox, EVENTS, startTime=at + 1, endTime=at)).json

    assert page == {"data": [], "pagination": {"nextCursor": None, "hasMore": False, "limit": 100}}


async def test_a_cursor_works_for_its_own_list_and_filters_only(sandbox: Sandbox, ask: Any) -> None:
    page = (await ask(sandbox, EVENTS, pageSize=5, type="keypress")).json
    cursor = page["pagination"]["nextCursor"]

    assert (await ask(sandbox, EVENTS, cursor=cursor, type="0x07")).status == 200
    for path, region, query in (
        (EVENTS, "us", {}),
        (EVENTS, "us", {"type": "scroll"}),
        (EVENTS, "us", {"type": "keypress", "startTime": 0}),
        ("/v1/sessions/big-701/events", "us", {"type": "keypress"}),
        (EVENTS, "eu", {"type": "keypress"}),
        ("/v1/sessions", "us", {}),
    ):
        reply = await ask(sandbox, path, region=region, cursor=cursor, **query)
        assert (reply.status, reply.code, reply.field) == (400, "SANDBOX_INVALID_CURSOR", "cursor")


async def test_a_cursor_survives_a_change_of_page_size_and_tier(sandbox: Sandbox, ask: Any) -> None:
    every = await ask.walk(sandbox, EVENTS)
    page = (await ask(sandbox, EVENTS, pageSize=10)).json
    sandbox.set_tier("us", "free")
    after = (await ask(sandbox, EVENTS, pageSize=90, cursor=page["pagination"]["nextCursor"])).json

    assert after["data"] == every[10:60]


async def test_cursors_can_expire(ask: Any) -> None:
    # A microsecond is over before any second request; longer lives are tested with the time as an argument.
    async with Sandbox(cursor_ttl=1e-6) as sandbox:
        cursor = (await ask(sandbox, EVENTS)).json["pagination"]["nextCursor"]
        reply = await ask(sandbox, EVENTS, cursor=cursor)

    assert (reply.status, reply.field) == (400, "cursor")
    assert "expired" in reply.json["error"]["message"]


async def test_alphabets_of_cursors_differ_between_endpoints(ask: Any) -> None:
    async with Sandbox(sessions=200) as sandbox:
        tokens = []
        cursor: dict[str, str] = {}
        for _ in range(60):
            page = (await ask(sandbox, "/v1/sessions", pageSize=3, **cursor)).json
            cursor = {"cursor": page["pagination"]["nextCursor"]}
            tokens.append(cursor["cursor"])

    assert set("+/=") <= set("".join(tokens))


@pytest.mark.parametrize("kind", ["7", "0x07", "keypress"])
async def test_the_type_filter_takes_byte_hex_and_name(sandbox: Sandbox, ask: Any, kind: str) -> None:
    every = await ask.walk(sandbox, EVENTS)
    found = await ask.walk(sandbox, EVENTS, type=kind, pageSize=9)

    assert found == [event for event in every if event["eventTypeName"] == "keypress"]
    assert found


async def test_a_byte_that_no_event_has_finds_nothing(sandbox: Sandbox, ask: Any) -> None:
    page = (await ask(sandbox, "/v1/sessions/big-1000000/events", type=200)).json

    assert page == {"data": [], "pagination": {"nextCursor": None, "hasMore": False, "limit": 100}}


async def test_time_bounds_are_inclusive_on_both_ends(sandbox: Sandbox, ask: Any) -> None:
    every = await ask.walk(sandbox, EVENTS)
    start, end = every[100]["timestamp"], every[400]["timestamp"]
    for kind in ({}, {"type": "scroll"}):
        expected = [
            event
            for event in every
            if start <= event["timestamp"] <= end and (not kind or event["eventTypeName"] == "scroll")
        ]
        assert await ask.walk(sandbox, EVENTS, startTime=start, endTime=end, pageSize=13, **kind) == expected


async def test_disjoint_windows_cover_a_session_exactly(sandbox: Sandbox, ask: Any) -> None:
    every = await ask.walk(sandbox, EVENTS)
    cut = every[350]["timestamp"]
    halves = [
        *await ask.walk(sandbox, EVENTS, endTime=cut - 1),
        *await ask.walk(sandbox, EVENTS, startTime=cut),
    ]

    assert halves == every


async def test_a_window_deep_in_a_million_events_is_found(sandbox: Sandbox, ask: Any) -> None:
    path = "/v1/sessions/big-1000000"
    details = (await ask(sandbox, f"{path}/details")).json["data"]
    end = int(datetime.fromisoformat(details["endTime"]).timestamp() * 1000)
    page = (await ask(sandbox, f"{path}/events", startTime=end - 60_000)).json

    assert page["data"]
    assert all(event["timestamp"] >= end - 60_000 for event in page["data"])
    assert (await ask(sandbox, f"{path}/events", startTime=end + 1)).json["data"] == []


async def test_all_listed_sessions_are_the_ones_that_session_ids_says(ask: Any) -> None:
    async with Sandbox(sessions=60, big_sessions=(1_000_000, 0)) as sandbox:
        rows = await ask.walk(sandbox, "/v1/sessions", pageSize=7)

        assert tuple(row["id"] for row in rows) == sandbox.session_ids("us")
        assert [row["id"] for row in rows[-2:]] == ["big-1000000", "big-0"]
        assert (await ask(sandbox, f"/v1/sessions/{rows[0]['id']}")).json["data"] == rows[0]


async def test_sessions_are_filtered_by_status_and_bot_score(sandbox: Sandbox, ask: Any) -> None:
    every = await ask.walk(sandbox, "/v1/sessions")
    bots = await ask.walk(sandbox, "/v1/sessions", botOnly="true", pageSize=3)
    active = await ask.walk(sandbox, "/v1/sessions", status="active")

    assert bots == [row for row in every if row["botScore"] is not None and row["botScore"] >= 0.7]
    assert active == [row for row in every if row["status"] == "active"]
    assert bots
    assert active
    assert await ask.walk(sandbox, "/v1/sessions", status="unheard-of") == []
    assert await ask.walk(sandbox, "/v1/sessions", botOnly="false") == every


async def test_dates_are_inclusive_bounds_on_the_creation(sandbox: Sandbox, ask: Any) -> None:
    every = await ask.walk(sandbox, "/v1/sessions")
    end, start = every[10]["createdAt"], every[30]["createdAt"]

    assert await ask.walk(sandbox, "/v1/sessions", startDate=start, endDate=end, pageSize=4) == every[10:31]


@pytest.mark.parametrize(("tier", "days"), [("free", 7), ("pro", 30), ("enterprise", 7 * 365)])
async def test_a_start_before_the_history_is_an_empty_page_and_no_error(ask: Any, tier: Any, days: int) -> None:
    now = datetime.fromisoformat("2026-06-10T12:00:00+00:00")
    inside, outside = (now - timedelta(days=days, seconds=step) for step in (0, 1))
    async with Sandbox(tier=tier) as sandbox:
        reply = await ask(sandbox, "/v1/sessions", startDate=outside.isoformat())
        assert (reply.status, reply.json["data"], reply.json["pagination"]["hasMore"]) == (200, [], False)
        assert (await ask(sandbox, "/v1/sessions", startDate=inside.isoformat())).json["data"]


async def test_two_sandboxes_of_one_seed_answer_alike_byte_for_byte(ask: Any) -> None:
    async with Sandbox(seed="x") as one, Sandbox(seed="x") as two, Sandbox(seed="y") as other:
        for path in ("/v1/sessions", EVENTS, "/v1/sessions/big-700/details", "/v1/integration"):
            bodies = [(await ask(sandbox, path)).body for sandbox in (one, two, other)]
            assert bodies[0] == bodies[1] != bodies[2]
