"""Compressed bodies that are too much, broken, or packed twice."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from pathlib import Path

import anyio
import pytest

import isnotai_async as isnotai
from tests.faults.answers import event_page, http_head, http_reply, sliced
from tests.faults.bombs import build_bomb
from tests.faults.clients import ERROR_BY_STATUS, check_error, connected, failure_of
from tests.faults.server import Cut, FaultServer, Reply

BODY = event_page(1).partition(b"\r\n\r\n")[2]
PACKED = gzip.compress(BODY)
ROOT = Path(__file__).parents[2]


def flip(body: bytes, text: bytes) -> bytes:
    """Pack a body without compression, and change the last character of a text in it."""
    stored = zlib.compressobj(0, wbits=31)
    packed = stored.compress(body) + stored.flush()
    at = packed.index(text) + len(text) - 1
    return packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]


FLIPPED = flip(BODY, b'"payloadSize": 24')


def encoded(encoding: str, body: bytes, status: int = 200) -> bytes:
    headers = [("Content-Type", "application/json"), ("Content-Encoding", encoding)]
    return http_reply(body, status=status, headers=headers)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory the way Linux counts it")
@pytest.mark.parametrize(
    ("encoding", "status", "error", "text"),
    [
        ("gzip", 200, "ProtocolError", "larger than 8 MiB decoded"),
        ("deflate", 200, "ProtocolError", "larger than 8 MiB decoded"),
        ("gzip", 503, "ServerError", "no error envelope"),
    ],
)
async def test_a_bomb_is_dropped_at_the_bound_and_costs_little_memory(
    encoding: str, status: int, error: str, text: str
) -> None:
    assert len(build_bomb(encoding)) < 400_000
    command = [sys.executable, "-m", "tests.faults.bombs", encoding, str(status)]
    measured = json.loads((await anyio.run_process(command, cwd=ROOT)).stdout)
    assert measured["error"] == error
    assert text in measured["text"]
    assert measured["grown"] < 32


async def test_a_bomb_in_a_walk_ends_the_walk_where_it_stands() -> None:
    server = FaultServer(event_page(1, cursor="c2"), encoded("gzip", build_bomb("gzip")))
    async with connected(server) as client:
        walk = client.list_events("s1")
        with pytest.raises(isnotai.ProtocolError, match="larger than 8 MiB decoded") as caught:
            _ = [event async for event in walk]
    check_error(caught.value)
    assert caught.value.position == walk.position


WHOLE: dict[str, bytes] = {
    "gzip": encoded("gzip", PACKED),
    "deflate": encoded("deflate", zlib.compress(BODY)),
    "deflate without its header": encoded("deflate", zlib.compress(BODY, wbits=-15)),
    "gzip in upper case": encoded("GZIP", PACKED),
    "x-gzip": encoded("x-gzip", PACKED),
    "identity": encoded("identity", BODY),
    "identity, and gzip": encoded("identity, gzip", PACKED),
    "two members": encoded("gzip", gzip.compress(BODY[:50]) + gzip.compress(BODY[50:])),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_what_is_whole_is_read_however_it_is_cut(name: str) -> None:
    async with connected(FaultServer(WHOLE[name], sliced(WHOLE[name]))) as client:
        for _ in range(2):
            page = await client.list_events("s1")
            assert [event.event_id for event in page.data] == ["e1"]


BROKEN: dict[str, bytes] = {
    "not gzip at all": encoded("gzip", BODY),
    "cut": encoded("gzip", PACKED[:-12]),
    "without its checksum": encoded("gzip", PACKED[:-8]),
    "cut in its checksum": encoded("gzip", PACKED[:-1]),
    "a flipped bit, and no checksum that shows it": encoded("gzip", FLIPPED[:-8]),
    "x-gzip that is cut": encoded("x-gzip", PACKED[:-12]),
    "deflate that is cut": encoded("deflate", zlib.compress(BODY)[:-2]),
    "deflate without its header that is cut": encoded("deflate", zlib.compress(BODY, wbits=-15)[:-1]),
    "deflate with something behind it": encoded("deflate", zlib.compress(BODY) + b"x"),
    "a second member that is cut": encoded("gzip", gzip.compress(BODY[:50]) + gzip.compress(BODY[50:])[:-8]),
    "a thousand members": encoded("gzip", gzip.compress(b"") * 1000 + PACKED),
    "altered": encoded("gzip", PACKED[:20] + b"\xff\xff\xff" + PACKED[23:]),
    "a wrong checksum": encoded("gzip", PACKED[:-8] + bytes(4) + PACKED[-4:]),
    "garbage behind it": encoded("gzip", PACKED + b"garbage"),
    "another page behind it": encoded("gzip", PACKED + PACKED),
    "a bomb behind it": encoded("gzip", PACKED + build_bomb("gzip")),
    "packed twice": encoded("gzip, gzip", gzip.compress(PACKED)),
    "packed twice, said twice": http_reply(gzip.compress(PACKED), headers=[("Content-Encoding", "gzip")] * 2),
    "an unknown encoding": encoded("snappy", PACKED),
    "brotli, which was not asked for": encoded("br", b"\x0b\x02\x80{}\x03"),
    "zstd, which was not asked for": encoded("zstd", b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00{}"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_is_an_error_and_never_a_part_of_a_page(name: str) -> None:
    async with connected(FaultServer(BROKEN[name])) as client:
        with pytest.raises((isnotai.ProtocolError, isnotai.DecodeError)) as caught:
            await client.list_events("s1")
    check_error(caught.value)
    assert caught.value.attempts == 1


NOT_DAMAGED = ("encoding", "asked for", "packed", "bomb")
DAMAGED = [name for name in BROKEN if not any(word in name for word in NOT_DAMAGED)]


@pytest.mark.parametrize("name", DAMAGED)
async def test_what_was_damaged_on_its_way_is_asked_for_again(name: str) -> None:
    server = FaultServer(*[BROKEN[name]] * 3, event_page(1))
    async with connected(server, retry=isnotai.Retry(attempts=4, base=0.0)) as client:
        page = await client.list_events("s1")
    assert [event.payload_size for event in page.data] == [24]
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [401, 404, 429, 503])
@pytest.mark.parametrize("flaw", ["called gzip by mistake", "cut"])
async def test_a_refusal_whose_body_cannot_be_read_keeps_its_status(flaw: str, status: int) -> None:
    cut: Reply = [http_head(status, [("Content-Length", "100")]) + b"<html>", Cut.CLOSE]
    reply = cut if flaw == "cut" else encoded("gzip", b"<html>", status)
    kind = ERROR_BY_STATUS[status] if status in {429, 503} else isnotai.GatewayError
    error = await failure_of(FaultServer(reply), kind)
    assert getattr(error, "status", None) == status
