"""Each rule of a sync holds in its scene, and with any one rule switched off a scene fails.

`OFF` lists the rules, as the docstring of `sync_rules` numbers them, and the mutants. To see the list:
``pytest --collect-only -q tests/export/test_sync_rules_matter.py``.
"""

from __future__ import annotations

import re
from operator import attrgetter
from pathlib import Path
from time import time
from typing import Any, Final

import pytest
from attrs import frozen

from isnotai_async import IsNotAIError
from isnotai_async._client import Client
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Session
from isnotai_async._models.times import to_milliseconds
from isnotai_async.export import event_store, store_schema, sync_listing, sync_rules
from isnotai_async.export.event_store import EventStore
from isnotai_async.export.session_reading import SessionReading
from isnotai_async.export.store_file import StoreFile
from isnotai_async.export.sync import Sync
from isnotai_async.export.sync_listing import RegionLister
from isnotai_async.export.sync_rules import Choice, Coverage, SessionState, State, SyncRules
from tests.export import sync_scenes as scenes
from tests.export.sync_scenes import SCENES, Scene
from tests.export.sync_world import DAY, Played, World

pytestmark = pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")  # of history and missing times


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


async def read_server_time(lister: RegionLister) -> int:
    moment = (await lister.client.health()).timestamp
    assert moment is not None
    return to_milliseconds(moment)


async def list_settle_before_the_last_run(lister: RegionLister, coverage: Coverage | None, now: int) -> int | None:
    """List from `settle` before the last run on: a session that changed on its last watched day is lost."""
    if coverage is None:
        return lister.start
    return min(await read_server_time(lister) - 7 * DAY, coverage.until - DAY)


async def list_watched_days_only(lister: RegionLister, coverage: Coverage | None, now: int) -> int | None:
    return lister.start if coverage is None else await read_server_time(lister) - 7 * DAY


class OpenForEver(SyncRules):
    def open_after(self, now: int) -> int:
        return -(2**62)


class EarlierStartEachTime(SyncRules):
    def covered_from(self, coverage: Coverage | None, start: int | None) -> int | None:
        return start if coverage is None else coverage.since


class FinalWithoutActivity(SyncRules):
    def finish(self, session: SessionState, began: int) -> State:
        return State.FINAL if session.activity is None else super().finish(session, began)


class NeverGone(SyncRules):
    def refuse(self, session: SessionState, began: int, *, is_gone: bool) -> State:
        return super().refuse(session, began, is_gone=False)


class AlwaysResume(SyncRules):
    def can_resume(self, session: SessionState, began: int) -> bool:
        return True


async def ask_own_clock(client: Client, page: Page[Session]) -> int:
    return int(time() * 1000)


_note = RegionLister._note


async def commit_each_page(lister: RegionLister, page: Page[Session], now: int) -> None:
    await _note(lister, page, now)
    commit = lister.store.commit_listing
    await lister.thread.run(commit, lister.name, lister.place, Coverage(since=None, until=now))


async def believe_the_listing(sync: Sync, reading: SessionReading) -> bool:
    return False


_finish = EventStore._finish


def delete_what_is_not_given(store: EventStore, reading: SessionReading) -> None:
    _finish(store, reading)
    if reading.is_expired:
        store.file.db.execute("DELETE FROM events WHERE session_id = ?", (reading.session_id,))


_insert = event_store._insert


def insert_each(count: int) -> str:
    return _insert(count).replace(" ON CONFLICT DO NOTHING", "")


@frozen
class Off:
    """A rule that is switched off.

    Attributes:
        rule: Its number in the docstring of `sync_rules`, and what it says.
        scene: A scene that fails without it.
        rules: The rules without it.
        patch: Or what to patch: an object, the name of an attribute, and its value.
    """

    rule: str
    scene: Scene
    rules: type[SyncRules] = SyncRules
    patch: tuple[object, str, object] | None = None


def remove(text: str, what: str) -> str:
    assert what in text
    return text.replace(what, "")


