"""Several regions behind one door: lazily opened, all closed, and independent of one another."""

import asyncio
import pickle
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from attrs import evolve

import isnotai_async as isnotai
from isnotai_async._http.credentials import Credential
from isnotai_async._manager import SessionManager
from isnotai_async._streaming.sources import Sessions
from isnotai_async.sandbox import Fault, Sandbox
from tests.canary import CANARY_KEY, find_key, show_trace, shows_key
from tests.event_source import running_tasks

TIERS = {"us": "pro", "eu": "enterprise"}
ONCE = isnotai.Retry(attempts=1)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(tier=TIERS, rate_limit=None, sessions=6) as sandbox:  # type: ignore[arg-type]
        yield sandbox


def credentials(sandbox: Sandbox) -> dict[str, str | Credential]:
    return {
        name: Credential(key, region=name, base_url=sandbox.base_urls[name], limiter=isnotai.Unlimited())
        for name, key in sandbox.api_keys.items()
    }


def both(sandbox: Sandbox) -> list[tuple[str, str]]:
    us, eu = sandbox.session_ids("us"), sandbox.session_ids("eu")
    return [pair for a, b in zip(us, eu, strict=True) for pair in (("us", a), ("eu", b))]


async def everything(sandbox: Sandbox, *regions: str) -> set[tuple[str, str]]:
    found = set[tuple[str, str]]()
    async with SessionManager(credentials(sandbox)) as manager:
        for region in regions:
            for session_id in sandbox.session_ids(region):
                found |= {(region, event.event_id) async for event in manager[region].list_events(session_id)}
    return found


async def test_each_name_has_its_client(sandbox: Sandbox) -> None:
    async with SessionManager(credentials(sandbox)) as manager:
        for name in ("us", "eu"):
            client = manager[name]
            assert isinstance(client, isnotai.Client)
            assert client is manager[name]
            assert client.region.name == name
            assert (await client.list_sessions(page_size=1)).region == name
            assert (await client.with_options(timeout=5).health()).status


async def test_an_http_session_is_opened_by_the_first_request_and_closed_with_the_manager(sandbox: Sandbox) -> None:
    manager = SessionManager(credentials(sandbox))
    assert repr(manager) == "<SessionManager of us, eu: not open>"

    async with manager:
        eu, us = manager["eu"], manager["us"]
        assert [repr(client).endswith("not open>") for client in (eu, us)] == [True, True]
        await eu.get_integration()
        assert [repr(client).endswith(": open>") for client in (eu, us)] == [True, False]

    assert [repr(client).endswith(": closed>") for client in (eu, us)] == [True, True]
    for client in (eu, us):
        with pytest.raises(isnotai.ConfigError, match="closed"):
            await client.get_integration()
    assert sandbox.region_stats("us").requests == 0
    assert running_tasks() == []


async def test_a_manager_is_used_in_its_block_and_can_be_opened_again(sandbox: Sandbox) -> None:
    manager = SessionManager(credentials(sandbox))

    with pytest.raises(isnotai.ConfigError, match="not open; write: async with"):
        manager["us"]
    async with manager:
        with pytest.raises(isnotai.ConfigError, match="no credential is named 'de'; there are: us, eu"):
            manager["de"]
    with pytest.raises(isnotai.ConfigError, match="closed"):
        manager["us"]
    async with manager:
        await manager["us"].health()
    with pytest.raises(isnotai.ConfigError, match="closed"):
        manager["us"]


async def test_the_environment_has_a_key_for_each_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("US", "EU"):
        monkeypatch.delenv(f"ISNOTAI_API_KEY_{name}", raising=False)
    with pytest.raises(isnotai.ConfigError, match="set ISNOTAI_API_KEY_US or ISNOTAI_API_KEY_EU"):
        SessionManager.from_env()

    monkeypatch.setenv("ISNOTAI_API_KEY_EU", CANARY_KEY)
    monkeypatch.setenv("ISNOTAI_API_KEY_US", "")
    # A client's own address must not be taken for that of every region: it would be sent all the keys.
    monkeypatch.setenv("ISNOTAI_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("ISNOTAI_REGION", "us")
    async with SessionManager.from_env() as manager:
        assert repr(manager) == "<SessionManager of eu: open>"
        assert manager["eu"].region == isnotai.REGIONS["eu"]


async def test_several_keys_of_one_region_have_names_of_their_own(sandbox: Sandbox) -> None:
    staging = Credential(sandbox.api_key, region="us", base_url=sandbox.base_url, limiter=isnotai.Unlimited())
    ids = sandbox.session_ids("us")[:4]

    async with SessionManager({**credentials(sandbox), "us-staging": staging}) as manager:
        assert manager["us-staging"] is not manager["us"]
        async with manager.stream_events([("us-staging", ids[0]), ("us", ids[1])]) as pages:
            seen = [page async for page in pages]

    assert {(page.name, page.region, page.session_id) for page in seen} == {
        ("us-staging", "us", ids[0]),
        ("us", "us", ids[1]),
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "no credential"),
        ({"de": CANARY_KEY}, "'de' is no region"),
        ({7: CANARY_KEY}, "names of credentials are strings"),
        ({"us": f"{CANARY_KEY}\n"}, "API key has a character"),
        ({"us": 7}, "API key is a int"),
    ],
)
def test_credentials_that_cannot_be_are_refused(given: Any, says: str) -> None:
    with pytest.raises(isnotai.ConfigError, match=says):
        SessionManager(given)


