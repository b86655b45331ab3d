"""How runs of a job see one another: leases that last as long as a piece, and notes that need no common clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field
from redis.asyncio import Redis

from isnotai_async.integrations._delta_leases import Leases
from isnotai_async.integrations._delta_runs import RunNotes
from isnotai_async.integrations._delta_tables import JobTables
from tests.redis_server import running_redis

HOUR = 3600.0


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_redis(tmp_path) as server:
        yield server.url


@define
class Clock:
    """A clock of a Redis: its keys live as long as this says.

    Attributes:
        redis: The Redis.
        key: The key.
        elapsed: Seconds that went by.
    """

    redis: Redis
    key: str
    elapsed: float = 0.0
    _round: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def sleep(self, seconds: float) -> None:
        """Let time go by at once."""
        self.elapsed += seconds
        await self.redis.pexpire(self.key, int(await self.redis.pttl(self.key) - seconds * 1000))
        self._round.set()

    async def pass_time(self, seconds: float) -> None:
        """Wait until so much time went by."""
        while self.elapsed < seconds:
            self._round.clear()
            await self._round.wait()


async def test_a_lease_lasts_as_long_as_its_piece_is_read(url: str) -> None:
    async with Redis.from_url(url) as redis:
        clock = Clock(redis, "p:slot-0:0")
        mine, other = Leases(url, "p", "mine", sleep=clock.sleep), Leases(url, "p", "other")
        async with mine.hold("slot-0", 0) as has_it:
            assert has_it
            for minutes in range(1, 31):
                await clock.pass_time(60.0 * minutes)
                async with other.hold("slot-0", 0) as others:
                    assert not others
        async with other.hold("slot-0", 0) as others:
            assert others, "it ends with the piece"
        await mine.aclose()
        await other.aclose()


async def test_a_lease_that_is_not_renewed_ends_after_a_minute(url: str) -> None:
    async with Redis.from_url(url) as redis:
        await redis.set("p:slot-0:0", "dead", ex=60)
        clock = Clock(redis, "p:slot-0:0")
        await clock.sleep(60.0)
        other = Leases(url, "p", "other")
        async with other.hold("slot-0", 0) as others:
            assert others
        await other.aclose()


def notes(table: Path, run: str, time: list[float], skew: float = 0.0) -> RunNotes:
    tables = JobTables(str(table), "june", {})
    return RunNotes(tables, run, clock=lambda: time[0] + skew, host=f"host-of-{run}")


@pytest.mark.parametrize("skew", [0.0, -HOUR, HOUR, -12 * HOUR, 12 * HOUR], ids=str)
def test_a_second_run_is_seen_whatever_its_clock_says(tmp_path: Path, skew: float) -> None:
    time = [1.8e9]
    first, second = notes(tmp_path, "first", time), notes(tmp_path, "second", time, skew)
    for each in (first, second):
        each.note()
        each.find_others()
    time[0] += 240
    first.note()
    second.note()
    assert first.find_others() == ["second"]
    assert second.find_others() == ["first"]


@pytest.mark.parametrize("skew", [0.0, -HOUR, HOUR], ids=str)
def test_a_run_that_was_killed_or_ended_does_not_count_for_ever(tmp_path: Path, skew: float) -> None:
    time = [1.8e9]
    first, killed, ended = (notes(tmp_path, run, time, skew) for run in ("first", "killed", "ended"))
    for each in (first, killed, ended):
        each.note()
    ended.note(ended=True)
    assert first.find_others() == ["killed"]
    time[0] += 601
    first.note()
    assert first.find_others() == []
