"""Rows 62 to 64: disks that are full or fail, and checkpoints that are torn, damaged or edited."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async.errors import CheckpointError, ServerError, SinkError
from isnotai_async.export.files import Files
from isnotai_async.export.journal import Journal
from tests.event_source import ids
from tests.export.desk import all_rows, make_desk
from tests.export.disks import FailingFiles
from tests.export.test_export import begin, read_ids


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=lambda number: errno.errorcode[number]
)
@pytest.mark.parametrize("after", range(2, 12))
async def test_row_62_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path, number: int, after: int) -> None:
    target, desk, files = tmp_path / "out.jsonl", make_desk(), FailingFiles("write", number, after)
    with pytest.raises(SinkError, match=r"\d+ rows are safe: make room, and run the same again") as caught:
        await desk.export(target, files)
    assert os.strerror(number) in str(caught.value)
    assert files.calls[-1] == "truncate", "the room that was taken in vain is given back"

    await desk.export(target)
    assert read_ids(target) == ids(all_rows(desk))


async def test_row_62_a_disk_that_is_full_from_the_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*: No space left on device$"):
        await make_desk().export(tmp_path / "out.jsonl", FailingFiles("write", errno.ENOSPC))


async def test_row_62_a_disk_that_takes_no_new_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*: No space left on device$"):
        await make_desk().export(tmp_path / "out.jsonl", FailingFiles("create", errno.ENOSPC))


async def test_a_file_that_does_not_close_well_is_durable_all_the_same(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    with pytest.raises(SinkError):  # reading the journal needs its file to close
        await begin(desk, target)
        await desk.export(target, FailingFiles("close", errno.EIO))
    await desk.export(target)
    assert read_ids(target) == ids(all_rows(desk))


async def test_a_disk_without_hard_links_will_do(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await desk.export(target, FailingFiles("link", errno.EPERM))
    assert read_ids(target) == ids(all_rows(desk))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
async def test_row_62_a_small_disk_fills_up_and_the_export_goes_on_when_there_is_room(small_disk: Path) -> None:
    desk, ballast = make_desk({"big": 2_000}, limit=100), small_disk / "ballast"
    ballast.write_bytes(bytes(128 << 10))
    with pytest.raises(SinkError, match=r"No space left on device.* rows are safe"):
        await desk.export(small_disk / "out.jsonl.gz")
        await desk.export(small_disk / "out.jsonl")

    for path in small_disk.iterdir():
        if path.name in {"ballast", "out.jsonl.gz"}:
            path.unlink()
    with pytest.raises(SinkError, match="rows are safe"):  # 256 KiB are too few for all of it
        await desk.export(small_disk / "out.jsonl")
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    report = await desk.export(small_disk / "out.jsonl")
    assert report.resumed_rows > 0
    assert read_ids(report.path) == ids(all_rows(desk))


@pytest.mark.parametrize("after", range(12))
async def test_row_63_a_failed_sync_is_final_and_the_next_run_goes_on(tmp_path: Path, after: int) -> None:
    target, desk, files = tmp_path / "out.jsonl", make_desk(), FailingFiles("sync", errno.EIO, after)
    with pytest.raises(SinkError, match="Input/output error"):
        await desk.export(target, files)
    assert files.calls.count("sync") == after + 1, "no second sync, which would report success"
    assert files.calls[-1] == "sync", "and nothing else is touched"

    report = await desk.export(target)
    assert read_ids(report.path) == ids(all_rows(desk))


def half_done(folder: Path) -> dict[str, bytes]:
    """Return the files of an export that was left in the middle."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=80)
@given(data=st.data())
async def test_row_64_a_damaged_checkpoint_is_refused_or_does_no_harm(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        target, desk = Path(name) / "out.jsonl", make_desk()
        await begin(desk, target)
        path = target.with_name(data.draw(st.sampled_from(["out.jsonl.journal", "out.jsonl.part"]), label="file"))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1), label="at")
        match data.draw(st.sampled_from(["flip", "cut", "insert", "append", "repeat"]), label="how"):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=9), label="bytes")
            case "append":
                content += data.draw(st.binary(min_size=1, max_size=99), label="bytes")
            case "repeat":
                content += content[at:]
        path.write_bytes(content)
        try:
            await desk.export(target)
        except CheckpointError as error:
            assert "--no-resume" in str(error)
            await desk.export(target, resume=False)
        assert read_ids(target) == ids(all_rows(desk))


async def test_row_64_data_shorter_than_the_checkpoint_says_are_refused(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)
    part = tmp_path / "out.jsonl.part"
    content = part.read_bytes()

    part.write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=r"out\.jsonl\.part has [\d,]+ bytes, and had"):
        await desk.export(target)
    part.write_bytes(content.replace(b"kind0", b"kind9", 1))
    with pytest.raises(CheckpointError, match="altered or damaged"):
        await desk.export(target)
    part.unlink()
    with pytest.raises(CheckpointError, match="is gone"):
        await desk.export(target)


async def test_row_64_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    desk, target = make_desk(), tmp_path / "out.jsonl"
    await begin(desk, target)
    journal = Journal(Files(), tmp_path / "out.jsonl.journal")
    records = journal.read()
    assert records is not None
    journal.start([{"begin": {**records[0]["begin"], "version": 2}}, *records[1:]])
    journal.close()
    with pytest.raises(CheckpointError, match="version of the checkpoint 2, now 1"):
        await desk.export(target)
    journal.start([{"something": "else"}])
    journal.close()
    with pytest.raises(CheckpointError, match="not of this version"):
        await desk.export(target)


async def test_a_journal_that_grows_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isnotai_async.export.journal._SMALL", 4_000)
    desk, sizes = make_desk({f"s{number}": 4 for number in range(60)}), list[int]()

    def weigh(progress: object) -> None:
        sizes.append((tmp_path / "out.jsonl.journal").stat().st_size)

    desk.source.fail = lambda session_id, cursor: fail_at(session_id)
    with pytest.raises(ServerError):
        await desk.export(tmp_path / "out.jsonl", on_progress=weigh)
    assert max(sizes) < 12_000
    assert any(after < before for before, after in pairwise(sizes))
    desk.source.fail = lambda session_id, cursor: None
    report = await desk.export(tmp_path / "out.jsonl")
    assert read_ids(report.path) == ids(all_rows(desk))


def fail_at(session_id: str) -> None:
    if session_id == "s55":
        raise ServerError("down", status=503)
