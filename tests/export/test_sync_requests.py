"""What a sync costs: the listing, twenty audits, and nothing else while all is quiet."""

from __future__ import annotations

from pathlib import Path

import pytest

from isnotai_async.export.sync import update_store
from tests.export.sync_world import DAY, HOUR, World, read_rows


async def test_a_quiet_night_costs_the_listing_and_twenty_audits(tmp_path: Path) -> None:
    world = World(page_size=100, list_size=100)
    for number in range(1_000):
        world.add_session(f"s{number:04}", world.now - 5 * DAY + number * 1000)
        world.grow(f"s{number:04}", world.now - 5 * DAY + number * 1000, moves=False)
    async with world.serve() as client:
        await update_store(client, tmp_path / "events.db")
        assert world.requests == {"list": 10, "events": 1_000}
        world.requests.clear()
        world.pass_time(DAY)
        report = await update_store(client, tmp_path / "events.db")
    assert world.requests == {"list": 10, "events": 20}
    assert (report.audited, report.read, report.requests) == (20, 20, 30)
    assert read_rows(tmp_path / "events.db") == sorted(world.exists.values())


@pytest.mark.heavy
async def test_fifty_nights_cost_little_more_than_one_full_read(tmp_path: Path) -> None:
    world = World(page_size=10, list_size=100)
    pages = lists = 0
    async with world.serve() as client:
        for night in range(50):
            for number in range(6):
                session = world.add_session(f"s{night}-{number}")
                times = [world.now + n * HOUR // 4 for n in range(30)]
                world.grow(session.id, *times)
                world.sessions[session.id].updated = times[-1]
            if night:  # 2 % of the rows are up to 12 hours late
                world.grow(f"s{night - 1}-0", world.now - 12 * HOUR)
            world.pass_time(DAY)
            world.requests.clear()
            await update_store(client, tmp_path / "events.db")
            pages, lists = pages + world.requests["events"], lists + world.requests["list"]
        world.pass_time(2 * DAY)
        await update_store(client, tmp_path / "events.db")
    audits = 49 * 20 * 4
    full = sum(-(-len(session.rows) // 10) for session in world.sessions.values())
    assert read_rows(tmp_path / "events.db") == sorted(world.exists.values())
    assert pages - audits <= 1.1 * full
