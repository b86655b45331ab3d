"""Where the CPU of a page goes: the same walk, with one more layer of this package in each row.

The first row is aiohttp without decoding, the last the whole client. The rows between them put in what is named, so
that the difference to the row above is its price. Each price is small compared with the machine's noise: many short
rounds.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import aiohttp

import isnotai_async as isnotai
from benchmarks.bench_pages import Case, take_turn
from benchmarks.harness import KEY, Report, Rounds, Table, interleave, ratio
from benchmarks.page_server import page_server
from benchmarks.peers import BYTES, DICTS, HEADERS, PAGES, Peer, Walk, events_url, next_cursor
from isnotai_async._http.codec import decode_events
from isnotai_async._http.credentials import ApiKey
from isnotai_async._http.endpoints import LIST_EVENTS
from isnotai_async._http.http_session import HttpSession
from isnotai_async._http.messages import Request, Response
from isnotai_async._http.rate_limited import RateLimitedTransport
from isnotai_async._http.retry import Retrier
from isnotai_async._http.retry_policy import RetryQuota
from isnotai_async._http.transport import AiohttpTransport
from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.regions import resolve_region
from isnotai_async._notices import Notifier

_PAGES: Final = 128  # in one turn
_CASES: Final = (Case(100, 1, 8), Case(100, 32, 8))

Fetch = Callable[[Request, Callable[[Response], Page[isnotai.Event]]], Awaitable[Page[isnotai.Event]]]


def _sum(page: Page[isnotai.Event]) -> int:
    return sum(event.payload_size for event in page.data)


@asynccontextmanager
async def open_decoder(base_url: str, concurrency: int) -> AsyncIterator[Walk]:
    """Open aiohttp alone, with our decoder."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def walk(session_id: str) -> int:
            url, total = events_url(base_url, session_id), 0
            cursor: str | None = ""
            while cursor is not None:
                async with session.get(f"{url}?cursor={cursor}" if cursor else url, headers=HEADERS) as reply:
                    body = await reply.read()
                page = decode_events(body, tier=None, region="us")  # alive while the next one comes, as in all walks
                total, cursor = total + _sum(page), next_cursor(body)
            return total

        yield walk


@asynccontextmanager
async def open_layers(base_url: str, concurrency: int, layers: int) -> AsyncIterator[Walk]:
    """Open the transport (1), with pacing (2), with retry and turns (3); without the paginator."""
    connections = HttpSession(session=None, max_concurrency=concurrency, trace_configs=None)
    transport = AiohttpTransport(resolve_region("us", base_url), ApiKey(KEY), connections, timeout=60.0)
    paced = RateLimitedTransport(transport, isnotai.Unlimited(), Notifier("us"), connections, ends_within=60.0)
    retrying = Retrier(paced, isnotai.Retry(), 120.0, RetryQuota(), Notifier("us"))

    async def send(request: Request, read: Callable[[Response], Page[isnotai.Event]]) -> Page[isnotai.Event]:
        return read(await (transport if layers == 1 else paced).send(request))

    fetch: Fetch = retrying.fetch if layers == 3 else send

    async def walk(session_id: str) -> int:
        query, total = EventQuery(session_id=session_id), 0
        cursor = None
        while True:
            page = await fetch(LIST_EVENTS.build(query, cursor), LIST_EVENTS.read)
            total, cursor = total + _sum(page), page.next_cursor
            if not page.has_more:
                return total

    connections.open()
    try:
        yield walk
    finally:
        await connections.aclose()


STEPS: Final = (
    BYTES,
    Peer("+ our decoder", open_decoder),
    Peer("+ our transport: bounds, timeouts, one send, no key in answers", partial(open_layers, layers=1)),
    Peer("+ pacing: permit, slot, deadline", partial(open_layers, layers=2)),
    Peer("+ retry, and turns where answers come together", partial(open_layers, layers=3)),
    PAGES,
    DICTS,
)


async def measure(case: Case, base_url: str, rounds: int) -> Rounds:
    """Let all take turns."""
    turns: dict[str, Callable[[], Awaitable[None]]] = {}
    opened = [(peer, peer.open(base_url, case.concurrency)) for peer in STEPS]
    walks = [(peer, await context.__aenter__()) for peer, context in opened]
    for peer, walk in walks:
        turns[peer.name] = partial(take_turn, peer, walk, case, _PAGES)
    try:
        return await interleave(turns, rounds)
    finally:
        for _, context in opened:
            await context.__aexit__(None, None, None)


def run(*, quick: bool) -> Report:
    """Measure; one table for each case."""
    report = Report()
    for case in _CASES[:1] if quick else _CASES:
        with page_server() as server:
            rounds = asyncio.run(measure(case, server.base_url, 6 if quick else case.rounds))
        cpu = {peer.name: rounds.cpu(peer.name, _PAGES) for peer in STEPS}
        floor, dicts = cpu[BYTES.name], cpu[DICTS.name]
        rows = tuple(
            (name, f"{statistics.median(values):.0f}", f"{ratio(values, floor):.2f}", f"{ratio(values, dicts):.2f}")
            for name, values in cpu.items()
        )
        columns = ("walk", "µs a page", "x bytes only", "x resp.json()")
        report.tables.append(Table(f"CPU of {case.name}, layer by layer", columns, rows))
        report.figures[case.name] = {name: statistics.median(values) for name, values in cpu.items()}
    return report