@pytest.mark.parametrize(
    "options",
    [{"max_concurrency": 0}, {"region_concurrency": 0}, {"timeout": -1}, {"deadline": 0}, {"retry": 3}],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(isnotai.ConfigError, match=next(iter(options))):
        SessionManager({"us": CANARY_KEY}, **options)


@pytest.mark.parametrize(
    "wrong", [{"region": "de"}, {"base_url": "http://far.example"}, {"tier": "gold"}, {"limiter": 7}]
)
def test_a_credential_that_cannot_work_is_refused_and_shows_no_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(isnotai.ConfigError) as caught:
        SessionManager({"x": Credential(CANARY_KEY, **wrong)})

    here = caught.value.__traceback__
    assert here is not None
    assert not shows_key(show_trace(caught.value.with_traceback(here.tb_next)))


async def test_no_key_shows_in_reprs_pickles_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = Credential(CANARY_KEY, region="eu")
    manager = SessionManager({"us": CANARY_KEY, "eu": credential})

    assert repr(credential) == "Credential('***', region='eu', base_url='https://api-eu.isnotai.com')"
    assert find_key(credential, manager) == []
    for thing in (credential, manager):
        with pytest.raises(TypeError, match="build"):
            pickle.dumps(thing)


async def test_one_stream_over_two_regions_gives_every_event_once(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.slow_headers(0.002, times=None), region="eu")
    expected = await everything(sandbox, "us", "eu")
    seen = list[tuple[str, str]]()
    tiers = set()

    async with (
        SessionManager(credentials(sandbox)) as manager,
        manager.stream_events(both(sandbox), concurrency=8, page_size=50) as pages,
    ):
        async for page in pages:
            assert page.session_id in sandbox.session_ids(page.region)
            tiers.add((page.region, page.tier))
            seen += [(page.region, event.event_id) for event in page.data]

    assert len(seen) == len(set(seen))
    assert set(seen) == expected
    assert tiers == {("us", isnotai.Tier.PRO), ("eu", isnotai.Tier.ENTERPRISE)}


@pytest.mark.parametrize("fault", [Fault.status(401, times=None), Fault.reset(times=None)], ids=["key", "network"])
async def test_where_one_region_fails_the_other_goes_on(sandbox: Sandbox, fault: Fault) -> None:
    expected = await everything(sandbox, "eu")
    us_before = sandbox.region_stats("us").requests
    sandbox.inject(fault, region="us")
    seen = set()

    async with SessionManager(credentials(sandbox), retry=ONCE) as manager:
        stream = manager.stream_events(both(sandbox), concurrency=4, on_error="collect")
        async with stream as pages:
            async for page in pages:
                seen |= {(page.region, event.event_id) for event in page.data}

    assert seen == expected
    assert {name for name, _ in stream.failures} == {"us"}
    assert len(stream.failures) == len(sandbox.session_ids("us"))
    if fault.name == "status 401":  # not asked again and again
        assert sandbox.region_stats("us").requests - us_before <= 4

    sandbox.clear_faults()
    async with SessionManager(credentials(sandbox)) as manager:
        saved = isnotai.StreamPosition.from_json(stream.position.to_json())
        async with manager.stream_events(both(sandbox), resume=saved) as pages:
            seen |= {(page.region, event.event_id) async for page in pages for event in page.data}
    assert seen == await everything(sandbox, "us", "eu")


async def test_the_first_error_names_region_and_session(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.status(403), region="eu", operation="list_events")

    async with SessionManager(credentials(sandbox)) as manager:
        with pytest.raises(isnotai.PermissionDeniedError) as caught:
            async with manager.stream_events(both(sandbox)) as pages:
                async for _ in pages:
                    pass

    position = caught.value.position
    assert position is not None
    assert (caught.value.region, position.region) == ("eu", "eu")
    assert position.session_id in sandbox.session_ids("eu")
    assert running_tasks() == []


async def test_a_name_that_is_not_known_ends_the_stream_or_its_session(sandbox: Sandbox) -> None:
    async with SessionManager(credentials(sandbox)) as manager:
        with pytest.raises(isnotai.ConfigError, match="no credential is named 'de'"):
            async with manager.stream_events(("de", "s1")) as pages:
                await anext(pages)
        stream = manager.stream_events([("de", "s1"), ("us", sandbox.session_ids()[0])], on_error="collect")
        async with stream as pages:
            assert [page.region async for page in pages]
        assert list(stream.failures) == [("de", "s1")]


@pytest.mark.parametrize("sessions", ["s1", ["s1"], [("us", 7)], [("us",)], 7])
async def test_sessions_of_a_manager_are_pairs(sandbox: Sandbox, sessions: Any) -> None:
    async with SessionManager(credentials(sandbox)) as manager:
        with pytest.raises(isnotai.ConfigError, match="sessions must be"):
            async with manager.stream_events(sessions) as pages:
                await anext(pages)


async def test_requests_in_flight_are_bounded_over_all_and_for_each(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.slow_headers(0.01, times=None))

    async with SessionManager(credentials(sandbox), max_concurrency=5, region_concurrency=3) as manager:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, sum(sandbox.region_stats(name).in_flight for name in ("us", "eu")))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        async with anyio.create_task_group() as group:
            for name in ["us", "eu"] * 20:
                group.start_soon(manager[name].get_integration)
        watching.cancel()

        assert most == 5
        for name in ("us", "eu"):  # alone, because which of the two has three of the five depends on the loop
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(manager[name].get_integration)

    assert sandbox.region_stats("us").max_in_flight == 3
    assert sandbox.region_stats("eu").max_in_flight == 3


