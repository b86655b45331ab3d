"""The client against the sandbox: what a user's first program does."""

import copy
import pickle
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import aiohttp
import anyio
import pytest

import isnotai_async as isnotai
from isnotai_async.sandbox import Fault


@pytest.fixture
async def sandbox() -> AsyncIterator[isnotai.Sandbox]:
    async with isnotai.Sandbox(rate_limit=None) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: isnotai.Sandbox) -> AsyncIterator[isnotai.Client]:
    async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        yield client


async def test_health_needs_no_key(sandbox: isnotai.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISNOTAI_API_KEY", raising=False)
    async with isnotai.Client(base_url=sandbox.base_url) as client:
        health = await client.health()
        with pytest.raises(isnotai.ConfigError, match="no API key; pass api_key= or set ISNOTAI_API_KEY"):
            await client.get_integration()

    assert health.status == "healthy"
    assert health.timestamp is not None
    assert health.timestamp.tzinfo is UTC


async def test_the_integration_comes_as_a_mapping(client: isnotai.Client) -> None:
    assert "apiKeyMasked" in str(await client.get_integration())


async def test_a_walk_gives_every_event_of_a_session_once(client: isnotai.Client) -> None:
    events = [event async for event in client.list_events("big-1234")]

    assert len(events) == 1234
    assert len({event.event_id for event in events}) == 1234
    counts = (await client.get_session_details("big-1234")).event_counts
    assert counts is not None
    assert counts.total == 1234


async def test_an_awaited_list_is_one_page_with_its_tier_and_region(client: isnotai.Client) -> None:
    page = await client.list_events("big-1234", page_size=50)

    assert (len(page.data), page.limit, page.has_more, page.tier, page.region) == (50, 50, True, "enterprise", "us")


async def test_a_page_above_the_cap_is_clamped_and_nothing_lost(client: isnotai.Client) -> None:
    sizes = [(len(page.data), page.limit) async for page in client.list_events("big-250", page_size=1000).pages()]

    assert sizes == [(100, 100), (100, 100), (50, 100)]


async def test_filters_hold_for_the_whole_walk(client: isnotai.Client) -> None:
    everything = [event async for event in client.list_events("big-3000")]
    start, end = everything[500].timestamp, everything[2500].time
    wanted = [
        event
        for event in everything
        if event.event_type_name == "keypress" and start <= event.timestamp <= everything[2500].timestamp
    ]

    found = [event async for event in client.list_events("big-3000", type="keypress", start_time=start, end_time=end)]

    assert found == wanted
    assert len(found) > 100


async def test_every_listed_session_can_be_read(client: isnotai.Client, sandbox: isnotai.Sandbox) -> None:
    sessions = [session async for session in client.list_sessions(page_size=7)]

    assert [session.id for session in sessions] == list(sandbox.session_ids("us"))
    assert await client.get_session(sessions[3].id) == sessions[3]
    details = await client.get_session_details(sessions[3].id)
    assert details.event_counts is not None
    assert sum(bucket.event_count or 0 for bucket in details.timeline) == details.event_counts.total


async def test_sessions_can_be_filtered(client: isnotai.Client) -> None:
    sessions = [session async for session in client.list_sessions()]
    created = {session.id: session.created_at for session in sessions if session.created_at is not None}
    middle = sorted(created.values())[len(sessions) // 2]

    bots = [session async for session in client.list_sessions(bot_only=True)]
    late = [session async for session in client.list_sessions(start_date=middle, status=sessions[0].status)]
    day = [session async for session in client.list_sessions(start_date=middle.date(), end_date=middle.date())]

    assert bots == [s for s in sessions if s.bot_score is not None and s.bot_score >= 0.7]
    assert late == [s for s in sessions if created[s.id] >= middle and s.status == sessions[0].status]
    assert day == [s for s in sessions if created[s.id].date() == middle.date()]


async def test_a_start_before_the_history_window_is_an_empty_page(sandbox: isnotai.Sandbox) -> None:
    async with isnotai.Client(sandbox.api_keys["eu"], region="eu", base_url=sandbox.base_urls["eu"]) as client:
        long_ago = datetime(2026, 6, 10, tzinfo=UTC) - timedelta(days=10 * 365)
        with pytest.warns(isnotai.IsNotAIWarning, match="the history window of the enterprise tier: up to 7 years"):
            assert (await client.list_sessions(start_date=long_ago)).data == ()


async def test_a_walk_saved_at_any_event_goes_on_in_another_client(sandbox: isnotai.Sandbox) -> None:
    seen: list[str] = []
    saved: str | None = None
    for stop in (130, 1, 99, 1000):
        async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
            resume = None if saved is None else isnotai.Position.from_json(saved)
            walk = client.list_events("big-500", max_items=stop, resume=resume)
            seen += [event.event_id async for event in walk]
            saved = walk.position.to_json()

    async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        assert seen == [event.event_id async for event in client.list_events("big-500")]


async def test_an_error_in_the_middle_says_where_to_go_on(sandbox: isnotai.Sandbox, client: isnotai.Client) -> None:
    walk, seen = client.list_events("big-350"), []
    with pytest.raises(isnotai.PermissionDeniedError) as caught:
        async for event in walk:
            seen.append(event.event_id)
            if len(seen) == 200:
                sandbox.inject(Fault.status(403))

    assert caught.value.position == walk.position
    position = isnotai.Position.from_json(walk.position.to_json())
    rest = [event.event_id async for event in client.list_events("big-350", resume=position)]
    again = [event.event_id async for event in walk]
    assert len(set(seen + rest)) == 350
    assert rest == again


async def test_a_position_of_another_session_is_refused_before_anything_is_sent(
    sandbox: isnotai.Sandbox, client: isnotai.Client
) -> None:
    position = client.list_events("big-1").position

    with pytest.raises(isnotai.ConfigError, match="session_id"):
        client.list_events("big-2", resume=position)
    assert sandbox.stats.requests == 0


async def test_a_refused_cursor_is_told_apart_from_other_bad_requests(client: isnotai.Client) -> None:
    walk = client.list_events("big-200", resume=isnotai.Position.from_json(_forged(client)))

    with pytest.raises(isnotai.InvalidCursorError, match="iterate again to resume") as caught:
        await walk
    assert (caught.value.status, caught.value.details["field"]) == (400, "cursor")


def _forged(client: isnotai.Client) -> str:
    return client.list_events("big-200").position.to_json().replace('"cursor": null', '"cursor": "forged"')


async def test_a_key_of_the_other_region_is_refused_with_a_hint(sandbox: isnotai.Sandbox) -> None:
    async with isnotai.Client(sandbox.api_keys["eu"], base_url=sandbox.base_url) as client:
        with pytest.raises(isnotai.AuthenticationError, match="belongs to us, or choose its region") as caught:
            await client.get_integration()
    assert (caught.value.code, caught.value.region) == ("INVALID_API_KEY", "us")


@pytest.mark.parametrize("session_id", ["", ".", "..", "a\nb", "\ud800", "x" * 2000])
async def test_a_bad_id_is_refused_before_anything_is_sent(
    sandbox: isnotai.Sandbox, client: isnotai.Client, session_id: str
) -> None:
    with pytest.raises(isnotai.ConfigError):
        client.list_events(session_id)
    for call in (client.get_session, client.get_session_details):
        with pytest.raises(isnotai.ConfigError):
            await call(session_id)
    assert sandbox.stats.requests == 0


async def test_an_unknown_session_is_not_found(client: isnotai.Client) -> None:
    for call in (client.get_session, client.get_session_details):
        with pytest.raises(isnotai.NotFoundError):
            await call("no/such session")


async def test_key_region_and_address_come_from_the_environment(
    sandbox: isnotai.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_API_KEY", sandbox.api_keys["eu"])
    monkeypatch.setenv("ISNOTAI_REGION", "eu")
    monkeypatch.setenv("ISNOTAI_BASE_URL", sandbox.base_urls["eu"])
    async with isnotai.Client() as client:
        assert (await client.list_sessions(page_size=1)).region == "eu"
    assert isnotai.Client(region="us", base_url="https://proxy.example").region.name == "us"

    monkeypatch.setenv("ISNOTAI_REGION", "")
    monkeypatch.delenv("ISNOTAI_BASE_URL")
    assert isnotai.Client().region == isnotai.REGIONS["us"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"api_key": ""}, "the API key is empty"),
        ({"api_key": "key\n"}, "not printable ASCII"),
        ({"region": "mars"}, "the regions are: us, eu"),
        ({"base_url": "http://example.com"}, "use https"),
        ({"max_concurrency": 0}, "max_concurrency is 0"),
        ({"max_concurrency": 1.5}, "must be an int"),
        ({"timeout": 0}, "use None for no limit"),
        ({"timeout": float("nan")}, "use None for no limit"),
        ({"timeout": "60"}, "must be seconds"),
        ({"timeout": True}, "must be seconds"),
        ({"proxy": "socks5://user:hunter2@host"}, "not the URL of an HTTP proxy"),
        ({"proxy": "http://"}, "not the URL of an HTTP proxy"),
        ({"proxy": "http://host:99999"}, "not the URL of an HTTP proxy"),
        ({"proxy": 7}, "not the URL of an HTTP proxy"),
    ],
    ids=repr,
)
def test_an_option_that_cannot_work_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(isnotai.ConfigError, match=says) as caught:
        isnotai.Client(**options)
    assert "hunter2" not in str(caught.value)


