"""The warning that an empty list may only be too old for the tier."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

import isnotai_async as isnotai
from isnotai_async._http.messages import TIER_HEADER, Request, Response
from isnotai_async._models.pages import Headers
from isnotai_async._models.queries import EventFilters, EventQuery
from isnotai_async._operations import Operations
from isnotai_async._streaming.history import HistoryWatch
from isnotai_async.errors import IsNotAIWarning
from tests import sample

T = TypeVar("T")

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
EMPTY = {"data": [], "pagination": {"hasMore": False, "limit": 50}}
EMPTY_WITH_MORE = {"data": [], "pagination": {"hasMore": True, "limit": 50, "nextCursor": "c2"}}
SECOND = timedelta(seconds=1)
HISTORY = {"free": timedelta(days=7), "pro": timedelta(days=30), "enterprise": timedelta(days=7 * 365)}
SAID = {"free": "7 days by default", "pro": "30 days by default", "enterprise": "up to 7 years"}


def operations(tier: str | None = "free", *pages: Any) -> isnotai.Client:
    """Make a client that answers with these pages, and then with empty ones, at a fixed time."""
    bodies = [sample.dump(page) for page in pages]

    async def fetch(request: Request, read: Callable[[Response], T]) -> T:
        body = bodies.pop(0) if bodies else sample.dump(EMPTY)
        headers = {} if tier is None else {TIER_HEADER: tier}
        return read(Response(request, 200, Headers.of(headers), body, "us"))

    client = isnotai.Client("k")
    Operations.__init__(client, fetch, "us", clock=lambda: NOW)
    client._fetch_unhurried = fetch  # the same without a deadline
    return client


async def taken(walk: AsyncIterator[T]) -> list[T]:
    return [record async for record in walk]


@pytest.fixture
def heard() -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@pytest.mark.parametrize("tier", SAID)
async def test_an_empty_walk_from_before_the_window_warns_and_tells_the_window(tier: str) -> None:
    start = NOW - HISTORY[tier] - SECOND

    for walk in (
        operations(tier).list_sessions(start_date=start),
        operations(tier).list_events("s1", start_time=start),
    ):
        with pytest.warns(IsNotAIWarning, match=f"the history window of the {tier} tier: {SAID[tier]}") as caught:
            assert await taken(aiter(walk)) == []
        assert len(caught) == 1


@pytest.mark.parametrize("tier", SAID)
async def test_a_start_within_the_window_does_not_warn(tier: str, heard: list[Any]) -> None:
    await taken(aiter(operations(tier).list_sessions(start_date=NOW - HISTORY[tier])))
    await taken(aiter(operations(tier).list_events("s1", start_time=NOW - HISTORY[tier])))

    assert heard == []


@pytest.mark.parametrize(
    "walk",
    [
        operations(None).list_sessions(start_date="2001-01-01"),
        operations("platinum").list_sessions(start_date="2001-01-01"),
        operations().list_sessions(end_date="2001-01-01"),
        operations().list_sessions(start_date="2001-01-01", max_items=0),
        operations("free", sample.load("sessions")).list_sessions(start_date="2001-01-01"),
        operations("free", EMPTY_WITH_MORE, sample.load("sessions")).list_sessions(start_date="2001-01-01"),
        operations().list_users(search="nobody"),
        operations().get_user_sessions("u1"),
        operations().list_courses(),
    ],
    ids=["no tier", "unknown tier", "no start", "nothing asked", "found", "found later", "users", "user", "courses"],
)
async def test_nothing_else_warns(walk: isnotai.Paginator[Any], heard: list[Any]) -> None:
    await taken(aiter(walk))

    assert heard == []


async def test_pages_that_are_passed_over_do_not_hide_that_there_was_nothing(heard: list[Any]) -> None:
    await taken(operations("free", EMPTY_WITH_MORE).list_sessions(start_date="2001-01-01").pages())

    assert len(heard) == 1


async def test_a_walk_warns_once_however_often_it_is_asked(heard: list[Any]) -> None:
    walk = operations().list_sessions(start_date="2001-01-01")
    await walk
    await walk
    await taken(aiter(walk))
    await taken(walk.pages())

    assert [warning.category for warning in heard] == [IsNotAIWarning]


async def test_the_warning_names_the_line_that_asked(heard: list[Any]) -> None:
    await operations().list_sessions(start_date="2001-01-01")
    await taken(aiter(operations().list_sessions(start_date="2001-01-01")))

    assert [warning.filename for warning in heard] == [__file__, __file__]


async def test_a_walk_that_goes_on_from_a_position_does_not_warn(heard: list[Any]) -> None:
    more = {**sample.load("events"), "pagination": {"hasMore": True, "limit": 2, "nextCursor": "c2"}}
    walk = operations("free", more).list_events("s1", start_time=0)
    async for _ in walk.pages():
        break
    await taken(aiter(operations().list_events("s1", start_time=0, resume=walk.position)))

    assert heard == []


async def test_a_stream_warns_once_for_all_its_sessions(heard: list[Any]) -> None:
    async with operations().stream_events(["s1", "s2", "s3"], start_time=0) as pages:
        assert [page async for page in pages] == []

    assert [warning.category for warning in heard] == [IsNotAIWarning]


async def test_a_stream_with_events_in_each_session_does_not_warn(heard: list[Any]) -> None:
    whole = {**sample.load("events"), "pagination": {"hasMore": False, "limit": 2}}
    async with operations("free", whole, whole).stream_events(["s1", "s2"], start_time=0) as pages:
        assert len([page async for page in pages]) == 2

    assert heard == []


async def test_an_empty_window_of_a_split_session_does_not_warn_as_the_whole_session_would(heard: list[Any]) -> None:
    whole = EventFilters(start_time=0, end_time=9)
    fetcher = operations()._find_fetcher(HistoryWatch(whole), "us")

    await fetcher.fetch_page(EventQuery(session_id="s1", start_time=0, end_time=4), None)
    assert heard == []
    await fetcher.fetch_page(EventQuery(session_id="s1", start_time=0, end_time=9), None)
    assert [warning.category for warning in heard] == [IsNotAIWarning]


async def test_a_manager_warns_once_for_a_stream_over_all_its_regions() -> None:
    async with isnotai.Sandbox(rate_limit=None, tier="free") as sandbox:
        credentials = {
            name: isnotai.Credential(key, region=name, base_url=sandbox.base_urls[name])
            for name, key in sandbox.api_keys.items()
        }
        async with isnotai.SessionManager(credentials) as manager:
            with pytest.warns(IsNotAIWarning) as caught:
                async with manager.stream_events([("us", "big-0"), ("eu", "big-0")], start_time=0) as pages:
                    assert [page async for page in pages] == []

    assert len(caught) == 1


async def test_a_program_may_turn_it_into_an_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", IsNotAIWarning)
        with pytest.raises(IsNotAIWarning):
            await operations().list_sessions(start_date="2001-01-01")