async def test_a_request_that_is_cancelled_gives_its_slots_back(sandbox: Sandbox) -> None:
    sandbox.inject(Fault.slow_headers(60, times=1))

    async with SessionManager(credentials(sandbox), max_concurrency=1) as manager:
        held = asyncio.create_task(manager["us"].get_integration())
        while not sandbox.stats.in_flight:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(manager["eu"].get_integration())
        for _ in range(10):
            await asyncio.sleep(0)
        waiting.cancel()
        held.cancel()
        await asyncio.gather(held, waiting, return_exceptions=True)

        await manager["eu"].get_integration()
        await manager["us"].get_integration()


async def test_a_client_streams_end_to_end(sandbox: Sandbox) -> None:
    expected = {event_id for region, event_id in await everything(sandbox, "us")}
    seen = list[str]()

    async with isnotai.Client(
        sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited(), on_notice=None
    ) as client:
        async with client.stream_events(client.list_sessions(page_size=3), split="auto", ordered=True) as pages:
            async for page in pages:
                assert page.session_id in sandbox.session_ids()
                seen += [event.event_id for event in page.data]
        async with client.stream_events("big-3000", split=6, ordered=True, type="mouse_move") as pages:
            moves = [event async for event in pages.events()]
        assert moves == [event async for event in client.list_events("big-3000", type="mouse_move")]
        async with client.list_events("big-3000").prefetch(2) as ahead:
            assert sum([len(page.data) async for page in ahead]) == 3_000
        page = await client.list_events("big-7")
        assert page.session_id == "big-7"
        assert (await client.list_sessions()).session_id is None

    assert sorted(seen) == sorted(expected)
    assert running_tasks() == []


async def test_a_stream_goes_on_with_the_client_of_its_region_only(sandbox: Sandbox) -> None:
    async with SessionManager(credentials(sandbox)) as manager:
        async with manager["us"].stream_events("big-500") as pages:
            await anext(pages)
        with pytest.raises(isnotai.ConfigError, match="resume with a client of that region"):
            manager["eu"].stream_events("big-500", resume=pages.position)


async def test_a_client_that_is_closed_under_a_stream_ends_it_with_an_error(sandbox: Sandbox) -> None:
    client = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited())
    async with client:
        with pytest.raises(isnotai.IsNotAIError):
            async with client.stream_events(list(sandbox.session_ids()), concurrency=2, buffer=1) as pages:
                await anext(pages)
                await client.aclose()
                async for _ in pages:
                    pass
    assert running_tasks() == []


