"""What a sync does with answers that do not fit: unreadable records, unknown fields, sessions that are not there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from isnotai_async import NotFoundError, StoreReport, update_store
from isnotai_async._models.pages import RejectedRecord
from isnotai_async.export.event_store import EventStore
from isnotai_async.export.rejected import Rejected
from isnotai_async.export.store_file import StoreFile
from isnotai_async.export.sync_rules import SyncRules
from tests.export.sync_world import DAY, KEY, Played, World

pytestmark = pytest.mark.filterwarnings("ignore::isnotai_async.IsNotAIWarning")


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Played]:
    world = World()
    for number in range(5):
        world.add_session(f"s{number}", world.now - 3 * DAY)
        world.grow(f"s{number}", *(world.now - 3 * DAY + n for n in range(5)), moves=False)
    async with world.serve() as client:
        yield Played(world, client, tmp_path / "events.db")


def read_rejected(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.with_name(f"{path.name}.rejected").read_text().splitlines()]


@pytest.mark.parametrize("number", range(5))
async def test_a_session_record_that_cannot_be_read_is_set_aside_and_the_listing_continues(
    play: Played, number: int
) -> None:
    broken = play.world.sessions[f"s{number}"]
    broken.changes = {"botScore": "high"}
    report = await update_store(play.client, play.path)
    assert (report.listed, report.read, report.rejected, report.has_doubts) == (4, 4, 1, True)
    [line] = read_rejected(play.path)
    assert (line["region"], line["session_id"], json.loads(line["record"])["id"]) == ("us", None, broken.id)
    assert "botScore" in line["reason"]

    report = await update_store(play.client, play.path)
    assert (report.rejected, report.has_doubts) == (0, False), "each is counted once"
    broken.changes = {}
    assert (await update_store(play.client, play.path)).new_sessions == 1
    assert play.is_whole()


async def test_a_page_of_session_records_that_cannot_be_read_does_not_end_the_listing(play: Played) -> None:
    for number in range(3):  # more than the first page
        play.world.sessions[f"s{number}"].changes = {"id": number}
    report = await update_store(play.client, play.path)
    assert (report.listed, report.rejected) == (2, 3)


async def test_a_listing_of_nothing_but_unreadable_records_is_no_empty_listing(play: Played) -> None:
    await update_store(play.client, play.path)
    for session in play.world.sessions.values():
        session.changes = {"botScore": session.id}
    play.world.list_size = 100
    play.world.requests.clear()
    report = await update_store(play.client, play.path)
    assert (report.listed, report.rejected, report.sessions) == (0, 5, 5)
    assert play.world.requests["list"] == 2, "the client asks once more for an answer with such a record"


async def test_an_event_that_cannot_be_read_is_set_aside_and_the_others_are_stored(play: Played) -> None:
    rows = play.world.sessions["s1"].rows
    rows[2] = {**rows[2], "payloadSize": "large"}
    del play.world.exists["us", "s1", "s1-2"]
    report = await update_store(play.client, play.path)
    assert (report.rejected, report.has_doubts, report.is_complete) == (1, True, True)
    [line] = read_rejected(play.path)
    assert (line["session_id"], line["index"], "payloadSize" in line["reason"]) == ("s1", 2, True)
    assert play.is_whole()

    report = await update_store(play.client, play.path)
    assert (report.audited, report.rejected, len(read_rejected(play.path))) == (5, 0, 1), "an audit read it again"


async def test_what_a_run_that_broke_off_has_set_aside_is_counted_by_the_next(play: Played) -> None:
    play.world.sessions["s3"].changes = {"botScore": "high"}
    play.world.refuse = lambda kind, request: 401 if kind == "events" else None
    with pytest.raises(Exception, match="401"):
        await update_store(play.client, play.path)
    assert len(read_rejected(play.path)) == 1
    play.world.refuse = lambda kind, request: None
    assert (await update_store(play.client, play.path)).rejected == 1


async def test_a_gap_that_a_run_that_broke_off_has_found_is_reported_by_the_next(play: Played) -> None:
    play.world.tier = "free"
    await update_store(play.client, play.path)
    play.world.pass_time(8 * DAY)
    play.world.add_session("s9", play.world.now - 2 * DAY)
    play.world.refuse = lambda kind, request: 401 if kind == "events" else None
    with pytest.raises(Exception, match="401"):
        await update_store(play.client, play.path)
    play.world.refuse = lambda kind, request: None
    assert (await update_store(play.client, play.path)).gaps == ("us",)
    assert (await update_store(play.client, play.path)).gaps == ()


async def test_fields_that_the_contract_does_not_have_are_stored_as_json(play: Played) -> None:
    play.world.sessions["s1"].changes = {"newThing": {"b": 1, "a": ["x"]}, "another": None}
    await update_store(play.client, play.path)
    with closing(sqlite3.connect(play.path)) as db:
        rows = dict(db.execute("SELECT id, extra FROM sessions"))
    assert json.loads(rows.pop("s1")) == {"another": None, "newThing": {"a": ["x"], "b": 1}}
    assert set(rows.values()) == {None}


async def test_a_change_of_an_unknown_field_is_a_change_of_the_record_and_another_order_is_none(play: Played) -> None:
    session = play.world.sessions["s1"]
    session.changes = {"count": 1, "kind": "a"}
    await play.sync(audited=0)
    session.changes = {"kind": "a", "count": 1}
    assert (await play.sync(audited=0)).read == 0
    session.changes = {"kind": "a", "count": 2}
    play.world.grow("s1", play.world.now - 2 * DAY, moves=False)
    await play.sync(audited=0)
    assert play.world.read == ["s1"]
    assert play.is_whole()


async def sync(play: Played) -> StoreReport:
    return await update_store(play.client, play.path)


async def test_a_listed_session_that_is_not_there_is_reported_once_and_read_when_its_record_changes(
    play: Played,
) -> None:
    session = play.world.sessions["s1"]
    session.is_gone = True
    report = await sync(play)
    assert [failure.session_id for failure in report.failures] == ["s1"]
    assert (report.is_complete, report.has_doubts, report.expired) == (True, True, 0)
    for _ in range(2):
        report = await sync(play)
        assert (report.failures, report.has_doubts, report.expired) == ((), False, 0)

    session.updated = play.world.now  # its record changes, and it is still not there
    play.world.pass_time(2 * DAY)
    assert len((await sync(play)).failures) == 1
    session.is_gone = False
    session.updated = play.world.now
    play.world.pass_time(2 * DAY)
    report = await sync(play)
    assert (report.failures, report.unseen) == ((), 0)
    assert play.is_whole()


async def test_an_audit_finds_a_session_that_is_there_again(play: Played) -> None:
    play.world.sessions["s1"].is_gone = True
    await sync(play)
    play.world.sessions["s1"].is_gone = False
    assert (await sync(play)).unseen == 5
    assert play.is_whole()


async def test_a_session_that_is_gone_later_keeps_its_rows_and_is_counted_once(play: Played) -> None:
    await sync(play)
    play.world.sessions["s1"].is_gone = True
    report = await sync(play)
    assert (report.expired, report.failures) == (1, ())
    assert (await sync(play)).expired == 0
    assert play.is_whole()
    with pytest.raises(NotFoundError):
        await play.client.list_events("s1")


async def test_a_session_that_is_gone_does_not_keep_others_from_the_audits(play: Played) -> None:
    await play.sync(audited=2)
    for name in ("s0", "s1"):
        play.world.sessions[name].is_gone = True
    read = set[str]()
    for _ in range(3):
        play.world.pass_time(60_000)
        await play.sync(audited=2)
        read |= set(play.world.read)
    assert read == set(play.world.sessions)


async def test_a_session_that_the_key_may_not_read_is_tried_in_each_run_until_it_is_too_old(play: Played) -> None:
    play.world.refuse = lambda kind, request: 403 if "s1/" in request.path else None
    for _ in range(2):
        report = await sync(play)
        assert ([failure.error for failure in report.failures], report.expired) == (["PermissionDeniedError"], 0)
    play.world.pass_time(40 * DAY)
    assert (await sync(play)).abandoned == 1
    assert (await sync(play)).failures == ()


def test_records_that_cannot_be_read_are_kept_for_their_owner_only_and_once(tmp_path: Path) -> None:
    file = StoreFile(tmp_path / "events.db")
    file.open({})
    store = EventStore(file, SyncRules(watch=7, settle=1, max_open=30))
    records = [
        Rejected.of(
            "us", "s1", RejectedRecord(number, f"payloadSize is {KEY}", b'{"payloadSize": "%d \xff"}' % number)
        )
        for number in range(2)
    ]
    store.commit([], [], rejected=records)
    store.commit([], [], rejected=records)
    assert store.take_doubts() == (2, ())
    assert store.take_doubts() == (0, ())
    file.close()
    lines = read_rejected(tmp_path / "events.db")
    assert [(line["session_id"], line["index"]) for line in lines] == [("s1", 0), ("s1", 1)]
    path = tmp_path / "events.db.rejected"
    assert KEY not in path.read_text()
    assert path.stat().st_mode & 0o77 == 0
