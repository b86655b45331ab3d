"""CPU per page of a walk and pages a second, against the clients that one would choose from.

All walk the same pages from the same server and look at every row. The server is another process on another
processor, so `process_time` counts the client alone, all its threads included.
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
ALL = (
    *(peers.SOCKETS, peers.BYTES, peers.DICTS, peers.PAGES, peers.EVENTS),
    *(REQUESTS, NIQUESTS, HTTPX, GENERATED),
)


@frozen
class Case:
    """One table.

    Attributes:
        events: Events on a page.
        concurrency: Walks at once.
        rounds: How often.
    """

    events: int
    concurrency: int
    rounds: int

    @property
    def name(self) -> str:
        """What it is called."""
        return f"pages of {self.events}, {self.concurrency} at once"

    @property
    def contestants(self) -> tuple[peers.Peer, ...]:
        """Who takes part: with 256 at once httpx takes 22 ms of CPU a page, and would need all the time there is."""
        return tuple(peer for peer in ALL if self.concurrency <= 32 or peer not in {HTTPX, GENERATED})


CASES = (
    *(Case(100, concurrency, 5) for concurrency in (1, 32)),
    *(Case(events, concurrency, 2) for events in (50, 1) for concurrency in (1, 32)),
    *(Case(events, 256, 1) for events in (100, 50, 1)),
)
QUICK = (Case(100, 1, 3), Case(100, 32, 3))


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
    if (case.events, case.concurrency) == (100, 1):
        return [
            Target("CPU of a page, against aiohttp + resp.json()", 0.9, ratio(ours, dicts), unit=" x"),
            Target("CPU of a page, against aiohttp without decoding", 1.6, ratio(ours, floor), unit=" x"),
        ]
    if (case.events, case.concurrency) == (100, 32):
        slow = (REQUESTS, HTTPX, GENERATED)
        name = "CPU of {}, against ours, 32 at once"
        return [
            Target(name.format(peer.name), 5, ratio(_cpu(rounds, peer, case), ours), at_least=True, unit=" x")
            for peer in slow
        ]
    return []


def run(*, quick: bool) -> Report:
    """Measure; one table for each case."""
    report = Report()
    for case in QUICK if quick else CASES:
        with page_server() as server:
            rounds = asyncio.run(measure(case, server))
            report.tables.append(_tabulate(case, rounds, server.idle))
        report.targets += _find_targets(case, rounds)
        report.figures[case.name] = {peer.name: _cpu(rounds, peer, case) for peer in case.contestants}
    return report
