"""Large and hostile bodies: what is read, what is refused, and that the event loop is not held while that happens."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import isnotai_async as isnotai
from tests.faults.answers import http_reply
from tests.faults.clients import connected
from tests.faults.server import FaultServer

JSON = ("Content-Type", "application/json")
TEXT = b'{"text": "' + b"k" * (2**20 - 100) + b'\\n"}'
MOST_VALUES = 200_000


def array(item: bytes, count: int) -> bytes:
    """Build an object with one array, and white space that makes it large enough to be counted."""
    return b'{"items": [' + b",".join([item] * count) + b"]}" + b" " * 300_000


@asynccontextmanager
async def longest_round() -> AsyncIterator[list[float]]:
    """Measure the CPU time of this thread in each round of the loop: other processes do not count."""
    rounds: list[float] = []
    begun = time.thread_time()

    async def look() -> None:
        nonlocal begun
        while True:
            await asyncio.sleep(0.001)  # without a wait it would take its turns from the thread that decodes
            now = time.thread_time()
            rounds.append(now - begun)
            begun = now

    watch = asyncio.create_task(look())
    try:
        yield rounds
    finally:
        rounds.append(time.thread_time() - begun)  # of the round in which the answer came
        watch.cancel()


@pytest.mark.parametrize("item", [b"{}", b"[]", b"1", b'""', b'{"a": 1}'])
async def test_a_body_with_more_values_than_any_answer_is_not_decoded(item: bytes) -> None:
    async with connected(FaultServer(http_reply(array(item, MOST_VALUES + 1), headers=[JSON]))) as client:
        with pytest.raises(isnotai.DecodeError, match="more than 200,000 values"):
            await client.get_integration()


async def test_a_body_with_as_many_values_as_allowed_is_decoded() -> None:
    async with connected(FaultServer(http_reply(array(b"1", MOST_VALUES - 2), headers=[JSON]))) as client:
        assert len((await client.get_integration())["items"]) == MOST_VALUES - 2


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_large_text_is_decompressed_and_scrubbed_off_the_loop(coding: str) -> None:
    body = gzip.compress(TEXT, 1) if coding == "gzip" else TEXT
    server = FaultServer(http_reply(body, headers=[JSON, ("Content-Encoding", coding)]))
    async with connected(server, api_key="k" * 47 + "x") as client, longest_round() as rounds:
        answer = await client.get_integration()

    assert len(answer["text"]) == 2**20 - 99
    assert max(rounds) < 0.1, "a search for the key, which begins as the text does, takes half a second"
