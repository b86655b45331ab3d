"""A finished export answers for the sessions it was made from, whatever their source was, and for no others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from isnotai_async.errors import ServerError, SinkError, StoreError
from tests.export.desk import Desk, make_desk
from tests.export.test_export import fail_at, heal


async def read_once(ids: Iterable[str]) -> AsyncIterator[str]:
    for session_id in ids:
        yield session_id


@pytest.fixture
def desk() -> Desk:
    return make_desk()


@pytest.mark.parametrize("source", [read_once, iter], ids=["asynchronous", "iterator"])
async def test_what_an_iterator_gave_does_not_answer_for_a_list_of_more(
    tmp_path: Path, desk: Desk, source: Any
) -> None:
    target = tmp_path / "out.jsonl"
    first = await desk.export(target, sessions=source(["s1"]))
    with pytest.raises(SinkError, match=r"the events of 1 session that .* not those of the 5 given now"):
        await desk.export(target)
    assert target.read_bytes().count(b"\n") == first.rows == 7
    skipped = await desk.export(target, if_exists="skip")
    assert (skipped.is_skipped, skipped.rows) == (True, 0)
    replaced = await desk.export(target, if_exists="replace")
    assert (replaced.is_complete, replaced.rows, target.read_bytes().count(b"\n")) == (True, 23, 23)
    assert (await desk.export(target)).rows == 23


async def test_as_many_other_sessions_are_other_sessions(tmp_path: Path, desk: Desk) -> None:
    await desk.export(tmp_path / "out.jsonl", sessions=read_once(["s1"]))
    with pytest.raises(SinkError, match="not those of the 1 given now"):
        await desk.export(tmp_path / "out.jsonl", sessions=["s2"])


async def test_the_same_sessions_as_a_list_are_found_in_any_order_and_however_often_they_come(
    tmp_path: Path, desk: Desk
) -> None:
    first = await desk.export(tmp_path / "out.jsonl", sessions=read_once(["s1", "s2", "s1"]))
    desk.source.requests.clear()
    again = await desk.export(tmp_path / "out.jsonl", sessions=["s2", "s1", "s1", "s2"])
    assert (again.is_complete, again.sessions, again.rows) == (True, 2, first.rows)
    assert desk.source.requests == []


async def test_sessions_that_failed_do_not_make_a_list_of_others_the_same(tmp_path: Path, desk: Desk) -> None:
    target = tmp_path / "out.jsonl"
    first = await desk.export(target, sessions=read_once(["s1", "gone"]), on_error="collect")
    assert [failure.session_id for failure in first.failures] == ["gone"]
    with pytest.raises(SinkError, match="not those of the 5 given now"):
        await desk.export(target, on_error="collect")
    replaced = await desk.export(target, sessions=["s2"], on_error="collect", if_exists="replace")
    assert (replaced.rows, target.read_bytes().count(b"\n")) == (3, 3)


async def test_the_same_list_tries_those_again_that_failed(tmp_path: Path, desk: Desk) -> None:
    target = tmp_path / "out.jsonl"
    await desk.export(target, sessions=read_once(["s1", "gone", ".."]), on_error="collect")
    for _ in range(2):
        again = await desk.export(target, sessions=["s1", "gone", ".."], on_error="collect")
        assert [failure.session_id for failure in again.failures] == ["gone", ".."]
    assert again.rows == 7


@pytest.mark.parametrize("source", [read_once, iter], ids=["asynchronous", "iterator"])
async def test_an_unfinished_export_of_an_iterator_is_continued_by_a_list_of_all_that_it_gave(
    tmp_path: Path, desk: Desk, source: Any
) -> None:
    target, other = tmp_path / "out.jsonl", tmp_path / "other.jsonl"
    for place in (target, other):
        fail_at(desk, "s3", "6", ServerError("later", status=503))
        report = await desk.export(place, sessions=source(["s2", "s3"]), on_error="collect")
        assert not report.is_complete
        heal(desk)
        desk.source.requests.clear()
        with pytest.raises(StoreError, match=r"1 of its sessions is not among the 2 given now \(the first: 's2'\)"):
            await desk.export(place, sessions=["s3", "s4"])
        assert desk.source.requests == []
        assert not place.exists()
    continued = await desk.export(target, sessions=["s4", "s3", "s2"])
    assert (continued.is_complete, continued.sessions, continued.rows) == (True, 3, 16)
    started_over = await desk.export(other, sessions=["s3", "s4"], resume=False)
    assert (started_over.sessions, started_over.rows) == (2, 13)
