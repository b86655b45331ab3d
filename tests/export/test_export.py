"""An export from its beginning to its end, and what it is told to do."""

from __future__ import annotations

import csv
import gzip
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isnotai_async._client import Client
from isnotai_async.errors import (
    AuthenticationError,
    CheckpointError,
    ConfigError,
    ExportLockedError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    SinkError,
)
from isnotai_async.export import ExportProgress, export_events
from isnotai_async.export.encoding import CSV
from isnotai_async.export.files import Files
from isnotai_async.export.lock import TargetLock
from tests.event_source import ids
from tests.export.desk import SIZES, Desk, all_rows, make_desk


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_ids(path: Path) -> list[str]:
    return [json.loads(line)["event_id"] for line in path.read_bytes().splitlines()]


def fail_once(desk: Desk, session_id: str, cursor: str | None, error: Exception) -> None:
    """Let a page of a session fail, whenever it is asked for, until `heal`."""

    def fail(asked: str, at: str | None) -> None:
        if (asked, at) == (session_id, cursor):
            raise error

    desk.source.fail = fail


def heal(desk: Desk) -> None:
    desk.source.fail = lambda session_id, cursor: None


async def test_all_rows_come_in_order_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    desk = make_desk()
    report = await desk.export(tmp_path / "out.jsonl")

    assert read_ids(report.path) == ids(all_rows(desk))
    assert (report.rows, report.sessions, report.size) == (23, 5, report.path.stat().st_size)
    assert report.is_complete
    assert not report.failures
    assert names_in(tmp_path) == ["out.jsonl"]


async def test_every_format_has_the_same_rows(tmp_path: Path) -> None:
    for ending in ("jsonl", "jsonl.gz", "csv"):
        await make_desk().export(tmp_path / f"out.{ending}")

    lines = (tmp_path / "out.jsonl").read_bytes()
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == lines
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = [{**row, "message_id": int(row["message_id"])} for row in csv.DictReader(file)]
    numbers = ("timestamp", "payload_size")
    assert [{**row, **{name: int(row[name]) for name in numbers}} for row in rows] == [
        json.loads(line) for line in lines.splitlines()
    ]


@pytest.mark.parametrize(("ending", "content"), [("jsonl", b""), ("jsonl.gz", b""), ("csv", None)])
async def test_an_export_of_nothing_is_an_empty_file(tmp_path: Path, ending: str, content: bytes | None) -> None:
    report = await make_desk({}).export(tmp_path / f"out.{ending}")

    header = b"region,session_id,event_id,message_id,event_type_name,timestamp,payload_size\n"
    assert report.path.read_bytes() == (header if content is None else content)


async def test_the_bytes_do_not_depend_on_when_commits_happen(tmp_path: Path) -> None:
    for ending in ("jsonl", "jsonl.gz", "csv"):
        often = await make_desk().export(tmp_path / f"often.{ending}", commit_bytes=1)
        once = await make_desk().export(tmp_path / f"once.{ending}", commit_bytes=1 << 30)
        assert often.path.read_bytes() == once.path.read_bytes()


async def test_a_session_that_comes_twice_is_exported_once(tmp_path: Path) -> None:
    desk = make_desk()
    report = await desk.export(tmp_path / "out.jsonl", sessions=["s1", "s2", "s1"])

    assert (report.rows, report.sessions) == (10, 2)


async def test_filters_are_kept(tmp_path: Path) -> None:
    desk = make_desk()
    report = await desk.export(tmp_path / "out.jsonl", start_time=10, end_time=30, page_size=2)

    assert report.rows == len(desk.source.rows(start_time=10, end_time=30))


async def test_a_split_session_has_the_same_rows(tmp_path: Path) -> None:
    desk = make_desk({"big": 200}, limit=5)
    report = await desk.export(tmp_path / "out.jsonl", split=4, concurrency=4)

    assert sorted(read_ids(report.path)) == sorted(ids(all_rows(desk)))


async def test_the_first_error_arrives_as_itself_and_the_same_call_goes_on(tmp_path: Path) -> None:
    desk, error = make_desk(), ServerError("down", status=503)
    fail_once(desk, "s3", "6", error)
    with pytest.raises(ServerError) as caught:
        await desk.export(tmp_path / "out.jsonl")
    assert caught.value is error
    assert names_in(tmp_path) == ["out.jsonl.journal", "out.jsonl.part"]

    heal(desk)
    desk.source.requests.clear()
    report = await desk.export(tmp_path / "out.jsonl")

    assert read_ids(report.path) == ids(all_rows(desk))
    assert report.resumed_rows == 16
    assert set(desk.source.requests) == {("s3", "6"), ("s3", "9"), ("s4", None)}
    assert len(desk.source.requests) <= 4, "one page was read ahead when the source could be gone on with"


