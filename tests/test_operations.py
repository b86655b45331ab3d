"""Users, courses and the reports, against the sandbox."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async.sandbox import Fault

Walks = Callable[..., isnotai.Paginator[Any]]


@pytest.fixture
async def sandbox() -> AsyncIterator[isnotai.Sandbox]:
    async with isnotai.Sandbox(rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: isnotai.Sandbox) -> AsyncIterator[isnotai.Client]:
    async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        yield client


LISTS: dict[str, Callable[[isnotai.Client], Walks]] = {
    "users": lambda client: client.list_users,
    "user sessions": lambda client: lambda **options: client.get_user_sessions("u-1012", **options),
    "courses": lambda client: client.list_courses,
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_walk_that_stops_anywhere_goes_on_in_another_with_nothing_lost_or_repeated(
    client: isnotai.Client, name: str
) -> None:
    walk_of = LISTS[name](client)
    everything = [record async for record in walk_of(page_size=2)]
    assert len(everything) > 2

    for stop in range(len(everything) + 1):
        walk = walk_of(page_size=2, max_items=stop)
        begun = [record async for record in walk]
        saved = isnotai.Position.from_json(walk.position.to_json())
        rest = [record async for record in walk_of(page_size=2, resume=saved)]
        assert begun + rest == everything
    assert len({repr(record) for record in everything}) == len(everything)


@pytest.mark.parametrize("name", LISTS)
async def test_an_error_in_a_walk_carries_where_to_go_on(
    sandbox: isnotai.Sandbox, client: isnotai.Client, name: str
) -> None:
    walk, seen = LISTS[name](client)(page_size=1), []
    with pytest.raises(isnotai.PermissionDeniedError) as caught:
        async for record in walk:
            seen.append(record)
            sandbox.inject(Fault.status(403))
    assert len(seen) == 1
    assert caught.value.position == walk.position


async def test_a_position_belongs_to_one_user_and_one_list(client: isnotai.Client) -> None:
    position = client.get_user_sessions("u-1").position

    with pytest.raises(
        isnotai.ConfigError, match=r"the filters \{'user_id': 'u-1'\}, this walk has \{'user_id': 'u-2'\}"
    ):
        client.get_user_sessions("u-2", resume=position)
    with pytest.raises(isnotai.ConfigError, match="operation 'get_user_sessions', this walk has 'list_sessions'"):
        client.list_sessions(resume=position)


async def test_a_course_that_changed_is_not_taken_for_the_one_that_was_read(client: isnotai.Client) -> None:
    walk = client.list_courses(max_items=2)
    courses = [course async for course in walk]
    position = walk.position

    assert position.watermark is not None
    other = isnotai.Position.from_json(position.to_json().replace(position.watermark[1], "0" * 32))
    assert [course async for course in client.list_courses(resume=position)] != courses
    with pytest.raises(isnotai.PaginationError, match="another record is in the place of the last one"):
        await client.list_courses(resume=other)


async def test_a_search_finds_parts_of_ids_and_names_in_any_case(client: isnotai.Client) -> None:
    users = [user async for user in client.list_users()]

    for search in ("SOUZA", "1012", "zoë", "nobody at all"):
        found = [user async for user in client.list_users(search=search)]
        wanted = search.casefold()
        assert found == [
            u for u in users if wanted in u.user_id.casefold() or wanted in (u.user_name or "").casefold()
        ]


async def test_an_unknown_user_has_no_sessions(client: isnotai.Client) -> None:
    assert (await client.get_user_sessions("no/such user")).data == ()


async def test_records_pickle_and_hash_with_their_mappings(client: isnotai.Client) -> None:
    for record in (
        await client.get_analytics(),
        await client.get_usage(),
        *(await client.list_users()).data,
    ):
        assert pickle.loads(pickle.dumps(record)) == record
        assert hash(record) == hash(pickle.loads(pickle.dumps(record)))


@pytest.mark.parametrize(("name", "value"), [("period", "1y"), ("group_by", "month")])
async def test_a_period_or_width_that_is_not_documented_is_for_the_api_to_judge(
    client: isnotai.Client, name: str, value: str
) -> None:
    with pytest.raises(isnotai.InvalidRequestError, match=r"must be one of .*(90d|week)"):
        await client.get_analytics(**{name: value})


async def test_a_window_within_one_millisecond_is_empty(client: isnotai.Client) -> None:
    instant = datetime(2026, 6, 4, 12, tzinfo=UTC)
    page = await client.list_events(
        "big-1000", start_time=instant + timedelta(microseconds=200), end_time=instant + timedelta(microseconds=800)
    )

    assert (page.data, page.has_more) == ((), False)


async def test_analytics_take_period_and_width(client: isnotai.Client) -> None:
    by_hour = await client.get_analytics(period="24h", group_by="hour")

    assert (by_hour.period, by_hour.group_by, len(by_hour.time_series)) == ("24h", "hour", 25)
    assert by_hour.end_date == datetime(2026, 6, 10, 12, tzinfo=UTC)
    assert (await client.get_analytics()).group_by == "day"


async def test_usage_takes_a_metric_in_any_case(client: isnotai.Client) -> None:
    usage = await client.get_usage(metric="apicalls", start_date="2026-06-10")

    assert usage.totals == {"ApiCalls": 1}
    assert usage.data == (isnotai.UsageEntry(period="2026-06-10", metric_type="ApiCalls", value=1),)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("get_analytics", {"period": 7}, "period must be a string, not int"),
        ("get_analytics", {"group_by": ""}, "group_by is empty"),
        (
            "get_usage",
            {"metric": "Calls"},
            "ApiCalls, Events, Sessions, StorageBytes or BotAnalyses, not 'Calls'",
        ),
        ("get_usage", {"metric": b"Events"}, "not bytes"),
        ("get_usage", {"start_date": "2026-06-02", "end_date": "2026-06-01"}, "exchange them"),
        ("get_usage", {"end_date": datetime(2026, 6, 1)}, "end_date 2026-06-01T00:00:00 has no time zone"),
        ("list_users", {"search": ""}, "search is empty"),
        ("list_users", {"search": "a\nb"}, "search 'a.*' has control characters"),
        ("list_users", {"page_size": 0}, "page_size is 0"),
        ("get_user_sessions", {"user_id": ".."}, "user_id '..' would point at another path"),
        ("get_user_sessions", {"user_id": ""}, "user_id is empty"),
        ("list_courses", {"max_items": -1}, "max_items is -1; it must be at least 0"),
    ],
    ids=str,
)
async def test_what_the_api_would_refuse_is_refused_before_anything_is_sent(
    *, sandbox: isnotai.Sandbox, client: isnotai.Client, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(isnotai.ConfigError, match=says):
        await getattr(client, name)(**options)
    assert sandbox.stats.requests == 0
