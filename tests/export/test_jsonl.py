"""Events into a file: whole, or not at all."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from isnotai_async.errors import ServerError, SinkError
from isnotai_async.export import encode_rows, export_jsonl
from isnotai_async.pages import Page
from isnotai_async.records import Event

SIZES = {"s1": [2, 1], "empty": [], "s2": [3]}


def make_page(session_id: str, start: int, size: int, name: str = "keypress") -> Page[Event]:
    rows = tuple(Event(f"{session_id}-{start + i}", 3, name, 1_781_092_800_000 + start + i, 64) for i in range(size))
    return Page(rows, None, False, 100, None, "eu")


async def each(*session_ids: str) -> AsyncIterator[str]:
    for session_id in session_ids:
        yield session_id


async def pages_of(session_id: str) -> AsyncIterator[Page[Event]]:
    start = 0
    for size in SIZES[session_id]:
        yield make_page(session_id, start, size)
        start += size


async def failing_pages(session_id: str) -> AsyncIterator[Page[Event]]:
    yield make_page(session_id, 0, 2)
    raise ServerError("down", status=503)


def test_a_row_is_the_documented_one() -> None:
    line = encode_rows(make_page("s1", 0, 1), "s1")

    assert line == (
        b'{"region":"eu","session_id":"s1","event_id":"s1-0","message_id":3,"event_type_name":"keypress",'
        b'"timestamp":1781092800000,"payload_size":64}\n'
    )


def test_no_string_can_break_a_line_in_two() -> None:
    name = "a\nb\r\u2028\u0085\x00é"
    lines = encode_rows(make_page("s1", 0, 2, name), "s1").split(b"\n")

    assert [json.loads(line)["event_type_name"] for line in lines[:-1]] == [name, name]
    assert lines[-1] == b""


async def test_all_rows_come_in_order_and_are_counted(tmp_path: Path) -> None:
    counts: list[int] = []
    report = await export_jsonl(each(*SIZES), pages_of, tmp_path / "out.jsonl", on_rows=counts.append)

    rows = [json.loads(line)["event_id"] for line in report.path.read_bytes().splitlines()]
    assert rows == ["s1-0", "s1-1", "s1-2", "s2-0", "s2-1", "s2-2"]
    assert (report.rows, report.sessions, report.size) == (6, 3, report.path.stat().st_size)
    assert counts == [2, 3, 6]
    assert list(tmp_path.iterdir()) == [report.path]


async def test_an_export_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    report = await export_jsonl(each(), pages_of, tmp_path / "out.jsonl")

    assert report.path.read_bytes() == b""


async def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ServerError):
        await export_jsonl(each("s1"), failing_pages, tmp_path / "out.jsonl")

    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_export_leaves_nothing_behind(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        await export_jsonl(each("s1", "s2"), pages_of, tmp_path / "out.jsonl", on_rows=lambda rows: scope.cancel())

    assert scope.cancelled_caught
    assert list(tmp_path.iterdir()) == []


async def test_a_failure_leaves_the_file_that_was_to_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")

    with pytest.raises(SinkError, match="exists; choose another name"):
        await export_jsonl(each("s1"), pages_of, target)
    with pytest.raises(ServerError):
        await export_jsonl(each("s1"), failing_pages, target, force=True)
    assert target.read_text() == "old"

    await export_jsonl(each("s1"), pages_of, target, force=True)
    assert len(target.read_bytes().splitlines()) == 3


async def test_a_file_that_comes_to_be_meanwhile_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"

    with pytest.raises(SinkError, match="has come to exist during the export"):
        await export_jsonl(each("s1"), pages_of, target, on_rows=lambda rows: target.touch())

    assert target.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [target]


async def test_a_file_is_as_readable_as_the_umask_lets_it_be(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    report = await export_jsonl(each("s1"), pages_of, tmp_path / "out.jsonl")

    assert report.path.stat().st_mode == other.stat().st_mode


async def test_a_target_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    with pytest.raises(SinkError, match="is a directory"):
        await export_jsonl(each(), pages_of, tmp_path, force=True)
    with pytest.raises(SinkError, match="No such file or directory"):
        await export_jsonl(each(), pages_of, tmp_path / "no" / "out.jsonl")
    with pytest.raises(SinkError, match="exists"):
        await export_jsonl(each(), pages_of, tmp_path / "dangling")
    os.mkfifo(tmp_path / "pipe")
    for name in ("dangling", "pipe"):
        with pytest.raises(SinkError, match="is no regular file"):
            await export_jsonl(each(), pages_of, tmp_path / name, force=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_full_disk_is_told_and_the_temporary_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed by the export

    class FullFile:
        """A temporary file on a full disk."""

        name = str(tmp_path / "out.part")
        write, flush, fileno, close = full.write, full.flush, full.fileno, full.close

    monkeypatch.setattr("isnotai_async.export.jsonl._create", lambda path: FullFile)
    with pytest.raises(SinkError, match=r"No space left on device; nothing was left behind"):
        await export_jsonl(each("s1"), pages_of, tmp_path / "out.jsonl")