async def test_sessions_may_come_in_another_order_and_in_greater_number_later(tmp_path: Path) -> None:
    desk = make_desk()
    fail_once(desk, "s3", "3", ServerError("down", status=503))
    with pytest.raises(ServerError):
        await desk.export(tmp_path / "out.jsonl", sessions=iter(["s1", "s2", "s3"]))

    heal(desk)
    report = await desk.export(tmp_path / "out.jsonl", sessions=iter(["s4", "s3", "s2", "s1"]))
    assert sorted(read_ids(report.path)) == sorted(ids(all_rows(desk)))


async def test_errors_are_collected_and_what_can_come_right_is_tried_again(tmp_path: Path) -> None:
    desk = make_desk({**SIZES, "gone": 0})
    desk.source.sessions = {name: rows for name, rows in desk.source.sessions.items() if name != "gone"}
    fail_once(desk, "s1", "3", ServerError("down", status=503))
    sessions = [*SIZES, "gone", "..", "s1"]

    report = await desk.export(tmp_path / "out.jsonl", sessions=sessions, on_error="collect")
    assert not report.is_complete
    assert {(failure.session_id, failure.error) for failure in report.failures} == {
        ("gone", "NotFoundError"),
        ("..", "ConfigError"),
        ("s1", "ServerError"),
    }
    assert not (tmp_path / "out.jsonl").exists()

    heal(desk)
    desk.source.requests.clear()
    report = await desk.export(tmp_path / "out.jsonl", sessions=sessions, on_error="collect")
    assert report.is_complete
    assert {f.session_id for f in report.failures} == {"gone", ".."}
    assert set(desk.source.requests) == {("s1", "3"), ("s1", "6")}
    assert sorted(read_ids(report.path)) == sorted(ids(all_rows(desk)))


