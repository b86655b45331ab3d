"""Rows as Parquet: what is in the file and the folder, what is refused, and where the work is done."""

from __future__ import annotations

import errno
import json
import sys
import threading
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.dataset as ds  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.errors import CheckpointError, ConfigError, SinkError
from isnotai_async.export import arrow, encode_rows, parquet
from isnotai_async.export.files import Files
from isnotai_async.export.formats import choose_format
from isnotai_async.export.parquet import ParquetSink
from isnotai_async.export.rows import COLUMNS
from isnotai_async.export.segments import MANIFEST
from tests.event_source import events, ids
from tests.export.desk import all_rows, make_desk
from tests.export.disks import FailingFiles

Row = dict[str, Any]
PER_PAGE = 10
INT32 = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
EVENTS = st.builds(Event, TEXTS, INT32, TEXTS, st.integers(-(2**63), 2**63 - 1), INT32)


def make_page(rows: Sequence[Event], session_id: str = "s1") -> Page[Event]:
    return Page(tuple(rows), None, False, 100, None, "eu", session_id)


def make_pages(count: int) -> list[Page[Event]]:
    rows = events("s1", range(count * PER_PAGE))
    return [make_page(rows[at : at + PER_PAGE]) for at in range(0, len(rows), PER_PAGE)]


def make_sink(target: Path, *, segments: bool = False, files: Files | None = None) -> ParquetSink:
    """A sink whose segments are two pages and a half, so three."""
    return ParquetSink(files or Files(), target, segments=segments, segment_rows=25)


def fill(sink: ParquetSink, pages: Iterable[Page[Event]]) -> ParquetSink:
    sink.begin()
    for page in pages:
        sink.write(page)
    return sink


def end(sink: ParquetSink, *, force: bool = False) -> None:
    sink.publish(sink.finish(), force=force)
    sink.clean()
    sink.close()


def as_jsonl(table: pa.Table) -> list[Row]:
    plain = table.set_column(table.column_names.index("timestamp"), "timestamp", table["timestamp"].cast(pa.int64()))
    rows: list[Row] = plain.to_pylist()
    return rows


def expected_rows(pages: Iterable[Page[Event]]) -> list[Row]:
    return [json.loads(line) for page in pages for line in encode_rows(page).splitlines()]


def flip_a_bit(path: Path, place: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)


def test_a_file_has_the_documented_columns_a_version_and_a_row_group_for_each_segment(tmp_path: Path) -> None:
    target, pages = tmp_path / "out.parquet", make_pages(7)
    end(fill(make_sink(target), pages))

    with pq.ParquetFile(target, page_checksum_verification=True) as file:
        types = dict(zip(COLUMNS, map(str, file.schema_arrow.types), strict=True))
        sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
        table = file.read()
    assert types == dict.fromkeys(COLUMNS, "string") | {
        "message_id": "int32",
        "payload_size": "int32",
        "timestamp": "timestamp[ms, tz=UTC]",
    }
    assert table.schema.metadata == {b"isnotai_async.schema_version": b"1"}
    assert sizes == [30, 30, 10]
    assert as_jsonl(table) == expected_rows(pages)
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_one_table_and_its_manifest_tells_what_is_in_it(tmp_path: Path) -> None:
    target, pages = tmp_path / "out", make_pages(7)
    end(fill(make_sink(target, segments=True), pages))

    assert as_jsonl(ds.dataset(target).to_table()) == expected_rows(pages)
    manifest = json.loads((target / MANIFEST).read_bytes())
    assert (manifest["schema_version"], manifest["rows"]) == (1, 70)
    assert [part["rows"] for part in manifest["segments"]] == [30, 30, 10]
    assert manifest["segments"][1]["first_event_id"] == "s1-30"
    assert manifest["segments"][1]["last_event_id"] == "s1-59"
    for part in manifest["segments"]:
        data = (target / part["file"]).read_bytes()
        assert (len(data), sha256(data).hexdigest()) == (part["size"], part["sha256"])
    assert {path.name for path in target.iterdir()} == {MANIFEST, *(part["file"] for part in manifest["segments"])}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("segments", [False, True], ids=["file", "folder"])
