"""Each kind of answer that differs from the contract, in each way to read it: the right rows, or the right error."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import isnotai_async as isnotai
from isnotai_async._cli import main
from tests.faults.answers import error_reply, event_page, event_row, http_reply, json_reply, listing
from tests.faults.clients import connected
from tests.faults.server import FaultServer, Reply

pytestmark = pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")  # test_tolerance.py has them

QUICK = isnotai.Retry(attempts=2, base=0.001)
Row = tuple[str, Any]


def altered(old: str, new: str) -> bytes:
    """Build a page of one event, in whose JSON a text is replaced."""
    text = json.dumps(listing([event_row(1)]))
    assert old in text
    return http_reply(text.replace(old, new).encode())


def packed(coding: str, body: bytes) -> bytes:
    return http_reply(body, headers=[("Content-Encoding", coding)])


PAGE = json.dumps(listing([event_row(1)])).encode()


@frozen
class Kind:
    """Answers to the requests for one session's events, and what is right to make of them.

    Attributes:
        replies: The answers; the last one is given again and again.
        rows: Id and payload size of the events that are given.
        error: What the client raises behind these rows, or None.
        code: Exit code of an export.
        said: Exit code of the command that lists.
        is_good_at_first: Whether the first page alone is good.
    """

    replies: tuple[Reply, ...]
    rows: tuple[Row, ...] = (("e1", 24),)
    error: type[isnotai.IsNotAIError] | None = None
    code: int = 0
    said: int = 0
    is_good_at_first: bool = True


KINDS: Mapping[str, Kind] = {
    "as documented": Kind((event_page(1),)),
    **{str(status): Kind((json_reply(listing([event_row(1)]), status=status),)) for status in (201, 202, 203, 206)},
    "204 without a cursor": Kind((http_reply(status=204),), rows=()),
    "204 to a cursor": Kind(
        (event_page(1, cursor="c2"), http_reply(status=204)), error=isnotai.PaginationError, code=4, said=1
    ),
    "no limit": Kind((altered(', "limit": 100', ""),)),
    "a limit of null": Kind((altered('"limit": 100', '"limit": null'),)),
    "a limit of 100.0": Kind((altered('"limit": 100', '"limit": 100.0'),)),
    "a number with a fraction": Kind((altered('"payloadSize": 24', '"payloadSize": 24.0'),)),
    "a number with an exponent": Kind((altered('"payloadSize": 24', '"payloadSize": 1e3'),), rows=(("e1", 1000),)),
    "a name of null": Kind((altered('"keypress"', "null"),)),
    "no name": Kind((altered('"eventTypeName": "keypress", ', ""),)),
    "a byte order mark": Kind((http_reply(b"\xef\xbb\xbf" + PAGE),)),
    "white space": Kind((http_reply(b"\r\n\t " + PAGE + b" \n"),)),
    "x-gzip": Kind((packed("x-gzip", gzip.compress(PAGE)),)),
    "deflate without its header": Kind((packed("deflate", zlib.compress(PAGE, wbits=-15)),)),
    "a damaged body, then a good one": Kind((packed("gzip", gzip.compress(PAGE)[:-8]), event_page(1))),
    "a cursor of 16 KiB": Kind((event_page(1, cursor="x" * 16_384), event_page(2)), rows=(("e1", 24), ("e2", 24))),
    "a tier in upper case": Kind((event_page(1, headers=[("x-isnotai-tier", "PRO")]),)),
    "an unknown tier": Kind((event_page(1, headers=[("x-isnotai-tier", "platinum")]),)),
    "a text for a number": Kind(
        (altered('"payloadSize": 24', '"payloadSize": "24"'),), (), isnotai.DecodeError, 5, 1, is_good_at_first=False
    ),
    "details as an array": Kind(
        (error_reply(400, "BAD", "no", details=["a", "b"]),), (), isnotai.InvalidRequestError, 1, 1,
        is_good_at_first=False,
    ),
    "details as a text": Kind(
        (error_reply(404, "SESSION_NOT_FOUND", "no", details="gone"),), (), isnotai.NotFoundError, 1, 1,
        is_good_at_first=False,
    ),
    "a 404 of something in between": Kind(
        (http_reply(b"<html>", status=404),), (), isnotai.GatewayError, 4, 4, is_good_at_first=False
    ),
    "a 200 that is HTML": Kind((http_reply(b"<html>"),), (), isnotai.GatewayError, 4, 4, is_good_at_first=False),
    "a 200 without a body": Kind((http_reply(),), (), isnotai.GatewayError, 4, 4, is_good_at_first=False),
    "a 200 with an error": Kind(
        (error_reply(200, "BROKEN", "no"),), (), isnotai.APIError, 1, 1, is_good_at_first=False
    ),
}  # fmt: skip


def row_of(event: isnotai.Event) -> Row:
    return event.event_id, event.payload_size


async def by_await(client: isnotai.Client, given: list[Row]) -> None:
    given += [row_of(event) for event in (await client.list_events("s1")).data]


async def by_iterating(client: isnotai.Client, given: list[Row]) -> None:
    async for event in client.list_events("s1"):
        given.append(row_of(event))


async def by_pages(client: isnotai.Client, given: list[Row]) -> None:
    async for page in client.list_events("s1").pages():
        given += [row_of(event) for event in page.data]


async def by_stream(client: isnotai.Client, given: list[Row]) -> None:
    async with client.stream_events(["s1"]) as stream:
        async for page in stream:
            given += [row_of(event) for event in page.data]


Read = Callable[[isnotai.Client, list[Row]], Awaitable[None]]
READS: Mapping[str, Read] = {
    "await": by_await, "iterate": by_iterating, "pages": by_pages, "stream": by_stream,
}  # fmt: skip


@pytest.mark.parametrize("way", READS)
@pytest.mark.parametrize("name", KINDS)
async def test_a_kind_of_answer_in_the_library(name: str, way: str) -> None:
    kind, given = KINDS[name], list[Row]()
    error = None if way == "await" and kind.is_good_at_first else kind.error
    async with connected(FaultServer(*kind.replies), retry=QUICK) as client:
        if error is None:
            await READS[way](client, given)
        else:
            with pytest.raises(error) as caught:
                await READS[way](client, given)
            assert type(caught.value) is error

    assert tuple(given) == (kind.rows[:1] if way == "await" else kind.rows)


@pytest.mark.parametrize("name", KINDS)
async def test_a_kind_of_answer_in_the_command(name: str, own_key: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = KINDS[name]
    async with FaultServer(*kind.replies) as server:
        argv = ["events", "s1", "--format", "jsonl", "--base-url", server.base_url]
        code = await asyncio.to_thread(main, argv)

    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert tuple((row["event_id"], row["payload_size"]) for row in rows) == kind.rows
    assert code == kind.said, printed.err


@pytest.mark.parametrize("name", [name for name in KINDS if name != "a 200 with an error"])
async def test_a_kind_of_answer_in_an_export(
    name: str, own_key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, out = KINDS[name], tmp_path / "events.jsonl"
    async with FaultServer(*kind.replies) as server:
        argv = ["export", "--session", "s1", "--out", str(out), "--base-url", server.base_url]
        code = await asyncio.to_thread(main, argv)

    assert code == kind.code, capsys.readouterr().err
    assert out.exists() == (code in {0, 5})
    if out.exists():
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert tuple((row["event_id"], row["payload_size"]) for row in rows) == kind.rows