async def test_sessions_that_fail_can_be_left_out(tmp_path: Path) -> None:
    desk = make_desk()
    fail_once(desk, "s1", "3", ServerError("down", status=503))
    report = await desk.export(tmp_path / "out.jsonl", on_error="skip")

    assert report.is_complete
    assert [(f.session_id, f.error) for f in report.failures] == [("s1", "ServerError")]
    assert read_ids(report.path) == [
        name for name in ids(all_rows(desk)) if not name.startswith("s1") or name < "s1-3"
    ]
    assert names_in(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("on_error", ["raise", "collect", "skip"])
async def test_a_refused_key_stops_it_and_another_one_goes_on(tmp_path: Path, on_error: str) -> None:
    desk = make_desk()
    is_refused = [False]

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


async def begin(desk: Desk, target: Path, **options: object) -> None:
    """Begin an export that is left in the middle."""
    fail_once(desk, "s3", "6", ServerError("down", status=503))
    with pytest.raises(ServerError):
        await desk.export(target, **options)  # type: ignore[arg-type]
    heal(desk)


async def test_row_64_another_export_on_the_same_target_is_refused(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.csv"
    await begin(desk, target, start_time=0)

    says = {
        "its format 'csv', now 'jsonl'": {"format": "jsonl", "start_time": 0},
        "its filters of the events {'start_time': 0}, now {}": {},
        "its formula guard True, now False": {"formula_guard": False, "start_time": 0},
        r"its sessions 5 given \(digest \w{8}\), now 1 given": {"sessions": ["s1"], "start_time": 0},
    }
    for message, options in says.items():
        with pytest.raises(CheckpointError, match=message) as caught:
            await desk.export(target, **options)  # type: ignore[arg-type]
        assert "--no-resume" in str(caught.value)
    abroad = make_desk(region="eu")
    with pytest.raises(CheckpointError, match=r"its regions {'us': 'us'}, now {'eu': 'eu'}"):
        await abroad.export(target, start_time=0)

    report = await desk.export(target, resume=False)
    assert report.rows == 23
    assert report.resumed_rows == 0


async def test_another_account_is_refused(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)

    stranger = make_desk()
    stranger.client_error["s1"] = PermissionDeniedError("not yours", status=403)
    with pytest.raises(CheckpointError, match="another account"):
        await stranger.export(target)
    assert stranger.asked_sessions == ["s1"]
    assert not stranger.source.requests
    stranger.client_error["s1"] = NotFoundError("removed meanwhile", status=404)
    assert (await stranger.export(target)).rows == 23


async def test_row_65_a_target_that_cannot_be_a_file_is_refused_before_any_request(tmp_path: Path) -> None:
    desk = make_desk()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "old.jsonl").write_text("old")
    cases = [
        ("folder.jsonl", True, "is a directory"),
        ("dangling.jsonl", False, "exists"),
        ("dangling.jsonl", True, "is no regular file"),
        ("pipe.jsonl", True, "is no regular file"),
        ("old.jsonl", False, "exists; choose another name"),
        ("no/out.jsonl", False, "there is no folder .*; make it"),
    ]
    before = names_in(tmp_path)
    for name, force, says in cases:
        with pytest.raises(SinkError, match=says):
            await desk.export(tmp_path / name, force=force)
    assert names_in(tmp_path) == before
    assert not desk.source.requests


async def test_row_65_a_symbolic_link_in_the_way_of_the_part_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("out.jsonl.journal", ".out.jsonl.lock"):
        (tmp_path / name).symlink_to(victim)
        with pytest.raises(SinkError, match="symbolic links"):
            await make_desk().export(tmp_path / "out.jsonl")
        (tmp_path / name).unlink()
    (tmp_path / "out.jsonl.part").symlink_to(victim)
    await make_desk().export(tmp_path / "out.jsonl")  # it replaces the link by a file of its own
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("text", ["x\n", "region,session_id,and,much,more\n" * 9, "\0" * 1000])
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
async def test_rows_without_a_journal_are_not_removed_unless_told(tmp_path: Path, name: str, text: str) -> None:
    """Somebody removed the journal, or the file was never ours: browsers call theirs so too."""
    theirs = tmp_path / f"{name}.part"
    theirs.write_text(text)
    with pytest.raises(CheckpointError, match=r"\.part is there without its journal.*--no-resume"):
        await make_desk().export(tmp_path / name)
    assert theirs.read_text() == text
    assert not (tmp_path / name).exists()

    await make_desk().export(tmp_path / name, resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("begun", [CSV.header, CSV.header[:9], b"\0" * 20, b""])
async def test_what_a_power_cut_leaves_of_a_beginning_is_no_row(tmp_path: Path, begun: bytes) -> None:
    (tmp_path / "out.csv.part").write_bytes(begun)
    await make_desk().export(tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


async def test_segments_without_a_journal_are_not_removed_unless_told(tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet.segments"
    folder.mkdir()
    (folder / "spool-000000.jsonl").write_text("{}\n")
    with pytest.raises(CheckpointError, match=r"spool-000000\.jsonl is there without its journal"):
        await make_desk().export(tmp_path / "out.parquet")
    await make_desk().export(tmp_path / "out.parquet", resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet"]


async def test_row_65_two_exports_on_one_target_exclude_each_other(tmp_path: Path) -> None:
    lock = TargetLock(tmp_path / "out.jsonl")
    lock.acquire()
    with pytest.raises(ExportLockedError, match="another export is writing"):
        await make_desk().export(tmp_path / "out.jsonl")
    lock.release()
    await make_desk().export(tmp_path / "out.jsonl")


async def test_an_existing_file_is_replaced_only_by_force_and_only_in_the_end(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    target.write_text("old")
    await begin(desk, target, force=True)
    assert target.read_text() == "old"

    await desk.export(target, force=True)
    assert read_ids(target) == ids(all_rows(desk))


async def test_a_file_that_comes_to_be_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target, desk = tmp_path / "out.jsonl", make_desk()
    with pytest.raises(SinkError, match="has come to exist during the export"):
        await desk.export(target, on_progress=lambda progress: target.touch())
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


async def test_progress_is_told_and_its_errors_are_ignored(tmp_path: Path) -> None:
    told: list[ExportProgress] = []

    def tell(progress: ExportProgress) -> None:
        told.append(progress)
        raise KeyError("a broken progress bar")

    await make_desk().export(tmp_path / "out.jsonl", on_progress=tell)

    last = told[-1]
    assert [progress.rows for progress in told] == sorted(progress.rows for progress in told)
    assert (last.rows, last.sessions_done, last.sessions_taken, last.sessions) == (23, 5, 5, 5)
    assert last.size == (tmp_path / "out.jsonl").stat().st_size


async def test_files_are_worked_on_off_the_event_loop(tmp_path: Path) -> None:
    threads = set[int]()

    class Watched(Files):
        """A disk that notes who uses it."""

        def write(self, descriptor: int, offset: int, data: bytes) -> None:
            threads.add(threading.get_ident())
            super().write(descriptor, offset, data)

        def sync(self, descriptor: int) -> None:
            threads.add(threading.get_ident())
            super().sync(descriptor)

    await make_desk().export(tmp_path / "out.jsonl", Watched())
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_what_cannot_work_is_refused_at_once(tmp_path: Path) -> None:
    client = Client("k" * 20)
    target = tmp_path / "out.jsonl"

    async def once() -> AsyncIterator[str]:
        yield "s1"

    with pytest.raises(ConfigError, match=r"cannot tell the format of .*out\.txt"):
        await export_events(client, "s1", tmp_path / "out.txt")
    with pytest.raises(ConfigError, match="unknown format 'xls'"):
        await export_events(client, "s1", target, format="xls")
    with pytest.raises(ConfigError, match="on_error must be one of"):
        await export_events(client, "s1", target, on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="segments belong to the format parquet"):
        await export_events(client, once(), target, segments=True)
    with pytest.raises(ConfigError, match="concurrency"):
        await export_events(client, "s1", target, concurrency=0)
    with pytest.raises(ConfigError, match="Client or a SessionManager"):
        await export_events(make_desk(), "s1", target)  # type: ignore[arg-type]
    assert not names_in(tmp_path)
