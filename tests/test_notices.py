"""Notices reach the client's callback, and whoever overhears a block."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import isnotai_async as isnotai
from isnotai_async._notices import Narrator, PageNotice, overhear
from isnotai_async.sandbox import Sandbox

NOTICE = PageNotice(region="us", operation="list_events", records=3, has_more=False)


@pytest.fixture
async def client() -> AsyncIterator[isnotai.Client]:
    async with (
        Sandbox(rate_limit=None) as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited()) as client,
    ):
        yield client


async def test_a_block_hears_of_its_own_requests_only(client: isnotai.Client) -> None:
    heard: list[isnotai.Notice] = []
    started, done = asyncio.Event(), asyncio.Event()

    async def ask_beside() -> None:
        await started.wait()
        await client.list_events("big-7")
        done.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(ask_beside())
        with overhear(heard.append):
            await client.list_events("big-5")
            started.set()
            await done.wait()
    await client.list_events("big-9")

    assert [notice.records for notice in heard if isinstance(notice, PageNotice)] == [5]


async def test_a_stream_that_is_opened_in_a_block_is_heard_whole(client: isnotai.Client) -> None:
    heard: list[isnotai.Notice] = []
    with overhear(heard.append):
        async with client.stream_events(["big-3", "big-4"]) as pages:
            assert [len(page.data) async for page in pages]

    assert sorted(notice.records for notice in heard if isinstance(notice, PageNotice)) == [3, 4]
    assert sum(isinstance(notice, isnotai.AttemptNotice) for notice in heard) == 2


def test_both_hear_and_neither_can_break_the_call(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(notice: isnotai.Notice) -> None:
        raise ValueError("broken")

    heard: list[isnotai.Notice] = []
    with overhear(heard.append):
        Narrator("us", refuse).tell(NOTICE)
    with overhear(refuse):
        Narrator("us", heard.append).tell(NOTICE)

    assert heard == [NOTICE, NOTICE]
    assert caplog.text.count("on_notice raised on a PageNotice") == 2


def test_nobody_hears_what_nobody_listens_to() -> None:
    narrator = Narrator("us")
    assert not narrator.is_heard
    with overhear(lambda notice: None):
        assert narrator.is_heard
    assert not narrator.is_heard
