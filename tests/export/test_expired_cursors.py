"""A cursor has expired when the export goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isnotai_async.errors import (
    APIError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    NotFoundError,
    ServerError,
)
from tests.event_source import ids
from tests.export.desk import SIZES, Desk, all_rows, make_desk
from tests.export.test_export import begin, fail_at, heal, read_ids


def expire(desk: Desk, *cursors: str) -> None:
    """Refuse cursors that earlier runs were given; those given from now on are good."""
    given = set[str]()

    def fail(session_id: str, cursor: str | None) -> None:
        if cursor in cursors and (session_id, cursor) not in given_to(session_id):
            raise InvalidCursorError("the cursor has expired", status=400, code="INVALID_CURSOR")
        given.add(session_id)  # it was read from its start

    def given_to(session_id: str) -> set[tuple[str, str | None]]:
        return {(session_id, cursor) for cursor in cursors} if session_id in given else set()

    desk.source.fail = fail


@pytest.mark.parametrize("on_error", ["raise", "collect"])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
async def test_the_session_is_read_again_and_its_rows_are_left_out(
    tmp_path: Path, on_error: str, ending: str
) -> None:
    desk, target = make_desk(), tmp_path / f"out.{ending}"
    whole = await make_desk().export(tmp_path / f"whole.{ending}")
    await begin(desk, target)
    expire(desk, "6")
    report = await desk.export(target, on_error=on_error)

    assert report.rows == 23
    assert target.read_bytes() == whole.path.read_bytes()
    assert ("s1", None) not in desk.source.requests[desk.source.requests.index(("s3", "6")) + 1 :]


async def test_it_dies_while_it_reads_a_session_again(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)
    asked: list[str | None] = []

    def fail(session_id: str, cursor: str | None) -> None:
        asked.append(cursor)
        if asked[0] == "6" and len(asked) == 1:
            raise InvalidCursorError("the cursor has expired", status=400)
        if cursor == "3":
            raise ServerError("down", status=503)

    desk.source.fail = fail
    with pytest.raises(ServerError):
        await desk.export(target)
    assert asked[:3] == ["6", None, "3"]
    heal(desk)
    await desk.export(target)

    assert read_ids(target) == ids(all_rows(desk))


async def test_with_many_readers_and_windows_no_row_comes_twice(tmp_path: Path) -> None:
    sizes = {f"s{number}": 30 for number in range(6)}
    for split in (None, 3):
        desk, target = make_desk(sizes), tmp_path / f"out{split}.jsonl"
        desk.source.fail = lambda session_id, cursor: _down(session_id, cursor, "12")
        with pytest.raises(ServerError):
            await desk.export(target, concurrency=4, split=split)
        refused: list[str] = []

        def fail(session_id: str, cursor: str | None, refused: list[str] = refused) -> None:
            if cursor is not None and len(refused) < 3:
                refused.append(session_id)
                raise InvalidCursorError("the cursor has expired", status=400)

        desk.source.fail = fail
        await _export_at_last(desk, target, split)
        assert sorted(read_ids(target)) == sorted(ids(all_rows(desk)))


def _down(session_id: str, cursor: str | None, at: str) -> None:
    if session_id == "s3" and cursor == at:
        raise ServerError("down", status=503)


async def _export_at_last(desk: Desk, target: Path, split: int | None) -> None:
    for _ in range(6):  # a cursor that is refused in the middle of a walk is an error, and the next run goes on
        try:
            await desk.export(target, concurrency=4, split=split)
        except IsNotAIError:
            continue
        return


async def test_a_cursor_that_is_refused_in_the_middle_of_a_run_is_an_error_like_any_other(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    expire(desk)

    def fail(session_id: str, cursor: str | None) -> None:
        if cursor == "6":
            raise InvalidCursorError("altered", status=400)

    desk.source.fail = fail
    with pytest.raises(InvalidCursorError):
        await desk.export(target)
    assert not target.exists()


@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_a_source_that_can_be_read_only_once_loses_no_session_to_an_expired_cursor(
    tmp_path: Path, on_error: str
) -> None:
    async def once(names: list[str]) -> AsyncIterator[str]:
        for name in names:
            yield name

    desk, target = make_desk(SIZES | {f"t{number}": 4 for number in range(9)}), tmp_path / "out.jsonl"
    fail_at(desk, "s3", "6", ServerError("down", status=503))
    with pytest.raises(ServerError):
        await desk.export(target, sessions=once(list(desk.source.sessions)))
    expire(desk, "6")
    report = await desk.export(target, sessions=once(list(desk.source.sessions)), on_error=on_error, concurrency=2)

    assert report.is_complete
    assert read_ids(target) == ids(all_rows(desk))


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_cursor_that_is_refused_again_in_the_second_reading_is_the_answer(
    tmp_path: Path, status: int
) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)
    refusal = {400: InvalidRequestError, 404: NotFoundError, 410: APIError, 422: InvalidRequestError}[status]
    fail_at(desk, "s3", "6", refusal("no more of it", status=status))

    report = await desk.export(target, on_error="collect")

    assert report.is_complete
    assert [failure.session_id for failure in report.failures] == ["s3"]
    assert set(read_ids(target)) > {f"s3-{number}" for number in range(6)}, "what came before is there"
    heal(desk)
    assert not (await desk.export(target, on_error="collect")).failures
    assert read_ids(target) == ids(all_rows(desk))


async def test_an_order_that_has_changed_is_no_end_because_the_store_knows_the_ids(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)
    desk.source.sessions = {**desk.source.sessions, "s3": desk.source.sessions["s3"][::-1]}
    expire(desk, "6")

    report = await desk.export(target, on_error="collect")

    assert report.is_complete
    assert sorted(read_ids(target)) == sorted(ids(all_rows(desk)))


async def test_a_cursor_that_is_refused_with_another_status_leaves_the_session_unfinished(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)
    statuses = iter([400, 404])

    def fail(session_id: str, cursor: str | None) -> None:
        if (session_id, cursor) == ("s3", "6"):
            raise APIError("what now", status=next(statuses))

    desk.source.fail = fail
    assert not (await desk.export(target, on_error="collect")).is_complete