def test_an_export_without_rows_is_a_table_without_rows(tmp_path: Path, segments: bool) -> None:
    target = tmp_path / "out"
    end(fill(make_sink(target, segments=segments), [make_page([])]))

    table = pq.read_table(target)
    assert (table.num_rows, tuple(table.column_names)) == (0, COLUMNS)


@settings(max_examples=60)
@given(rows=st.lists(EVENTS, min_size=1, max_size=5), session_id=TEXTS)
def test_any_row_is_the_same_in_parquet(rows: list[Event], session_id: str) -> None:
    page = make_page(rows, session_id or "s")

    data = b"".join(arrow.encode_tables([arrow.read_table(encode_rows(page))]))

    assert as_jsonl(pq.read_table(pa.BufferReader(data))) == expected_rows([page])


def test_ids_longer_than_any_block_pass(tmp_path: Path) -> None:
    page = make_page([Event("x" * (3 << 20), 1, "a", -(2**63), 2), Event("y", 1, "b", 2**63 - 1, 2)])
    target = tmp_path / "out.parquet"
    end(fill(make_sink(target), [page]))

    assert as_jsonl(pq.read_table(target)) == expected_rows([page])


def test_a_segment_also_ends_by_the_bytes_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "SEGMENT_BYTES", 1)
    target = tmp_path / "out.parquet"
    end(fill(make_sink(target), make_pages(2)))

    assert pq.read_metadata(target).num_row_groups == 2


def committed(target: Path, *, segments: bool = False) -> dict[str, Any]:
    """Leave an export with two segments and a spool behind, and return its mark."""
    sink = fill(make_sink(target, segments=segments), make_pages(7))
    mark = json.loads(json.dumps(sink.sync()))
    sink.settle()
    sink.close()
    return dict(mark)


