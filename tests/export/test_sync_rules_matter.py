"""Each rule of a sync in a scene of its own, over HTTP; and with any one rule switched off, a scene fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from isnotai_async.export import event_store, store_schema
from isnotai_async.export.sync_listing import RegionLister
from isnotai_async.export.sync_rules import Choice, Coverage, SessionState, State, SyncRules
from tests.export.sync_world import DAY, HOUR, Played, World

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


SCENES: list[Scene] = [value for value in list(globals().values()) if getattr(value, "__code__", None) is not None]
SCENES = [scene for scene in SCENES if scene.__code__.co_varnames[:1] == ("play",)]


pytestmark = pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")  # of the history window


async def run(scene: Scene, path: Path, rules: type[SyncRules] = SyncRules) -> None:
    world = World()
    async with world.serve() as client:
        await scene(Played(world, client, path / "events.db", rules))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_scene(scene: Scene, tmp_path: Path) -> None:
    await run(scene, tmp_path)


class WithoutWatch(SyncRules):
    def list_since(self, coverage: Coverage | None, *args: Any, **options: Any) -> int | None:
        since = super().list_since(coverage, *args, **options)
        return since if coverage is None else coverage.until


class WithoutOldestOpen(SyncRules):
    def list_since(self, coverage: Coverage | None, oldest_open: int | None, **options: Any) -> int | None:
        return super().list_since(coverage, None, **options)


class WithoutEarlierStart(SyncRules):
    def list_since(self, coverage: Coverage | None, *args: Any, start: int | None, now: int) -> int | None:
        return super().list_since(coverage, *args, start=start if coverage is None else None, now=now)


class WithoutListedFrom(SyncRules):
    def covered_from(self, coverage: Coverage | None, start: int | None) -> int | None:
        return None


class WithoutWaiting(SyncRules):
    def choose(self, session: SessionState, now: int) -> Choice:
        choice = super().choose(session, now)
        return Choice.READ if choice is Choice.WAIT else choice


class WithoutSkipping(SyncRules):
    def finish(self, session: SessionState, began: int) -> State:
        return State.OPEN


class WithoutMaxOpen(SyncRules):
    def is_too_old(self, session: SessionState, now: int) -> bool:
        return False


class FromNewestOn(SyncRules):
    def choose(self, session: SessionState, now: int) -> Choice:
        choice = super().choose(session, now)
        return Choice.READ_NEW if choice is Choice.READ and session.newest is not None else choice

    def read_from(self, choice: Choice, newest: int | None) -> int | None:
        return newest


class AlwaysFinal(SyncRules):
    def finish(self, session: SessionState, began: int) -> State:
        return State.FINAL


class WithoutShortcut(SyncRules):
    def choose(self, session: SessionState, now: int) -> Choice:
        choice = super().choose(session, now)
        return Choice.READ if choice is Choice.READ_NEW else choice


class NeverWholeAgain(SyncRules):
    def choose(self, session: SessionState, now: int) -> Choice:
        choice = super().choose(session, now)
        return Choice.READ_NEW if choice is Choice.READ and session.pages > 20 else choice


class WithoutExpired(SyncRules):
    def is_expired(self, given: int, rows: int) -> bool:
        return False


class WithoutGap(SyncRules):
    def is_gap(self, coverage: Coverage | None, history: int | None, now: int) -> bool:
        return False


class WithoutHistory(SyncRules):
    def is_before_history(self, since: int, history: int | None, now: int) -> bool:
        return False


class WithoutMemory(SyncRules):
    def leaving(self, coverage: Coverage | None, now: int) -> None:
        return None


class WithoutAudit(SyncRules):
    def __init__(self, **rules: Any) -> None:
        super().__init__(**{**rules, "audited": 0})


# Of each rule that is off, a scene that fails without it.
WITHOUT: dict[type[SyncRules], Scene] = {
    WithoutWatch: a_session_that_changes_while_it_is_watched_is_read_again,
    WithoutOldestOpen: an_open_session_is_listed_as_long_as_it_is_followed,
    WithoutEarlierStart: an_earlier_start_date_is_listed_once,
    WithoutListedFrom: nothing_before_the_start_date_is_listed,
    WithoutWaiting: an_active_session_waits,
    WithoutSkipping: a_quiet_session_is_read_once_and_audited_later,
    WithoutMaxOpen: a_session_that_stays_open_is_read_once_more_and_given_up,
    FromNewestOn: late_rows_are_found_because_a_session_is_read_whole,
    AlwaysFinal: a_session_that_was_active_when_it_was_read_is_read_again,
    WithoutShortcut: a_long_active_session_is_read_from_its_newest_rows_on,
    NeverWholeAgain: a_long_active_session_is_read_from_its_newest_rows_on,
    WithoutExpired: rows_that_the_api_no_longer_gives_stay_and_are_counted,
    WithoutGap: a_gap_that_the_history_does_not_reach_is_reported,
    WithoutHistory: new_sessions_are_listed_although_an_old_one_is_open,
    WithoutMemory: audits_find_what_came_too_late_and_are_remembered,
    WithoutAudit: audits_find_what_came_too_late_and_are_remembered,
}


@pytest.mark.parametrize("rules", WITHOUT, ids=lambda rules: rules.__name__)
async def test_a_scene_fails_if_a_rule_is_off(rules: type[SyncRules], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        await run(WITHOUT[rules], tmp_path, rules)


async def test_a_scene_fails_if_a_changed_record_does_not_open_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = store_schema.MERGE_LISTED.replace("_isnotai_state = 'open',", "")
    assert changed != store_schema.MERGE_LISTED
    monkeypatch.setattr(event_store, "MERGE_LISTED", changed)
    with pytest.raises(AssertionError):
        await run(a_session_that_changes_while_it_is_watched_is_read_again, tmp_path)


async def test_a_scene_fails_if_an_empty_listing_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store.EventStore, "has_sessions", lambda *_: False)
    with pytest.raises(AssertionError):
        await run(a_shorter_history_than_documented_hides_no_session, tmp_path)


@pytest.mark.parametrize(
    "scene", [a_change_on_the_last_watched_day_is_seen_weeks_later, sessions_created_in_a_gap_of_weeks_are_listed]
)
async def test_a_scene_fails_if_the_last_listing_does_not_count(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()

    async def find_since(lister: RegionLister, coverage: Coverage | None, now: int) -> int | None:
        return None if coverage is None else world.now - 7 * DAY

    monkeypatch.setattr(RegionLister, "_find_since", find_since)
    async with world.serve() as client:
        with pytest.raises(AssertionError):
            await scene(Played(world, client, tmp_path / "events.db"))
