"""Each rule of a sync in a scene of its own, over HTTP; `test_sync_rules_matter` plays them, with a rule off too."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

from isnotai_async import IsNotAIError, Retry, StoreError
from isnotai_async.export.source import find_source
from isnotai_async.export.sync import Sync
from isnotai_async.export.sync_rules import SyncRules
from tests.export.sync_world import DAY, HOUR, Played

Scene = Callable[[Played], Awaitable[None]]


async def a_quiet_session_is_read_once_and_audited_later(play: Played) -> None:
    world = play.world
    world.add_session("s1", world.now - 2 * DAY)
    world.grow("s1", world.now - 2 * DAY, moves=False)
    await play.sync(audited=0)
    assert world.read == ["s1"]
    world.pass_time(DAY)
    await play.sync(audited=0)
    assert world.read == []
    assert play.is_whole()


async def an_active_session_waits(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", world.now)
    world.pass_time(DAY)
    report = await play.sync()
    assert (world.read, report.waiting) == ([], 1)
    world.pass_time(2000)
    await play.sync()
    assert play.is_whole()


async def a_session_that_changes_while_it_is_watched_is_read_again(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", world.now)
    world.pass_time(2 * DAY)
    await play.sync()
    world.pass_time(4 * DAY)
    world.grow("s1", world.now)
    world.pass_time(2 * DAY)
    await play.sync(audited=0)
    assert play.is_whole()


async def a_change_on_the_last_watched_day_is_seen_weeks_later(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", world.now)
    world.pass_time(2 * DAY)
    await play.sync()
    world.pass_time(4 * DAY)
    world.grow("s1", world.now)
    world.pass_time(30 * DAY)
    await play.sync(audited=0)
    assert play.is_whole()


async def sessions_created_in_a_gap_of_weeks_are_listed(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    await play.sync()
    world.pass_time(DAY)
    world.add_session("s2")
    world.grow("s2", world.now)
    world.pass_time(30 * DAY)
    await play.sync()
    assert play.is_whole()


async def an_open_session_is_listed_as_long_as_it_is_followed(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    for _ in range(20):
        world.grow("s1", world.now)
        world.pass_time(20 * HOUR)
        await play.sync()
        assert world.read == [], "it is active, as its record says"
    world.pass_time(2 * DAY)
    await play.sync()
    assert play.is_whole()


async def a_session_that_stays_open_is_read_once_more_and_given_up(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    for _ in range(31):
        world.grow("s1", world.now)
        world.pass_time(23 * HOUR)
        await play.sync()
    world.pass_time(DAY)
    world.grow("s1", world.now)
    report = await play.sync()
    assert (world.read, report.abandoned) == (["s1"], 1)
    assert play.is_whole()
    world.pass_time(DAY)
    assert (await play.sync()).abandoned == 0
    assert world.read == []


async def an_earlier_start_date_is_listed_once(play: Played) -> None:
    world = play.world
    world.add_session("old", world.now - 100 * DAY)
    world.grow("old", world.now - 100 * DAY, moves=False)
    world.sessions["old"].updated = world.now - 100 * DAY
    world.add_session("new", world.now - 3 * DAY)
    world.grow("new", world.now - 3 * DAY, moves=False)
    report = await play.sync(start=world.now - 10 * DAY)
    assert report.listed == 1
    report = await play.sync(start=world.now - 200 * DAY)
    assert report.listed == 2
    assert play.is_whole()
    report = await play.sync(start=world.now - 200 * DAY)
    assert report.listed == 1


async def nothing_before_the_start_date_is_listed(play: Played) -> None:
    world = play.world
    world.add_session("old", world.now - 3 * DAY)
    await play.sync(start=world.now - DAY)
    world.pass_time(DAY)
    assert (await play.sync(start=None)).sessions == 0


async def late_rows_are_found_because_a_session_is_read_whole(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", world.now, world.now + 20 * HOUR)
    world.pass_time(45 * HOUR)
    await play.sync()
    world.grow("s1", world.now, world.now - 20 * HOUR, world.now - 44 * HOUR)
    world.pass_time(25 * HOUR)
    await play.sync()
    assert play.is_whole()


async def a_session_that_was_active_when_it_was_read_is_read_again(play: Played) -> None:
    world = play.world
    world.tells_updates = False
    world.add_session("s1", world.now - 2 * DAY)
    world.grow("s1", world.now - HOUR)
    await play.sync()
    world.pass_time(20 * HOUR)
    world.grow("s1", world.now)
    world.pass_time(25 * HOUR)
    await play.sync(audited=0)
    assert play.is_whole()


async def rows_that_the_api_no_longer_gives_stay_and_are_counted(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", *(world.now + n * HOUR for n in range(8)))
    world.pass_time(2 * DAY)
    await play.sync()
    world.history = DAY
    world.sessions["s1"].status = "closed"
    world.pass_time(DAY)
    report = await play.sync()
    assert report.expired == 1
    assert play.is_whole()


async def a_gap_that_the_history_does_not_reach_is_reported(play: Played) -> None:
    world = play.world
    world.tier = "free"
    assert (await play.sync()).gaps == ()
    world.pass_time(6 * DAY)
    assert (await play.sync()).gaps == ()
    world.pass_time(8 * DAY)
    report = await play.sync()
    assert report.gaps == ("us",)
    assert report.has_doubts


async def new_sessions_are_listed_although_an_old_one_is_open(play: Played) -> None:
    world = play.world
    world.tier = "free"  # a startDate more than 7 days ago gives an empty page
    world.add_session("s1")
    for day in range(12):
        world.grow("s1", world.now)
        world.add_session(f"new-{day}")
        world.grow(f"new-{day}", world.now)
        world.pass_time(23 * HOUR)
        report = await play.sync()
        assert world.requests["list"] == -(-report.listed // world.list_size), "none was in vain"
    world.pass_time(2 * DAY)
    await play.sync()
    assert play.is_whole()


async def a_shorter_history_than_documented_hides_no_session(play: Played) -> None:
    world = play.world
    world.window = 3 * DAY
    for day in range(9):
        world.add_session(f"s{day}")
        world.grow(f"s{day}", world.now)
        world.pass_time(DAY)
        await play.sync()
    world.pass_time(2 * DAY)
    await play.sync()
    assert play.is_whole()


async def audits_find_what_came_too_late_and_are_remembered(play: Played) -> None:
    world = play.world
    world.tells_updates = False
    for name in ("s1", "s2"):
        world.add_session(name)
        world.grow(name, world.now)
    world.pass_time(2 * DAY)
    await play.sync(audited=1)
    world.grow("s1", world.now)
    world.grow("s2", world.now)
    report = await play.sync(audited=1)  # reads one of them
    assert report.unseen == 1
    assert not play.is_whole()
    world.pass_time(6 * DAY)
    await play.sync(audited=0)  # both have left the watched days
    assert play.is_whole()
    world.pass_time(DAY)
    await play.sync(audited=0)
    assert world.read == [], "each is read once when it leaves"


async def a_change_after_the_listing_is_no_reason_for_distrust(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", world.now)
    world.pass_time(2 * DAY)
    await play.sync()

    def grow_during(kind: str) -> None:
        if kind == "events":
            world.during = lambda kind: None
            world.grow("s1", world.now)

    world.during = grow_during
    report = await play.sync()
    assert (report.added, report.unseen) == (1, 0)
    world.pass_time(6 * DAY)
    await play.sync()
    world.pass_time(DAY)
    await play.sync()
    assert world.read == []


async def a_long_active_session_is_read_from_its_newest_rows_on(play: Played) -> None:
    world = play.world
    world.add_session("s1")
    world.grow("s1", *(world.now + n for n in range(65)))
    world.pass_time(30 * HOUR)
    world.grow("s1", world.now)
    await play.sync(include_open=True)
    assert world.requests["events"] == 22
    world.pass_time(20 * HOUR)
    world.grow("s1", world.now - 20 * HOUR, world.now)
    await play.sync(include_open=True)
    assert world.requests["events"] == 1
    assert play.is_whole()
    world.pass_time(2 * DAY)
    await play.sync(include_open=True)
    assert world.requests["events"] == 23, "whole, now that it is quiet"


async def a_session_that_cannot_be_read_for_weeks_does_not_lengthen_each_listing(play: Played) -> None:
    world = play.world
    play.client = play.client.with_options(retry=Retry(attempts=1))
    world.add_session("old", world.now - 31 * DAY)
    world.add_session("new", world.now - 3 * DAY)
    world.refuse = lambda kind, request: 500 if "old" in request.path else None
    assert (await play.sync()).listed == 2
    world.pass_time(DAY)
    assert (await play.sync()).listed == 1


async def a_listing_that_breaks_off_leaves_nothing(play: Played) -> None:
    world = play.world
    for number in range(3):
        world.add_session(f"s{number}", world.now - 3 * DAY)
    world.refuse = lambda kind, request: 403 if kind == "list" and "cursor" in request.query else None
    assert await fails(play)
    with closing(sqlite3.connect(play.path)) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM _isnotai_regions").fetchone() == (0,)


async def what_is_given_twice_is_there_once(play: Played) -> None:
    world = play.world
    world.overlaps = True
    for number in range(5):
        world.add_session(f"s{number}", world.now - 3 * DAY)
        world.grow(f"s{number}", *(world.now - 3 * DAY for _ in range(7)), moves=False)
    report = await play.sync()
    assert (report.listed, report.sessions, report.added) == (5, 5, 35)
    assert play.is_whole()


async def a_session_without_any_time_is_read_until_it_has_some(play: Played) -> None:
    world = play.world
    world.add_session("s1", world.now - 2 * DAY)
    world.sessions["s1"].changes = {"createdAt": None, "updatedAt": None}
    await play.sync()
    assert world.read == ["s1"]
    world.grow("s1", world.now - 2 * DAY)
    await play.sync(audited=0)
    assert play.is_whole()


async def a_listed_session_that_is_not_there_is_reported_once(play: Played) -> None:
    play.world.add_session("s1", play.world.now - 2 * DAY, is_gone=True)
    assert len((await play.sync()).failures) == 1
    assert (await play.sync()).failures == ()


async def a_reading_that_broke_off_while_its_session_was_active_starts_over(play: Played) -> None:
    world = play.world
    world.order, world.tells_updates = "time", False
    world.add_session("s1", world.now - 2 * DAY)
    world.grow("s1", *(world.now - HOUR + n for n in range(9)))
    world.refuse = lambda kind, request: 401 if kind == "events" and world.requests["events"] == 3 else None
    assert await fails(play, include_open=True)
    world.refuse = lambda kind, request: None
    world.grow("s1", world.now - 2 * HOUR)
    world.pass_time(2 * DAY)
    await play.sync()
    assert play.is_whole()


async def other_filters_are_rejected(play: Played) -> None:
    await play.sync()
    rules = SyncRules(watch=7 * DAY, settle=DAY, max_open=30 * DAY)
    try:
        source = find_source(play.client)
        await Sync(source=source, path=play.path, rules=rules, events={"type": "1"}, sessions={}).run()
    except StoreError:
        return
    raise AssertionError


async def fails(play: Played, **rules: bool) -> bool:
    """Run a sync; return whether it ended with an error."""
    try:
        await play.sync(**rules)
    except IsNotAIError:
        return True
    return False


SCENES: list[Scene] = [value for value in list(globals().values()) if getattr(value, "__code__", None) is not None]
SCENES = [scene for scene in SCENES if scene.__code__.co_varnames[:1] == ("play",)]
"""All of them."""
