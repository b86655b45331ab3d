"""An export from its start to its end, and what its options do."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from isnotai_async._client import Client
from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    ExportError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    SinkError,
    StoreError,
    TransportError,
)
from isnotai_async.export import ExportProgress, export_events
from isnotai_async.export.places import store_of
from tests.event_source import ids
from tests.export.desk import SIZES, Desk, all_rows, make_desk
from tests.export.faulty_system import names_in, read_all

ENDINGS = ["jsonl", "jsonl.gz", "csv", "parquet", "sqlite"]


def read_ids(path: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in path.read_bytes().splitlines()]


def fail_at(desk: Desk, session_id: str, cursor: str | None, error: Exception) -> None:
    """Let a page of a session fail, whenever it is asked for, until `heal`."""

    def fail(asked: str, at: str | None) -> None:
        if (asked, at) == (session_id, cursor):
            raise error

    desk.source.fail = fail


def heal(desk: Desk) -> None:
    desk.source.fail = lambda session_id, cursor: None


async def begin(desk: Desk, target: Path, **options: Any) -> None:
    """Start an export that is left in the middle."""
    fail_at(desk, "s3", "6", ServerError("down", status=503))
    with pytest.raises(ServerError):
        await desk.export(target, **options)
    heal(desk)


async def test_all_rows_come_in_order_and_only_a_receipt_is_left_beside_them(tmp_path: Path) -> None:
    desk = make_desk()
    report = await desk.export(tmp_path / "out.jsonl")

    assert read_ids(report.path) == ids(all_rows(desk))
    assert (report.rows, report.sessions, report.size) == (23, 5, report.path.stat().st_size)
    assert report.is_complete
    assert not report.failures
    assert names_in(tmp_path) == [".out.jsonl.isnotai", "out.jsonl"]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_bytes_are_the_same_at_any_concurrency_and_after_any_interruption(
    tmp_path: Path, ending: str
) -> None:
    expected = read_all((await make_desk().export(tmp_path / f"whole.{ending}", concurrency=1)).path)
    ways: dict[str, dict[str, Any]] = {
        "once": {"commit_bytes": 1 << 30},
        "many": {"concurrency": 16},
        "four": {"concurrency": 4},
    }
    for name, options in ways.items():
        assert read_all((await make_desk().export(tmp_path / f"{name}.{ending}", **options)).path) == expected
    split = await make_desk().export(tmp_path / f"split.{ending}", split=3, concurrency=4)
    assert read_all(split.path) == expected

    desk, target = make_desk(pauses=9), tmp_path / f"interrupted.{ending}"
    for cursor in ("3", "6", "9"):
        fail_at(desk, "s3", cursor, ServerError("down", status=503))
        report = await desk.export(target, concurrency=16, on_error="collect")
        assert not report.is_complete
    heal(desk)
    assert read_all((await desk.export(target, concurrency=16)).path) == expected


async def test_a_session_that_comes_twice_is_exported_once(tmp_path: Path) -> None:
    report = await make_desk().export(tmp_path / "out.jsonl", sessions=["s1", "s2", "s1"])
    assert (report.rows, report.sessions) == (10, 2)


async def test_filters_are_kept(tmp_path: Path) -> None:
    desk = make_desk()
    report = await desk.export(tmp_path / "out.jsonl", start_time=10, end_time=30, page_size=2)
    assert report.rows == len(desk.source.rows(start_time=10, end_time=30))


async def test_a_split_session_has_its_rows_in_time_order(tmp_path: Path) -> None:
    desk = make_desk({"big": 200}, limit=5)
    report = await desk.export(tmp_path / "out.jsonl", split=4, concurrency=4)
    assert read_ids(report.path) == ids(all_rows(desk))


async def test_a_split_session_has_its_rows_in_time_order_though_a_window_failed(tmp_path: Path) -> None:
    desk, refused = make_desk({"big": 200}, limit=5), list[str]()

    def fail(session_id: str, cursor: str | None) -> None:
        if cursor == "10" and len(refused) < 3:
            refused.append(cursor)
            raise ServerError("down", status=503)

    desk.source.fail = fail
    for _ in range(4):
        report = await desk.export(tmp_path / "out.jsonl", split=4, concurrency=4, on_error="collect")
    assert len(refused) == 3
    assert read_ids(report.path) == ids(all_rows(desk))


async def test_the_first_error_arrives_as_itself_and_the_same_call_resumes(tmp_path: Path) -> None:
    desk, error = make_desk(), ServerError("down", status=503)
    fail_at(desk, "s3", "6", error)
    with pytest.raises(ServerError) as caught:
        await desk.export(tmp_path / "out.jsonl")
    assert caught.value is error
    assert names_in(tmp_path) == [".out.jsonl.isnotai"]

    heal(desk)
    desk.source.requests.clear()
    report = await desk.export(tmp_path / "out.jsonl")

    assert read_ids(report.path) == ids(all_rows(desk))
    assert report.resumed_rows == 16
    assert set(desk.source.requests) == {("s3", "6"), ("s3", "9"), ("s4", None)}


async def test_an_export_may_be_resumed_in_another_format(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.data"
    await begin(desk, target, format="csv")
    report = await desk.export(target, format="jsonl")
    assert report.resumed_rows == 16
    assert read_ids(target) == ids(all_rows(desk))


async def test_sessions_may_come_in_another_order_and_in_greater_number_later(tmp_path: Path) -> None:
    desk = make_desk()
    fail_at(desk, "s3", "3", ServerError("down", status=503))
    with pytest.raises(ServerError):
        await desk.export(tmp_path / "out.jsonl", sessions=iter(["s1", "s2", "s3"]))
    heal(desk)
    report = await desk.export(tmp_path / "out.jsonl", sessions=iter(["s4", "s3", "s2", "s1"]))
    assert sorted(read_ids(report.path)) == sorted(ids(all_rows(desk)))


async def test_sessions_that_the_api_refused_are_reported_and_tried_again_by_the_same_call(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    sessions = [*SIZES, "gone", "..", "s1"]
    fail_at(desk, "s3", "3", PermissionDeniedError("not yours", status=403))
    report = await desk.export(target, sessions=sessions, on_error="collect")

    assert report.is_complete
    assert {(failure.session_id, failure.error) for failure in report.failures} == {
        ("s3", "PermissionDeniedError"),
        ("gone", "NotFoundError"),
        ("..", "ConfigError"),
    }
    before_it_failed = {"s3-0", "s3-1", "s3-2"}
    assert read_ids(target) == [
        name for name in ids(all_rows(desk)) if not name.startswith("s3") or name in before_it_failed
    ]

    heal(desk)
    desk.source.requests.clear()
    report = await desk.export(target, sessions=sessions, on_error="collect")
    assert {failure.session_id for failure in report.failures} == {"gone", ".."}
    assert {session_id for session_id, _ in desk.source.requests} == {"s3", "gone"}
    assert read_ids(target) == ids(all_rows(desk))

    desk.source.sessions = {**desk.source.sessions, "gone": []}
    report = await desk.export(target, sessions=sessions, on_error="collect")
    assert [failure.session_id for failure in report.failures] == [".."]
    desk.source.requests.clear()
    again = await desk.export(target, sessions=sessions, on_error="collect")
    assert (again.rows, again.requests) == (23, 0)
    assert not desk.source.requests
    assert store_of(target).stat().st_size < 100_000


@pytest.mark.parametrize(
    "error", [ServerError("down", status=503), TransportError("a gateway said 404")], ids=["server", "edge"]
)
async def test_what_another_run_may_mend_leaves_the_export_unfinished(tmp_path: Path, error: Exception) -> None:
    desk = make_desk()
    fail_at(desk, "s1", "3", error)
    report = await desk.export(tmp_path / "out.jsonl", on_error="collect")
    assert not report.is_complete
    assert [failure.session_id for failure in report.failures] == ["s1"]
    assert not (tmp_path / "out.jsonl").exists()

    heal(desk)
    desk.source.requests.clear()
    report = await desk.export(tmp_path / "out.jsonl", on_error="collect")
    assert report.is_complete
    assert set(desk.source.requests) == {("s1", "3"), ("s1", "6")}
    assert read_ids(tmp_path / "out.jsonl") == ids(all_rows(desk))


async def test_if_the_api_refuses_each_session_nothing_is_published(tmp_path: Path) -> None:
    desk, target = make_desk({"s1": 1}), tmp_path / "out.jsonl"
    with pytest.raises(ExportError, match=r"https://api\.example rejected 2 of 2 sessions"):
        await desk.export(target, sessions=["a", "b"], on_error="collect")
    assert not target.exists()

    desk.source.fail = lambda *_: (_ for _ in ()).throw(InvalidRequestError("no such type", status=400))
    with pytest.raises(ExportError, match="no such type"):
        await desk.export(target, on_error="collect")
    with pytest.raises(ConfigError, match="would point at another path"):
        await desk.export(target, sessions=[".."], on_error="collect")
    heal(desk)
    assert (await desk.export(target)).rows == 1, "there was nothing to lose"


@pytest.mark.parametrize("on_error", ["raise", "collect"])
async def test_a_refused_key_ends_it_and_another_one_resumes(tmp_path: Path, on_error: str) -> None:
    desk, is_refused = make_desk(), [False]

    def fail(session_id: str, cursor: str | None) -> None:
        is_refused[0] |= (session_id, cursor) == ("s3", "3")
        if is_refused[0]:
            raise AuthenticationError("no such key", status=401)

    desk.source.fail = fail
    with pytest.raises(AuthenticationError):
        await desk.export(tmp_path / "out.jsonl", on_error=on_error)
    heal(desk)
    report = await desk.export(tmp_path / "out.jsonl", on_error=on_error)
    assert report.is_complete
    assert read_ids(report.path) == ids(all_rows(desk))


async def test_another_export_of_the_same_target_is_refused(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.csv"
    await begin(desk, target, start_time=0)

    says = {
        "its filters of the events {'start_time': 0}, now {}": {},
        r"its sessions 5 given \(digest \w{8}\), now 1 given": {"sessions": ["s1"], "start_time": 0},
        r"its shard None, now \[1, 2\]": {"shard": (1, 2), "start_time": 0},
    }
    for message, options in says.items():
        with pytest.raises(StoreError, match=message) as caught:
            await desk.export(target, **options)  # type: ignore[arg-type]
        assert "--no-resume" in str(caught.value)
    with pytest.raises(StoreError, match=r"its regions {'us': 'us at .*'}, now {'eu': 'eu at .*'}"):
        await make_desk(region="eu").export(target, start_time=0)

    report = await desk.export(target, resume=False)
    assert (report.rows, report.resumed_rows) == (23, 0)


async def test_another_account_is_refused(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)

    stranger = make_desk()
    stranger.client_error["s1"] = PermissionDeniedError("not yours", status=403)
    with pytest.raises(StoreError, match="another account"):
        await stranger.export(target)
    assert stranger.asked_sessions == ["s1"]
    assert not stranger.source.requests
    stranger.client_error["s1"] = NotFoundError("removed by then", status=404)
    assert (await stranger.export(target)).rows == 23


async def test_a_target_that_cannot_be_a_file_is_refused_before_any_request(tmp_path: Path) -> None:
    desk = make_desk()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "old.jsonl").write_text("old")
    cases = [
        ("folder.jsonl", "replace", "is a folder"),
        ("dangling.jsonl", "fail", "exists"),
        ("dangling.jsonl", "replace", "is no regular file"),
        ("pipe.jsonl", "replace", "is no regular file"),
        ("old.jsonl", "fail", "exists; choose another name"),
        ("no/out.jsonl", "fail", "there is no folder .*; create it"),
    ]
    before = names_in(tmp_path)
    for name, if_exists, says in cases:
        with pytest.raises(SinkError, match=says):
            await desk.export(tmp_path / name, if_exists=if_exists)
    assert names_in(tmp_path) == before
    assert not desk.source.requests


async def test_an_existing_file_is_replaced_only_if_asked_and_only_in_the_end(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    target.write_text("old")
    await begin(desk, target, if_exists="replace")
    assert target.read_text() == "old"

    await desk.export(target, if_exists="replace")
    assert read_ids(target) == ids(all_rows(desk))


async def test_an_existing_file_can_be_left_alone(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    target.write_text("old")
    report = await desk.export(target, if_exists="skip")
    assert (report.is_skipped, report.is_complete, desk.source.requests) == (True, True, [])
    assert names_in(tmp_path) == ["out.jsonl"]


async def test_the_same_call_again_finds_the_receipt_and_another_one_the_file(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    first = await desk.export(target)
    desk.source.requests.clear()
    again = await desk.export(target)
    assert (again.rows, again.size, again.resumed_rows, again.is_complete) == (23, first.size, 23, True)
    assert not desk.source.requests

    with pytest.raises(SinkError, match="exists"):
        await desk.export(target, sessions=["s1"])
    with pytest.raises(SinkError, match="exists"):  # an iterator cannot be checked
        await desk.export(target, sessions=iter(SIZES))
    assert (await desk.export(target, sessions=["s1"], if_exists="replace")).rows == 7


async def test_a_complete_file_is_exported_anew_if_it_is_to_be_replaced(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    await desk.export(target)
    desk.source.requests.clear()
    await desk.export(target, if_exists="replace")
    assert desk.source.requests


@pytest.mark.parametrize("harm", ["altered", "removed", "longer"])
async def test_a_receipt_is_worth_nothing_if_the_file_is_not_the_one_it_describes(tmp_path: Path, harm: str) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    await desk.export(target)
    whole = target.read_bytes()
    match harm:
        case "altered":
            target.write_bytes(whole.replace(b"kind0", b"kind9", 1))
        case "longer":
            target.write_bytes(whole + b"\n")
        case _:
            target.unlink()
    if harm != "removed":
        with pytest.raises(SinkError, match="exists"):
            await desk.export(target)
        target.unlink()
    await desk.export(target)
    assert target.read_bytes() == whole


async def test_a_file_that_comes_to_exist_during_the_export_is_left_alone(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    with pytest.raises(SinkError, match="has come to exist during the export"):
        await desk.export(target, on_progress=lambda _: target.touch())
    assert target.read_bytes() == b""

    target.unlink()
    desk.source.requests.clear()
    report = await desk.export(target)
    assert read_ids(target) == ids(all_rows(desk))
    assert report.rows == 23
    assert not desk.source.requests, "it was complete but for its name"


async def test_a_file_is_as_readable_as_the_umask_lets_it_be(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    report = await make_desk().export(tmp_path / "out.jsonl")
    assert report.path.stat().st_mode == other.stat().st_mode


async def test_progress_is_reported_and_its_errors_are_ignored(tmp_path: Path) -> None:
    told: list[ExportProgress] = []

    def tell(progress: ExportProgress) -> None:
        told.append(progress)
        raise KeyError("a broken progress bar")

    await make_desk().export(tmp_path / "out.jsonl", on_progress=tell)

    last = told[-1]
    assert [progress.rows for progress in told] == sorted(progress.rows for progress in told)
    assert (last.rows, last.sessions_done, last.sessions_taken, last.sessions) == (23, 5, 5, 5)
    assert last.size > 16_384


async def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    client = Client("k" * 20)
    target = tmp_path / "out.jsonl"

    async def once() -> AsyncIterator[str]:
        yield "s1"

    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("ending of 'out.txt' is not that of a format", tmp_path / "out.txt", {}),
        ("unknown format 'xls'", target, {"format": "xls"}),
        ("has the ending of the format jsonl, and the format is csv", target, {"format": "csv"}),
        ("on_error", target, {"on_error": "skip"}),
        ("if_exists", target, {"if_exists": "maybe"}),
        ("on_error must be raise or collect, not NoneType", target, {"on_error": None}),
        ("if_exists must be fail, skip or replace, not NoneType", target, {"if_exists": None}),
        ("segments are for the format parquet", target, {"segments": True}),
        ("bom is for the format csv", target, {"bom": True}),
        ("concurrency", target, {"concurrency": 0}),
        ("shard 3/2 does not exist", target, {"shard": (3, 2)}),
        ("shard 0/2 does not exist", target, {"shard": (0, 2)}),
        ("two ints like", target, {"shard": "1/2"}),
        ("'s3://b/x.parquet' is a URL.*export to a file, and copy it", "s3://b/x.parquet", {}),
        ("`isnotai events SESSION`", "-", {}),
        ("is no name of a file", "", {"format": "jsonl"}),
        ("is no name of a file", "a\0b.jsonl", {}),
    ]
    for says, to, options in cases:
        with pytest.raises(ConfigError, match=says):
            await export_events(client, once(), to, **options)
    with pytest.raises(ConfigError, match="Client or a SessionManager"):
        await export_events(make_desk(), "s1", target)  # type: ignore[arg-type]
    assert not names_in(tmp_path)
