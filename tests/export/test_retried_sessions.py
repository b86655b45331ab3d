"""Failed sessions are tried again by the same command, and that run may die at any moment, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from isnotai_async.errors import PermissionDeniedError, ServerError
from tests.event_source import ids
from tests.export.desk import Desk, all_rows, make_desk
from tests.export.faulty_system import Crash, FaultySystem, names_in
from tests.export.test_export import fail_at, heal, read_ids


async def finish_without(desk: Desk, target: Path) -> None:
    """Finish an export whose session s3 is refused after a page."""
    fail_at(desk, "s3", "3", PermissionDeniedError("not yours", status=403))
    report = await desk.export(target, on_error="collect")
    assert report.is_complete
    assert [failure.session_id for failure in report.failures] == ["s3"]
    heal(desk)


async def check_the_next_run_ends(desk: Desk, target: Path) -> None:
    report = await desk.export(target, on_error="collect")
    assert (report.is_complete, report.failures) == (True, ())
    assert read_ids(target) == ids(all_rows(desk))
    assert names_in(target.parent) == [f".{target.name}.isnotai", target.name]
    desk.source.requests.clear()
    assert (await desk.export(target, on_error="collect")).rows == report.rows
    assert desk.source.requests == []


@pytest.mark.parametrize("operation", ["create", "write", "sync", "replace", "sync_folder"])
@pytest.mark.parametrize("late", [False, True])
async def test_a_retry_that_dies_while_it_publishes_is_finished_by_the_next_run(
    tmp_path: Path, operation: str, late: bool
) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await finish_without(desk, target)
    with pytest.raises(Crash):
        await desk.export(target, FaultySystem(0, only=operation, late=late), on_error="collect")

    await check_the_next_run_ends(desk, target)


@pytest.mark.parametrize("commit", range(1, 8))
async def test_a_retry_that_dies_at_a_commit_is_finished_by_the_next_run(tmp_path: Path, commit: int) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await finish_without(desk, target)
    with pytest.raises(Crash):
        await desk.export(target, FaultySystem(commit, only="commit", late=True), on_error="collect")

    await check_the_next_run_ends(desk, target)


async def test_a_retry_that_meets_an_outage_leaves_the_file_and_the_next_run_replaces_it(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await finish_without(desk, target)
    fail_at(desk, "s3", "6", ServerError("down", status=503))
    assert not (await desk.export(target, on_error="collect")).is_complete
    assert target.exists()
    heal(desk)

    await check_the_next_run_ends(desk, target)


async def test_what_cannot_be_asked_for_is_a_failure_of_the_retry_too(tmp_path: Path) -> None:
    desk, target, names = make_desk(), tmp_path / "out.jsonl", ["s1", "s3", ".."]
    fail_at(desk, "s3", "3", PermissionDeniedError("not yours", status=403))
    first = await desk.export(target, sessions=names, on_error="collect")
    heal(desk)
    second = await desk.export(target, sessions=names, on_error="collect")

    assert [failure.session_id for failure in first.failures] == ["s3", ".."]
    assert [failure.session_id for failure in second.failures] == [".."]