async def test_every_request_of_a_stream_is_bulk_work(sandbox: Sandbox) -> None:
    asked: list[bool] = []

    class Watching(isnotai.Unlimited):
        async def acquire(self, *, bulk: bool, on_wait: Any = None) -> isnotai.Permit:
            asked.append(bulk)
            return await super().acquire(bulk=bulk, on_wait=on_wait)

    async with (
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=Watching()) as client,
        client.stream_events("big-900", split=3) as pages,
    ):
        assert sum([len(page.data) async for page in pages]) == 900

    assert len(asked) > 9
    assert all(asked)


class _Barrier:
    """A limiter that lets nobody through until it is lifted."""

    def __init__(self) -> None:
        self.lifted = asyncio.Event()
        self.waiting = 0
        self.changed = asyncio.Event()

    async def acquire(self, *, bulk: bool, on_wait: object = None) -> isnotai.Permit:  # noqa: ARG002 - the protocol's
        self.waiting += 1
        self.changed.set()
        await self.lifted.wait()
        return isnotai.Permit(0)

    async def release(self, permit: isnotai.Permit, answer: isnotai.RequestOutcome | None) -> None:
        pass

    async def wait_for(self, count: int) -> None:
        while self.waiting < count:
            self.changed.clear()
            await self.changed.wait()


async def test_a_stream_waits_for_the_quota_longer_than_the_deadline_of_a_call(sandbox: Sandbox) -> None:
    barrier = _Barrier()
    client = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=barrier, deadline=0.05)

    async with client, client.stream_events("big-7", split=2) as pages:
        first = asyncio.create_task(anext(pages))
        with pytest.raises(isnotai.TransportTimeoutError, match=r"waiting for a permit .* the deadline of 0\.05 s"):
            await client.list_events("big-7")  # asked later than the stream, and given up
        assert not first.done()
        barrier.lifted.set()
        assert len((await first).data) == 7


async def test_with_a_source_for_each_name_a_region_that_is_stuck_holds_back_no_other(sandbox: Sandbox) -> None:
    barrier, us = _Barrier(), sandbox.session_ids("us")
    stuck = Credential(sandbox.api_key, region="us", base_url=sandbox.base_url, limiter=barrier)

    async with SessionManager({**credentials(sandbox), "us": stuck}) as manager:
        sources: dict[str, Sessions] = {"us": us, "eu": manager["eu"].list_sessions()}
        async with manager.stream_events(sources, concurrency=4, buffer=1_000) as pages:
            await barrier.wait_for(4)  # its own two, and then the two that the other has no more need of
            barrier.lifted.set()
            seen = [page.name async for page in pages]

    assert set(seen) == {"us", "eu"}
    assert seen == sorted(seen)  # eu was through before us got on at all


async def test_a_stream_with_a_source_for_each_name_can_be_gone_on_with(sandbox: Sandbox) -> None:
    sources = {name: sandbox.session_ids(name) for name in ("us", "eu")}
    seen = list[tuple[str, str]]()
    resume: isnotai.StreamPosition | None = None

    async with SessionManager(credentials(sandbox)) as manager:
        while True:
            async with manager.stream_events(sources, concurrency=3, resume=resume) as pages:
                batch = 0
                async for page in pages:
                    seen += [(page.name, event.event_id) for event in page.data]
                    batch += 1
                    if batch == 7:
                        break
                else:
                    break
            resume = isnotai.StreamPosition.from_json(pages.position.to_json())
        assert pages.position.taken == 12
        assert pages.position.unfinished == ()
        with pytest.raises(
            isnotai.ConfigError, match="was made with a source for 'us', 'eu', this stream has one sour"
        ):
            manager.stream_events(both(sandbox), resume=pages.position)
        strange = evolve(pages.position, unfinished=(isnotai.UnfinishedSession("de", ()),))
        with pytest.raises(isnotai.ConfigError, match="of a name that has no source; it was altered"):
            manager.stream_events(dict(sources), resume=strange)
        with pytest.raises(isnotai.ConfigError, match="taken from a source for 'eu', and with this source"):
            async with manager.stream_events({**sources, "eu": []}, resume=pages.position) as pages:
                await anext(pages)

    assert len(seen) == len(set(seen))
    assert set(seen) == await everything(sandbox, "us", "eu")


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        ({}, "sessions by name must be like"),
        ({7: ["s1"]}, "sessions by name must be like"),
        ({"us": ["s1"], "eu": ["s9"], "us-staging": ["s3"]}, "concurrency 2 is too small for 3 sources"),
    ],
)
async def test_sources_by_name_that_cannot_work_are_refused(sandbox: Sandbox, sources: Any, says: str) -> None:
    async with SessionManager(credentials(sandbox)) as manager:
        with pytest.raises(isnotai.ConfigError, match=says):
            manager.stream_events(sources, concurrency=2)
