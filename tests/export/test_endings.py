"""How an export ends and what is left then: a file in another form, nothing at all, or the API's own refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    ConfigError,
    ExportError,
    PermissionDeniedError,
    SinkError,
    StoreError,
)
from tests.export.desk import make_desk
from tests.export.faulty_system import names_in, read_all
from tests.export.test_export import begin, fail_at, heal


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"format": "jsonl"}, {"format": "csv"}, "is there as jsonl, not as csv;"),
        ({"format": "csv"}, {"format": "csv", "bom": True}, "as csv, not as csv with a byte order mark;"),
        ({"format": "csv"}, {"format": "csv", "formula_guard": False}, "as csv, not as csv without guard;"),
        ({"format": "parquet"}, {"format": "parquet", "segments": True}, "as parquet, not as parquet in segments;"),
    ],
    ids=["format", "bom", "guard", "segments"],
)
async def test_a_finished_file_asked_for_in_another_form_is_ruled_by_if_exists(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], says: str
) -> None:
    target, other = tmp_path / "out", tmp_path / "other"
    await make_desk().export(target, **first)
    whole = read_all(target)
    desk = make_desk()
    with pytest.raises(SinkError, match=says) as caught:
        await desk.export(target, **second)
    assert "--if-exists replace" in str(caught.value)
    assert (await desk.export(target, **second, if_exists="skip")).is_skipped
    assert (read_all(target), desk.source.requests) == (whole, [])

    await make_desk().export(other, **second)
    if "segments" in second:
        with pytest.raises(SinkError, match="is no folder"):
            await desk.export(target, **second, if_exists="replace")
        return
    await desk.export(target, **second, if_exists="replace")
    assert read_all(target) == read_all(other)
    assert (await desk.export(target, **second)).requests == 0


async def test_another_form_of_a_file_with_failed_sessions_needs_only_these(tmp_path: Path) -> None:
    target, desk = tmp_path / "out", make_desk()
    fail_at(desk, "s3", "3", PermissionDeniedError("not yours", status=403))
    await desk.export(target, format="jsonl", on_error="collect")
    heal(desk)
    desk.source.requests.clear()
    await desk.export(target, format="csv", on_error="collect", if_exists="replace")
    assert {session_id for session_id, _ in desk.source.requests} == {"s3"}
    assert target.read_bytes().startswith(b"region,session_id,")
    assert len(target.read_bytes().splitlines()) == 24


@pytest.mark.parametrize("error", [ConfigError("no API key"), AuthenticationError("no such key", status=401)])
async def test_an_export_that_ends_without_a_row_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    desk = make_desk()
    fail_at(desk, "s1", None, error)
    with pytest.raises(type(error)):
        await desk.export(tmp_path / "out.jsonl", on_error="collect")
    assert names_in(tmp_path) == []


async def test_an_export_that_ends_without_a_row_leaves_the_store_of_another_one(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    await begin(desk, target)
    with pytest.raises(StoreError, match="was started by another export"):
        await desk.export(target, start_time=5)
    fail_at(desk, "s3", "6", ConfigError("no API key"))
    with pytest.raises(ConfigError):
        await desk.export(target)
    heal(desk)
    assert (await desk.export(target)).resumed_rows == 16


async def test_an_error_envelope_under_a_success_is_the_sessions_answer(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    error = APIError("this session is archived", status=200, code="ARCHIVED")
    fail_at(desk, "s2", None, error)
    report = await desk.export(target, on_error="collect")
    assert report.is_complete
    assert [failure.session_id for failure in report.failures] == ["s2"]

    other = tmp_path / "other.jsonl"
    with pytest.raises(ExportError, match=r"rejected 1 of 1 sessions.*archived"):
        await desk.export(other, sessions=["s2"], on_error="collect")
    assert not other.exists()


@pytest.mark.parametrize("status", [408, 425, 500, 503])
async def test_what_may_pass_is_no_answer_of_a_session(tmp_path: Path, status: int) -> None:
    desk = make_desk()
    fail_at(desk, "s2", None, APIError("not now", status=status))
    assert not (await desk.export(tmp_path / "out.jsonl", on_error="collect")).is_complete


@pytest.mark.parametrize("cursor", ["3", "9"])
async def test_an_error_envelope_under_a_success_behind_other_pages_is_an_outage(tmp_path: Path, cursor: str) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    whole = await make_desk().export(tmp_path / "whole.jsonl")
    fail_at(desk, "s3", cursor, APIError("the backend timed out", status=200, code="BACKEND_TIMEOUT"))
    for _ in range(2):
        report = await desk.export(target, on_error="collect")
        assert (report.is_complete, [failure.session_id for failure in report.failures]) == (False, ["s3"])
    assert not target.exists()
    heal(desk)
    assert (await desk.export(target, on_error="collect")).rows == whole.rows
    assert target.read_bytes() == whole.path.read_bytes()