@pytest.mark.parametrize(
    "file", ["part-000000.parquet", "part-000001.parquet", "segments.jsonl", "spool-000002.jsonl"]
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_rows_61_and_64_damage_is_found_when_going_on(tmp_path: Path, file: str, damage: str) -> None:
    target = tmp_path / "out.parquet"
    mark = committed(target)
    path = tmp_path / "out.parquet.segments" / file
    match damage:
        case "flipped":
            flip_a_bit(path)
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case "gone":
            path.unlink()

    with pytest.raises(CheckpointError, match=rf"{file}.*start over with resume=False"):
        make_sink(target).recover(mark)


@pytest.mark.parametrize("segments", [False, True], ids=["file", "folder"])
def test_damage_while_the_export_runs_is_found_at_its_end(tmp_path: Path, segments: bool) -> None:
    target = tmp_path / "out"
    sink = fill(make_sink(target, segments=segments), make_pages(4))
    flip_a_bit(tmp_path / "out.segments" / "part-000000.parquet", 40)

    with pytest.raises(CheckpointError, match=r"part-000000\.parquet is not what was written"):
        sink.finish()
    sink.close()
    assert not target.exists()


def test_what_no_mark_speaks_of_is_removed_when_going_on(tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    mark = committed(target)
    folder = tmp_path / "out.parquet.segments"
    for name in ("part-000002.parquet", "part-000003.parquet.tmp", "spool-000003.jsonl"):
        (folder / name).write_bytes(b"left behind")
    sink = make_sink(target)
    sink.recover(mark)

    assert sink.size == len(b"".join(map(encode_rows, make_pages(7)))), "it counts on"
    assert sorted(path.name for path in folder.iterdir()) == [
        "part-000000.parquet",
        "part-000001.parquet",
        "segments.jsonl",
        "spool-000002.jsonl",
    ]
    assert sink.written_ids("eu", "s1") == {f"s1-{number}" for number in range(70)}
    assert sink.written_ids("us", "s1") == sink.written_ids("eu", "s2") == set()
    end(sink)
    assert as_jsonl(pq.read_table(target)) == expected_rows(make_pages(7))


def test_the_room_that_was_taken_in_vain_is_given_back(tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    pages = make_pages(9)
    sink = fill(make_sink(target), pages[:4])
    sink.sync()
    sink.settle()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for page in pages[4:]:
        sink.write(page)
    sink.finish()  # as far as the part, for which there was no room
    sink.rollback()

    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for page in pages[4:]:
        sink.write(page)
    end(sink)
    assert as_jsonl(pq.read_table(target)) == expected_rows(pages)


def test_a_flipped_bit_in_a_finished_file_is_found_by_its_readers(tmp_path: Path) -> None:
    target = tmp_path / "out.parquet"
    end(fill(make_sink(target), make_pages(3)))
    column = pq.read_metadata(target).row_group(0).column(COLUMNS.index("event_id"))
    flip_a_bit(target, column.data_page_offset + column.total_compressed_size - 5)

    with (
        pytest.raises(OSError, match="CRC checksum"),
        pq.ParquetFile(target, page_checksum_verification=True) as file,
    ):
        file.read()


def test_a_folder_of_an_export_is_replaced_when_told_so(tmp_path: Path) -> None:
    target = tmp_path / "out"
    end(fill(make_sink(target, segments=True), make_pages(9)))

    sink = fill(make_sink(target, segments=True), make_pages(2))
    mark = sink.finish()
    with pytest.raises(SinkError, match="has come to exist during the export; it was left alone"):
        sink.publish(mark, force=False)
    sink.publish(mark, force=True)
    sink.publish(mark, force=True)  # as after a crash right behind it
    sink.close()

    assert as_jsonl(ds.dataset(target).to_table()) == expected_rows(make_pages(2))
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["thesis.docx", "part-1.parquet", "spool-000000.jsonl"])
def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path, name: str) -> None:
    target = tmp_path / "out"
    end(fill(make_sink(target, segments=True), make_pages(1)))
    (target / name).write_text("mine")

    with pytest.raises(SinkError, match="is not a folder that an export made, so it is not replaced"):
        make_sink(target, segments=True).begin()
    assert (target / name).read_text() == "mine"


def test_files_of_others_in_the_way_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet.segments"
    folder.mkdir()
    (folder / "thesis.docx").write_text("mine")

    with pytest.raises(SinkError, match=r"out\.parquet\.segments is no folder of segments, or has other files too"):
        make_sink(tmp_path / "out.parquet").discard()
    assert (folder / "thesis.docx").read_text() == "mine"


def test_a_folder_that_is_gone_when_it_is_to_be_published_is_told(tmp_path: Path) -> None:
    sink = fill(make_sink(tmp_path / "out", segments=True), make_pages(1))
    mark = sink.finish()
    sink.close()
    sink.discard()

    with pytest.raises(
        CheckpointError, match=r"out\.segments is gone, and .*out is not the folder that was finished"
    ):
        sink.publish(mark, force=False)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigError, match=r"pip install 'isnotai-async\[arrow\]'"):
        choose_format(tmp_path / "out.parquet", None).open_sink(Files(), tmp_path / "out.parquet")


@pytest.mark.parametrize("after", range(1, 14, 2))
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=lambda number: errno.errorcode[number])
async def test_rows_62_and_63_a_disk_that_is_full_or_fails_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, after: int
) -> None:
    monkeypatch.setattr(ParquetSink.__init__, "__kwdefaults__", {"segments": False, "segment_rows": 5})
    target, desk = tmp_path / "out.parquet", make_desk()
    operation = "write" if number == errno.ENOSPC else "sync"
    files = FailingFiles(operation, number, after)
    with pytest.raises(SinkError):
        await desk.export(target, files)
    if number == errno.EIO:
        assert files.calls.count("sync") == after + 1, "no second try"

    await desk.export(target)
    assert pq.read_table(target)["event_id"].to_pylist() == ids(all_rows(desk))


async def test_all_the_work_is_done_off_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set[threading.Thread]()

    def watch(name: str) -> None:
        original = getattr(parquet, name)

        def run(*args: Any) -> Any:
            threads.add(threading.current_thread())
            return original(*args)

        monkeypatch.setattr(parquet, name, run)

    for name in ("encode_rows", "encode_tables", "read_table", "read_segment"):
        watch(name)
    await make_desk().export(tmp_path / "out.parquet")

    assert len(threads) == 1
    assert threading.current_thread() not in threads