async def test_trace_configs_belong_to_the_session_that_is_borrowed() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(isnotai.ConfigError, match="trace_configs belong to the HTTP session"):
            isnotai.Client("key", http_session=session, trace_configs=[aiohttp.TraceConfig()])


async def test_trace_configs_see_the_requests(sandbox: isnotai.Sandbox) -> None:
    seen = []
    trace = aiohttp.TraceConfig()

    async def note(session: object, context: object, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.url.path)

    trace.on_request_start.append(note)
    async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, trace_configs=[trace]) as client:
        await client.health()
    assert seen == ["/health"]


async def test_many_tasks_share_one_client() -> None:
    counts: list[int] = []

    async def walk(client: isnotai.Client, size: int) -> None:
        counts.append(len([event async for event in client.list_events(f"big-{size}")]))

    async with isnotai.Sandbox(rate_limit=None, latency=0.005) as sandbox:
        key, base_url = sandbox.api_key, sandbox.base_url
        async with (
            isnotai.Client(key, base_url=base_url, max_concurrency=5) as client,
            anyio.create_task_group() as group,
        ):
            for size in range(100, 140):
                group.start_soon(walk, client, size)
        most = sandbox.stats.max_in_flight

    assert sorted(counts) == list(range(100, 140))
    assert 2 <= most <= 5


