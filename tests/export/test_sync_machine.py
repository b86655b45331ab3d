"""A sync against anything that can happen between its runs and during them: in the end the store has what exists.

What may happen is what the rules promise to see. A row arrives at most `settle` after its time. With records that
tell, a session grows while it is watched, and after that as long as it is never quiet for longer than `settle`. With
records that do not, it grows at most `settle` after its newest row. None grows when it is older than `max_open`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isnotai_async import Credential, IsNotAIError, Retry, SessionManager, Unlimited
from isnotai_async.export.report import StoreReport
from isnotai_async.export.source import find_source
from isnotai_async.export.store_file import StoreFile
from isnotai_async.export.sync import Sync
from isnotai_async.export.sync_rules import SyncRules
from tests.examples import scaled
from tests.export.sync_world import DAY, HOUR, KEY, Row, Served, World, read_rows

WATCH, SETTLE, MAX_OPEN = 7 * DAY, DAY, 30 * DAY

Move = tuple[str, int, int]


class KilledError(Exception):
    """A run was killed before a transaction."""


@define
class Play:
    """Two regions and their store."""

    worlds: dict[str, World]
    path: Path
    include_open: bool
    requests: int = 0
    during: dict[int, Move] = field(factory=dict)  # by number of the request
    fails: bool = False

    def __attrs_post_init__(self) -> None:
        for world in self.worlds.values():
            world.during = lambda kind, world=world: self.on_request()  # type: ignore[misc]
            world.refuse = self.refuse

    def on_request(self) -> None:
        self.requests += 1
        if move := self.during.pop(self.requests, None):
            self.move(*move)

    def refuse(self, kind: str, request: web.Request) -> int | None:
        failed, self.fails = self.fails, False
        return 500 if failed else None

    def move(self, kind: str, which: int, amount: int) -> None:
        world = list(self.worlds.values())[which % 2]
        if kind == "session":
            world.add_session(f"s{len(world.sessions)}", world.now - amount % 2 * HOUR)
        elif kind == "grow" and world.sessions:
            self.grow(world, list(world.sessions.values())[which // 2 % len(world.sessions)], amount)
        elif kind == "hours":
            world.pass_time(amount * HOUR // 2)
        elif kind == "weeks":
            world.pass_time(amount % 6 * 7 * DAY)
        elif kind == "expire":
            world.expire_cursors()
        elif kind == "fail":
            self.fails = True

    def grow(self, world: World, session: Served, amount: int) -> None:
        now, age = world.now, world.now - (session.created or 0)
        newest = max((row["timestamp"] for row in session.rows), default=session.created or 0)
        if world.tells_updates:
            last = max(newest, session.updated or 0)
            may_grow = age <= WATCH or (now - last <= SETTLE and age <= MAX_OPEN)
        else:
            may_grow = now - newest <= SETTLE and age <= MAX_OPEN
        if may_grow:
            late = [(amount * 7 + n * 5) % 25 * HOUR for n in range(amount % 9 + 1)]
            world.grow(session.id, *(now - hours for hours in late))

    async def run(self, manager: SessionManager, *, during: dict[int, Move], kill: int | None) -> StoreReport | None:
        self.requests, self.during, self.fails = 0, dict(during), False
        rules = SyncRules(watch=WATCH, settle=SETTLE, max_open=MAX_OPEN, include_open=self.include_open)
        for world in self.worlds.values():
            world.read.clear()
        try:
            with killed_at(kill):
                sync = Sync(
                    source=find_source(manager), path=self.path, rules=rules, events={}, sessions={}, concurrency=3
                )
                return await sync.run()
        except (KilledError, IsNotAIError):
            return None
        finally:
            self.during = {}

    def check(self, *, whole: bool) -> None:
        stored: list[Row] = read_rows(self.path)
        exists: dict[tuple[str, str, str], Row] = {}
        for world in self.worlds.values():
            exists |= world.exists
        assert len(stored) == len({row[:3] for row in stored})
        assert all(exists[row[:3]] == row for row in stored)
        if whole:
            assert stored == sorted(exists.values())


@contextmanager
def killed_at(number: int | None) -> Iterator[None]:
    """Let the process die before the transaction of a number, as far as the file can tell."""
    transaction, count = StoreFile.transaction, 0

    def dying(file: StoreFile):  # type: ignore[no-untyped-def] # noqa: ANN202 - as the real one
        nonlocal count
        count += 1
        if number is not None and count >= number:
            raise KilledError
        return transaction(file)

    with patch.object(StoreFile, "transaction", dying):
        yield


async def play_all(play: Play, steps: list[tuple[str, Any]]) -> None:
    async with AsyncExitStack() as stack:
        credentials = {}
        for which in range(4):
            play.move("session", which, 0)
        for name, world in play.worlds.items():
            runner = await world.start()
            stack.push_async_callback(runner.cleanup)
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            credentials[name] = Credential(KEY, region=name, base_url=url, limiter=Unlimited())
        manager = await stack.enter_async_context(SessionManager(credentials, retry=Retry(attempts=1)))
        for kind, step in steps:
            if kind == "move":
                play.move(*step)
            else:
                await play.run(manager, during=step[0], kill=step[1])
                if play.path.exists():
                    play.check(whole=False)
        await play_to_the_end(play, manager)


async def play_to_the_end(play: Play, manager: SessionManager) -> None:
    for world in play.worlds.values():
        world.pass_time(SETTLE + HOUR)
    report = await play.run(manager, during={}, kill=None)
    assert report is not None
    assert report.is_complete
    play.check(whole=True)
    assert report.rows == sum(len(world.exists) for world in play.worlds.values())
    report = await play.run(manager, during={}, kill=None)
    assert report is not None
    assert (report.read, report.added) == (report.audited, 0), "all is quiet"


moves = st.tuples(
    st.sampled_from(["grow"] * 6 + ["session"] * 2 + ["hours"] * 4 + ["weeks", "expire", "fail"]),
    st.integers(0, 15),
    st.integers(1, 60),
)
runs = st.tuples(
    st.dictionaries(st.integers(1, 40), moves, max_size=6), st.sampled_from([None, None, None, 1, 2, 3, 4, 5, 6])
)
# A night: what happens before a run, and the run.
nights = st.tuples(st.lists(moves, min_size=3, max_size=8), runs).map(
    lambda night: [*(("move", move) for move in night[0]), ("run", night[1])]
)
steps = st.lists(nights, min_size=1, max_size=8).map(lambda nights: [step for night in nights for step in night])


@pytest.mark.timeout(300)  # 15 plays of some eight runs each, over HTTP
@settings(max_examples=scaled(15), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    steps=steps,
    tells=st.booleans(),
    order=st.sampled_from(["arrival", "time", "falling"]),
    include_open=st.booleans(),
)
def test_in_the_end_the_store_has_what_exists(
    steps: list[tuple[str, Any]], tells: bool, order: str, include_open: bool
) -> None:
    worlds = {name: World(region=name, order=order, tells_updates=tells) for name in ("us", "eu")}
    with TemporaryDirectory() as folder:
        asyncio.run(play_all(Play(worlds, Path(folder) / "events.db", include_open), steps))
