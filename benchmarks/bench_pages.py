"""CPU per page of a walk and pages a second, against the clients that one would choose from.

All walk the same pages from the same server and look at every row. The server is another process on another
processor, so `process_time` counts the client alone, all its threads included. The ratio to ``resp.json()`` is also
taken from a server that shares no code with ours (`other_server`).
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from attrs import frozen

from benchmarks import peers
from benchmarks.harness import Report, Rounds, Table, Target, interleave, ratio, spread
from benchmarks.other_clients import GENERATED, HTTPX, NIQUESTS, REQUESTS
from benchmarks.page_server import PageServer, page_server, session_id

PAGES = 512  # in one turn
ON_AIOHTTP = (peers.BYTES, peers.DICTS, peers.PAGES, peers.EVENTS)
ALL = (peers.SOCKETS, *ON_AIOHTTP, REQUESTS, NIQUESTS, HTTPX, GENERATED)


@frozen
class Case:
    """One table.

    Attributes:
        events: Events on a page.
        concurrency: Walks at once.
        rounds: How often.
        contestants: Which clients take part.
        server: Module of the server.
    """

    events: int
    concurrency: int
    rounds: int
    contestants: tuple[peers.Peer, ...] = ALL
    server: str = "page_server"

    @property
    def name(self) -> str:
        """What it is called."""
        source = "" if self.server == "page_server" else ", another server"
        return f"pages of {self.events}, {self.concurrency} at once{source}"


CASES = (
    *(Case(100, concurrency, 3) for concurrency in (1, 32)),
    Case(100, 16, 7, ON_AIOHTTP),
    *(Case(100, concurrency, 7, ON_AIOHTTP, "other_server") for concurrency in (1, 16, 32)),
    *(Case(1, concurrency, 3, ON_AIOHTTP) for concurrency in (1, 32)),
    Case(100, 256, 3, ON_AIOHTTP),
)
QUICK = (Case(100, 1, 3), Case(100, 32, 3), Case(100, 16, 3, ON_AIOHTTP, "other_server"))


def pages_of(peer: peers.Peer, case: Case, pages: int = PAGES) -> int:
    """How many pages each of its walks has."""
    return max(2, int(pages * peer.share) // case.concurrency)


async def take_turn(peer: peers.Peer, walk: peers.Walk, case: Case, pages: int = PAGES) -> None:
    """Walk as many sessions at once as the case says, of so many pages together."""
    pages = pages_of(peer, case, pages)
    names = [session_id(number, pages=pages, events=case.events) for number in range(case.concurrency)]
    totals = await asyncio.gather(*map(walk, names))
    expected = pages * sum(index % 90 for index in range(case.events))
    if peer.decodes and set(totals) != {expected}:
        raise AssertionError(f"{peer.name} saw {totals[0]} where {expected} was sent")


async def measure(case: Case, server: PageServer) -> Rounds:
    """Let all take turns."""
    async with AsyncExitStack() as stack:
        turns: dict[str, Callable[[], Awaitable[None]]] = {}
        for peer in case.contestants:
            walk = await stack.enter_async_context(peer.open(server.base_url, case.concurrency))
            turns[peer.name] = partial(take_turn, peer, walk, case)
        server.watch()
        return await interleave(turns, case.rounds)


def _cpu(rounds: Rounds, peer: peers.Peer, case: Case) -> list[float]:
    return rounds.cpu(peer.name, pages_of(peer, case) * case.concurrency)


def _tabulate(case: Case, rounds: Rounds, idle: float) -> Table:
    rows = list[tuple[str, ...]]()
    floor, dicts = (_cpu(rounds, peer, case) for peer in (peers.BYTES, peers.DICTS))
    for peer in case.contestants:
        cpu, pages = _cpu(rounds, peer, case), pages_of(peer, case) * case.concurrency
        speed = statistics.median(pages / wall for wall in rounds.wall(peer.name))
        ratios = (f"{ratio(cpu, floor):.2f}", f"{ratio(cpu, dicts):.2f}")
        rows.append((peer.name, f"{statistics.median(cpu):.0f}", spread(cpu), f"{speed:,.0f}", *ratios))
    title = f"CPU of {case.name}: median of {case.rounds} rounds; the server was idle {idle:.0%} of the time"
    columns = ("client", "µs a page", "min to max", "pages/s", "x bytes only", "x resp.json()")
    return Table(title, columns, tuple(rows))


def _find_targets(case: Case, rounds: Rounds) -> list[Target]:
    ours, floor, dicts = (_cpu(rounds, peer, case) for peer in (peers.PAGES, peers.BYTES, peers.DICTS))
    if case.events != 100 or case.concurrency > 32:
        return []
    name = case.name.partition(", ")[2]
    targets = [Target(f"CPU of a page, against aiohttp + resp.json(), {name}", 0.9, ratio(ours, dicts), unit=" x")]
    if name == "1 at once":
        targets.append(Target("CPU of a page, against aiohttp without decoding", 1.6, ratio(ours, floor), unit=" x"))
    return targets


def run(*, quick: bool) -> Report:
    """Measure; one table for each case."""
    report = Report()
    for case in QUICK if quick else CASES:
        with page_server(module=case.server) as server:
            rounds = asyncio.run(measure(case, server))
            report.tables.append(_tabulate(case, rounds, server.idle))
        report.targets += _find_targets(case, rounds)
        report.figures[case.name] = {peer.name: _cpu(rounds, peer, case) for peer in case.contestants}
    return report