NO_ACTIVITY: Final = {name: (SessionState, "activity", property(attrgetter(name))) for name in ("recorded", "newest")}
OFF: Final = (
    Off(
        "1 now is the server's Date", scenes.an_active_session_waits, patch=(sync_listing, "read_now", ask_own_clock)
    ),
    Off("1 list what is watched", scenes.a_session_that_changes_while_it_is_watched_is_read_again, WithoutWatch),
    Off(
        "1 list watch before the last run, and not settle",
        scenes.a_change_on_the_last_watched_day_is_seen_weeks_later,
        patch=(RegionLister, "_find_since", list_settle_before_the_last_run),
    ),
    Off(
        "1 list since the last run",
        scenes.sessions_created_in_a_gap_of_weeks_are_listed,
        patch=(RegionLister, "_find_since", list_watched_days_only),
    ),
    Off(
        "1 list what is open",
        scenes.an_open_session_is_listed_as_long_as_it_is_followed,
        WithoutOldestOpen,
    ),
    Off(
        "1 as long as it is younger than max_open",
        scenes.a_session_that_cannot_be_read_for_weeks_does_not_lengthen_each_listing,
        OpenForEver,
    ),
    Off("1 never from before listed_from", scenes.nothing_before_the_start_date_is_listed, WithoutListedFrom),
    Off("1 but from an earlier start_date", scenes.an_earlier_start_date_is_listed_once, WithoutEarlierStart),
    Off("1 once", scenes.an_earlier_start_date_is_listed_once, EarlierStartEachTime),
    Off("1 not from before the history", scenes.new_sessions_are_listed_although_an_old_one_is_open, WithoutHistory),
    Off(
        "1 an empty listing is doubted",
        scenes.a_shorter_history_than_documented_hides_no_session,
        patch=(EventStore, "has_sessions", lambda *_: False),
    ),
    Off(
        "1 ids are a set",
        scenes.what_is_given_twice_is_there_once,
        patch=(event_store, "NOTE_LISTED", remove(store_schema.NOTE_LISTED, " OR REPLACE")),
    ),
    Off(
        "1 a listing is committed after its last page",
        scenes.a_listing_that_breaks_off_leaves_nothing,
        patch=(RegionLister, "_note", commit_each_page),
    ),
    Off("2 a record is activity", scenes.an_active_session_waits, patch=NO_ACTIVITY["newest"]),
    Off(
        "2 an event is activity",
        scenes.a_session_that_was_active_when_it_was_read_is_read_again,
        patch=NO_ACTIVITY["recorded"],
    ),
    Off("2 skip what is final", scenes.a_quiet_session_is_read_once_and_audited_later, WithoutSkipping),
    Off(
        "2 unless its record has changed",
        scenes.a_session_that_changes_while_it_is_watched_is_read_again,
        patch=(event_store, "MERGE_LISTED", remove(store_schema.MERGE_LISTED, "_isnotai_state = 'open',")),
    ),
    Off("2 wait for what is active", scenes.an_active_session_waits, WithoutWaiting),
    Off(
        "2 read what has no activity, until it has some",
        scenes.a_session_without_any_time_is_read_until_it_has_some,
        FinalWithoutActivity,
    ),
    Off(
        "2 read what is older than max_open, the last time",
        scenes.a_session_that_stays_open_is_read_once_more_and_given_up,
        WithoutMaxOpen,
    ),
    Off("3 read whole", scenes.late_rows_are_found_because_a_session_is_read_whole, FromNewestOn),
    Off(
        "3 add what is not there",
        scenes.what_is_given_twice_is_there_once,
        patch=(event_store, "_insert", insert_each),
    ),
    Off("4 final if it was quiet", scenes.a_session_that_was_active_when_it_was_read_is_read_again, AlwaysFinal),
    Off(
        "4 continue only what can be final",
        scenes.a_reading_that_broke_off_while_its_session_was_active_starts_over,
        AlwaysResume,
    ),
    Off(
        "4 a long active one from its end on",
        scenes.a_long_active_session_is_read_from_its_newest_rows_on,
        WithoutShortcut,
    ),
    Off("4 whole once it is quiet", scenes.a_long_active_session_is_read_from_its_newest_rows_on, NeverWholeAgain),
    Off("4 what is gone is counted once", scenes.a_listed_session_that_is_not_there_is_reported_once, NeverGone),
    Off(
        "5 never delete",
        scenes.rows_that_the_api_no_longer_gives_stay_and_are_counted,
        patch=(EventStore, "_finish", delete_what_is_not_given),
    ),
    Off("5 count what has expired", scenes.rows_that_the_api_no_longer_gives_stay_and_are_counted, WithoutExpired),
    Off("5 report a gap", scenes.a_gap_that_the_history_does_not_reach_is_reported, WithoutGap),
    Off("6 audit", scenes.audits_find_what_came_too_late_and_are_remembered, WithoutAudit),
    Off("6 remember what was found", scenes.audits_find_what_came_too_late_and_are_remembered, WithoutMemory),
    Off(
        "6 unless the record has changed since",
        scenes.a_change_after_the_listing_is_no_reason_for_distrust,
        patch=(Sync, "_has_new_record", believe_the_listing),
    ),
    Off(
        "filters are part of the identity",
        scenes.other_filters_are_rejected,
        patch=(StoreFile, "_check_filters", lambda *_: None),
    ),
)


@pytest.mark.parametrize("off", OFF, ids=lambda off: off.rule.replace(" ", "-"))
async def test_a_scene_fails_if_a_rule_is_off(off: Off, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if off.patch is not None:
        monkeypatch.setattr(*off.patch)
    with pytest.raises((AssertionError, IsNotAIError)):
        await run(off.scene, tmp_path, off.rules)


def test_each_rule_of_the_docstring_is_switched_off() -> None:
    numbers = re.findall(r"^(\d)\. \*\*", sync_rules.__doc__ or "", re.MULTILINE)
    assert numbers == list("123456")
    assert set(numbers) <= {off.rule[0] for off in OFF}
