"""Users, courses, analytics and usage agree with the sessions that are listed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from isnotai_async.sandbox import Sandbox

NOW = datetime.fromisoformat("2026-06-10T12:00:00+00:00")
METRICS = ["ApiCalls", "Events", "Sessions", "StorageBytes", "BotAnalyses"]


def is_bot(row: dict[str, Any]) -> bool:
    return row["botScore"] is not None and row["botScore"] >= 0.7


def created(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["createdAt"])


@pytest.fixture
async def busy() -> Any:
    async with Sandbox(sessions=120, big_sessions=(5_000, 0), rate_limit=None) as sandbox:
        yield sandbox


async def test_each_users_counts_are_those_of_the_sessions(busy: Sandbox, ask: Any) -> None:
    sessions = await ask.walk(busy, "/v1/sessions", pageSize=100)
    users = await ask.walk(busy, "/v1/users", pageSize=5)

    assert {user["userId"] for user in users} == {row["userId"] for row in sessions} - {None}
    assert len(users) == len({user["userId"] for user in users})
    for user in users:
        own = [row for row in sessions if row["userId"] == user["userId"]]
        scores = [row["botScore"] for row in own if row["botScore"] is not None]
        assert await ask.walk(busy, f"/v1/users/{user['userId']}/sessions", pageSize=3) == own
        assert user["sessionCount"] == len(own)
        assert user["botSessionCount"] == sum(map(is_bot, own))
        assert user["maxBotScore"] == max(scores, default=0)
        assert user["averageBotScore"] == pytest.approx(sum(scores) / max(1, len(scores)), abs=1e-4)
        assert user["firstSeen"] == min(row["createdAt"] for row in own)
        assert user["lastSeen"] == max(row["updatedAt"] for row in own)
        assert sum(user["sparkline"]) == len(own)
        assert user["userName"] in {row["userName"] for row in own}


@pytest.mark.parametrize("period", [1, 7, 30, 90])
@pytest.mark.parametrize("group_by", ["hour", "day", "week"])
async def test_analytics_are_those_of_the_sessions_in_the_period(
    busy: Sandbox, ask: Any, period: int, group_by: str
) -> None:
    start = NOW - timedelta(days=period)
    sessions = await ask.walk(busy, "/v1/sessions", startDate=start.isoformat(), pageSize=100)
    asked = {"period": "24h" if period == 1 else f"{period}d", "groupBy": group_by}
    found = (await ask(busy, "/v1/analytics", **asked)).json["data"]
    summary, series, detection = found["summary"], found["timeSeries"], found["botDetection"]

    assert (found["period"], found["groupBy"]) == tuple(asked.values())
    assert summary["totalSessions"] == len(sessions) == sum(point["sessionCount"] for point in series)
    assert summary["totalEvents"] == sum(point["eventCount"] for point in series)
    assert summary["uniqueUsers"] == len({row["userId"] for row in sessions} - {None})
    bots = sum(map(is_bot, sessions))
    assert summary["uniqueBots"] == bots == sum(point["botCount"] for point in series)
    assert detection["highConfidenceBots"] + detection["mediumConfidenceBots"] == bots
    assert sum(detection.values()) == sum(row["botScore"] is not None for row in sessions)
    matched = sum(row["userId"] is not None for row in sessions)
    assert (found["userMatching"]["totalMatched"], found["userMatching"]["totalUnmatched"]) == (
        matched,
        len(sessions) - matched,
    )
    assert sum(origin["sessionCount"] for origin in found["topOrigins"]) == sum(
        row["pageUrl"] is not None for row in sessions
    )
    devices = found["deviceBreakdown"]
    assert devices["mobile"] + devices["tablet"] + devices["desktop"] == sum(devices["browserCounts"].values())
    times = [datetime.fromisoformat(point["timestamp"]) for point in series]
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}[group_by]
    assert {later - earlier for earlier, later in pairwise(times)} <= {step}
    assert times[0] <= start
    assert group_by != "week" or {time.weekday() for time in times} == {0}


async def test_the_events_of_analytics_and_usage_are_the_listed_ones(sandbox: Sandbox, ask: Any) -> None:
    listed = sum([len(await ask.walk(sandbox, f"/v1/sessions/{name}/events")) for name in sandbox.session_ids()])

    assert (await ask(sandbox, "/v1/analytics", period="7d")).json["data"]["summary"]["totalEvents"] == listed
    assert (await ask(sandbox, "/v1/usage")).json["totals"]["Events"] == listed
    assert (await ask(sandbox, "/v1/stats")).json["data"]["events"] == listed


async def test_usage_counts_the_calls_that_were_let_in(ask: Any) -> None:
    async with Sandbox(rate_limit=4) as sandbox:
        await ask(sandbox, "/health")
        await ask(sandbox, "/v1/stats", headers={})
        for _ in range(2):
            await ask(sandbox, "/v1/stats")
        usage = (await ask(sandbox, "/v1/usage")).json
        assert usage["totals"]["ApiCalls"] == 3
        assert (await ask(sandbox, "/v1/usage", region="eu")).json["totals"]["ApiCalls"] == 1
        assert [(await ask(sandbox, "/v1/stats")).status for _ in range(2)] == [200, 429]
        assert sandbox.stats.admitted == 4


async def test_usage_adds_up_and_keeps_to_its_days(busy: Sandbox, ask: Any) -> None:
    sessions = await ask.walk(busy, "/v1/sessions", pageSize=100)
    usage = (await ask(busy, "/v1/usage", startDate="2026-06-06", endDate="2026-06-08")).json
    inside = [row for row in sessions if 6 <= created(row).day <= 8]

    assert (usage["startDate"], usage["endDate"]) == ("2026-06-06", "2026-06-08")
    assert list(usage["totals"]) == METRICS
    assert usage["totals"]["Sessions"] == len(inside)
    assert usage["totals"]["BotAnalyses"] == sum(row["botScore"] is not None for row in inside)
    assert usage["totals"]["ApiCalls"] == 0  # the sandbox's only day is the tenth
    added: Counter[str] = Counter()
    for entry in usage["data"]:
        added[entry["metricType"]] += entry["value"]
    assert {metric: added[metric] for metric in METRICS} == usage["totals"]
    assert {entry["period"] for entry in usage["data"]} == {"2026-06-06", "2026-06-07", "2026-06-08"}


@pytest.mark.parametrize("metric", METRICS)
async def test_one_metric_can_be_asked_for_in_any_case(sandbox: Sandbox, ask: Any, metric: str) -> None:
    usage = (await ask(sandbox, "/v1/usage", metric=metric.swapcase())).json

    assert list(usage["totals"]) == [metric]
    assert {entry["metricType"] for entry in usage["data"]} == {metric}


async def test_courses_and_counters_agree_with_the_sessions(busy: Sandbox, ask: Any) -> None:
    sessions = await ask.walk(busy, "/v1/sessions", pageSize=100)
    courses = await ask.walk(busy, "/v1/courses", pageSize=2)
    counters = (await ask(busy, "/v1/stats")).json["data"]

    for course in courses:
        own = [row for row in sessions if f"/courses/{course['courseId']}/" in str(row["pageUrl"])]
        assert course["sessionCount"] == len(own) > 0
    assert counters["sessions"] == len(sessions) == len(busy.session_ids())
    assert counters["courses"] == len(courses)
    assert counters["botSessions"] == sum(map(is_bot, sessions))


async def test_a_sandbox_without_sessions_has_nothing_to_count(ask: Any) -> None:
    async with Sandbox(sessions=0) as sandbox:
        assert await ask.walk(sandbox, "/v1/users") == []
        assert await ask.walk(sandbox, "/v1/courses") == []
        analytics = (await ask(sandbox, "/v1/analytics")).json["data"]
        assert analytics["summary"]["averageEventsPerSession"] == 0
        assert (await ask(sandbox, "/v1/usage")).json["totals"]["Sessions"] == 0


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/analytics", {"period": "1d"}, "period"),
        ("/v1/analytics", {"groupBy": "Hour"}, "groupBy"),
        ("/v1/usage", {"metric": "calls"}, "metric"),
        ("/v1/usage", {"startDate": "2026-06-02", "endDate": "2026-06-01"}, "startDate"),
        ("/v1/users/u-1000/sessions", {"pageSize": "0"}, "pageSize"),
        ("/v1/users/u-1000/sessions", {"cursor": "x"}, "cursor"),
    ],
)
async def test_bad_values_are_a_400_that_names_the_field(
    *, sandbox: Sandbox, ask: Any, path: str, query: dict[str, str], field: str
) -> None:
    reply = await ask(sandbox, path, **query)

    assert (reply.status, reply.field) == (400, field)