def test_a_client_shows_and_gives_away_no_key() -> None:
    client = isnotai.Client("aik_v1_" + "k" * 40, region="eu")

    assert repr(client) == "<Client of eu (https://api-eu.isnotai.com): not open>"
    for give in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds an API key"):
            give(client)


# The quota.

KEY = "aik_v1_" + "quota" * 8  # of no other test: the clients of a key share its limiter in a process


@pytest.mark.parametrize("quota", [0, -0.25, 1.01, inf, nan, True, "1/4", None])
def test_a_quota_that_cannot_be_is_rejected(quota: Any) -> None:
    with pytest.raises(isnotai.ConfigError, match="quota must be a number above 0 and at most 1"):
        isnotai.Client(KEY, quota=quota)


def test_a_quota_beside_a_limiter_is_rejected() -> None:
    with pytest.raises(isnotai.ConfigError, match="with limiter= leave it out"):
        isnotai.Client(KEY, quota=0.5, limiter=isnotai.LocalLimiter())


def test_another_quota_for_the_same_key_is_rejected() -> None:
    base_url = "http://127.0.0.1:9/quota"
    first = isnotai.Client(KEY, base_url=base_url, quota=0.25)
    with pytest.raises(isnotai.ConfigError, match="give all of them the same quota"):
        isnotai.Client(KEY, base_url=base_url)
    assert isnotai.Client(KEY, base_url=base_url, quota=0.25).region == first.region


async def test_a_client_keeps_to_its_quota() -> None:
    async with (
        isnotai.Sandbox(tier="free") as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, quota=0.05, deadline=1) as client,
    ):
        for _ in range(3):
            await client.get_session("big-1")
        with pytest.raises(isnotai.TransportTimeoutError):
            await client.get_session("big-1")
        assert len(sandbox.stats.arrivals) == 3


async def test_a_manager_gives_each_key_the_quota_but_those_with_a_limiter() -> None:
    limiter = isnotai.LocalLimiter()
    credential = isnotai.Credential(KEY, region="eu", limiter=limiter)
    manager = isnotai.SessionManager({"us": f"{KEY}us", "eu": credential}, quota=0.125)
    paced = {name: client._paced.limiter for name, client in manager._clients.items()}
    assert paced["eu"] is limiter
    assert isinstance(paced["us"], isnotai.LocalLimiter)
    assert paced["us"].quota == 0.125


async def test_a_copy_closes_what_it_opened_and_nothing_else(sandbox: isnotai.Sandbox) -> None:
    client = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url)

    async with client.with_options(deadline=5) as copy:
        await copy.health()
    assert "closed" in repr(client)

    async with client:
        async with client.with_options(deadline=5) as copy:
            await copy.health()
        await client.health()


async def test_a_misspelt_event_name_is_answered_with_the_right_one(client: isnotai.Client) -> None:
    with pytest.raises(isnotai.InvalidRequestError) as caught:
        await client.list_events("big-3", type="keypres")
    assert "Did you mean keypress instead of 'keypres'? Documented names are init, mouse_move" in str(caught.value)
    assert "Did you mean" not in caught.value.message, "the message is the API's"


async def test_only_a_refusal_of_the_type_is_answered_with_event_names(
    client: isnotai.Client, sandbox: isnotai.Sandbox
) -> None:
    sandbox.inject(Fault.status(400, details=["startTime"]))
    with pytest.raises(isnotai.InvalidRequestError) as caught:
        await client.list_events("big-3", type="keypress")
    assert caught.value.hint == ""
    with pytest.raises(isnotai.InvalidRequestError) as caught:
        await client.get_usage(start_date="2026-11-01")
    assert caught.value.hint == ""
