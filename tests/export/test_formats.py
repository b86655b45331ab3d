"""The formats as pure writers: what is in a file, and what their readers make of it."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import stat
import sys
import zlib
from collections.abc import Sequence
from contextlib import closing
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isnotai_async as isnotai
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.errors import ConfigError, SinkError
from isnotai_async.export import encode_rows
from isnotai_async.export.batches import COLUMNS, Batch, to_columns
from isnotai_async.export.formats import FORMATS, choose_format, parquet
from isnotai_async.export.formats.csv import encode_csv
from isnotai_async.export.formats.jsonl import encode_jsonl
from isnotai_async.export.places import rejected_of, store_of, unnamed_of
from isnotai_async.export.system import System
from tests.event_source import events, ids
from tests.examples import scaled
from tests.export.desk import Desk, all_rows, make_desk
from tests.export.faulty_system import names_in, read_all
from tests.export.test_export import read_ids

Row = dict[str, Any]
INT32 = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
TIMES = st.integers(parquet.TIMESTAMPS.start, parquet.TIMESTAMPS.stop - 1)
EVENTS = st.builds(Event, TEXTS, INT32, TEXTS | st.none(), TIMES, INT32)
NUMBERS = ("message_id", "timestamp", "payload_size")


def make_batch(rows: Sequence[Event], session_id: str = "s1", region: str = "eu") -> Batch:
    return Batch(region, session_id, to_columns(rows))


def named(*names: str | None) -> list[Event]:
    return [Event(f"e{at}", 3, name, 1_781_092_800_000 + at, -64) for at, name in enumerate(names)]


def expected(batches: Sequence[Batch]) -> list[Row]:
    return [
        {"region": batch.region, "session_id": batch.session_id}
        | {name: batch.column(name)[at] for name in COLUMNS[2:]}
        for batch in batches
        for at in range(batch.rows)
    ]


def read_csv(text: str, *, guarded: bool) -> list[Row]:
    """Read CSV as RFC 4180 and the documentation say; Python's reader cannot tell a null from an empty string."""
    rows = list(csv.reader(StringIO(text, newline="")))
    assert tuple(rows[0]) == COLUMNS
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows[1:]]
    return [{name: _read_cell(name, cell, guarded=guarded) for name, cell in row.items()} for row in found]


def _read_cell(name: str, cell: str, *, guarded: bool) -> int | str:
    if name in NUMBERS:
        return int(cell)
    return cell[1:] if guarded and cell[:1] == "'" else cell


def read_parquet(path: Path) -> list[Row]:
    table = pq.read_table(path)
    at = table.column_names.index("timestamp")
    rows: list[Row] = table.set_column(at, "timestamp", table["timestamp"].cast(pa.int64())).to_pylist()
    return rows


def read_sqlite(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM events")]


def write(path: Path, batches: Sequence[Batch], **options: Any) -> Path:
    choose_format(path, options.pop("format", None), **options).write(iter(batches), path, System())
    return path


@settings(max_examples=scaled(40), deadline=None)
@given(batches=st.lists(st.builds(make_batch, st.lists(EVENTS, max_size=4), TEXTS, TEXTS), max_size=3))
def test_any_row_is_the_same_in_every_format(tmp_path_factory: pytest.TempPathFactory, batches: list[Batch]) -> None:
    folder, rows = tmp_path_factory.mktemp("rows"), expected(batches)

    assert [json.loads(line) for line in write(folder / "a.jsonl", batches).read_bytes().splitlines()] == rows
    packed = write(folder / "a.jsonl.gz", batches).read_bytes()
    assert gzip.decompress(packed) == zlib.decompress(packed, 31) == (folder / "a.jsonl").read_bytes()
    assert read_parquet(write(folder / "a.parquet", batches)) == rows
    assert read_sqlite(write(folder / "a.sqlite", batches)) == rows
    nulls_as_text = [{**row, "event_type_name": row["event_type_name"] or ""} for row in rows]
    for guard in (True, False):
        text = write(folder / f"{guard}.csv", batches, formula_guard=guard).read_bytes().decode()
        assert read_csv(text, guarded=guard) == nulls_as_text


def test_a_row_is_the_documented_one() -> None:
    page = Page(tuple(named("keypress")), None, False, 100, None, "eu", "s1")
    assert encode_rows(page) == (
        b'{"region":"eu","session_id":"s1","event_id":"e0","message_id":3,"event_type_name":"keypress",'
        b'"timestamp":1781092800000,"payload_size":-64}\n'
    )
    header, row = b"".join(encode_csv([make_batch(named("keypress"))])).splitlines()
    assert header.decode() == ",".join(COLUMNS)
    assert row == b"eu,s1,e0,3,keypress,1781092800000,-64"


def test_in_csv_a_null_is_nothing_and_the_empty_string_is_quoted() -> None:
    lines = b"".join(encode_csv([make_batch(named(None, "", "x,y", 'say "it"', "a\nb", "a\rb"))])).decode()
    names = [line.split(",3,")[1].split(",17810")[0] for line in lines.split("eu,s1,")[1:]]
    assert names == ["", '""', '"x,y"', '"say ""it"""', '"a\nb"', '"a\rb"']


@pytest.mark.parametrize("text", ["key[press]", "[", "]", 'a"b', "a\\b", "a\tb", "a,b", "\x7f", "\u2028"], ids=ascii)
@pytest.mark.parametrize("field", ["event_id", "event_type_name"])
def test_in_csv_a_text_of_any_sign_is_exact_among_plain_rows(field: str, text: str) -> None:
    rows = named("keypress", "scroll", "keypress")
    odd: Any = {field: text}
    batch = make_batch([rows[0], attrs.evolve(rows[1], **odd), rows[2]])

    found = list(csv.DictReader(StringIO(b"".join(encode_csv([batch])).decode(), newline="")))

    assert [row["event_id"] for row in found] == ["e0", text if field == "event_id" else "e1", "e2"]
    assert found[1][field] == text


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\0"], ids=ascii)
def test_a_formula_is_guarded_in_csv_and_exact_elsewhere(first: str) -> None:
    batch = make_batch(named(f"{first}1+1"))
    for guard, cell in ((True, f"'{first}1+1"), (False, f"{first}1+1")):
        text = b"".join(encode_csv([batch], formula_guard=guard)).decode()
        [row] = list(csv.reader(StringIO(text, newline="")))[1:]
        assert row[4] == cell
        assert row[6] == "-64", "numbers are no formulas"
    assert json.loads(b"".join(encode_jsonl([batch])))["event_type_name"] == f"{first}1+1"


def test_a_byte_order_mark_is_written_if_asked() -> None:
    assert b"".join(encode_csv([], bom=True)).startswith(b"\xef\xbb\xbfregion,")


def test_parquet_has_the_documented_columns_a_version_and_row_groups_cut_by_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 30)
    rows = events("s1", range(70))
    contents = []
    for size in (1, 7, 30, 70):
        path = write(tmp_path / f"{size}.parquet", [make_batch(rows[at : at + size]) for at in range(0, 70, size)])
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            assert [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] == [30, 30, 10]
            types = dict(zip(COLUMNS, map(str, file.schema_arrow.types), strict=True))
            nullable = [field.name for field in file.schema_arrow if field.nullable]
            assert file.schema_arrow.metadata == {b"isnotai_async.schema_version": b"1"}
        contents.append(path.read_bytes())
    assert len(set(contents)) == 1, "however the rows come in batches"
    assert types == dict.fromkeys(COLUMNS, "string") | {
        "message_id": "int32",
        "payload_size": "int32",
        "timestamp": "timestamp[ms, tz=UTC]",
    }
    assert nullable == ["event_type_name"]


def test_a_folder_has_parts_and_nothing_else_so_that_every_reader_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parquet.ROW_GROUP * parquet.GROUPS_OF_A_PART >= 100_000
    monkeypatch.setattr(parquet, "ROW_GROUP", 15)
    monkeypatch.setattr(parquet, "GROUPS_OF_A_PART", 2)
    batch = make_batch(events("s1", range(70)))
    folder = write(tmp_path / "out", [batch], format="parquet", segments=True)
    assert names_in(folder) == ["part-000000.parquet", "part-000001.parquet", "part-000002.parquet"]
    assert read_parquet(folder) == expected([batch])
    assert import_module("pyarrow.dataset").dataset(folder).count_rows() == 70
    empty = write(tmp_path / "none", [], format="parquet", segments=True)
    assert read_parquet(empty) == []


def test_a_flipped_bit_in_a_finished_file_is_found_by_readers_of_parquet(tmp_path: Path) -> None:
    target = write(tmp_path / "out.parquet", [make_batch(events("s1", range(30)))])
    column = pq.read_metadata(target).row_group(0).column(COLUMNS.index("event_id"))
    data = bytearray(target.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 5] ^= 1
    target.write_bytes(data)
    with (
        pytest.raises(OSError, match="CRC checksum"),
        pq.ParquetFile(target, page_checksum_verification=True) as file,
    ):
        file.read()


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'isnotai-async\[arrow\]'"):
        choose_format(tmp_path / "out.parquet", None)


def test_the_ending_of_a_name_chooses_the_format() -> None:
    endings = {ending: row.name for row in FORMATS.values() for ending in row.endings}
    assert {ending: choose_format(Path(f"x.{ending.upper()}"), None).name for ending in endings} == endings


def far_away(year: int) -> int:
    return parquet.TIMESTAMPS.stop - 1 + (year - 9999) * 31_556_952_000


def desk_with_far_rows() -> Desk:
    desk = make_desk({"s1": 4, "s2": 2})
    rows = list(desk.source.sessions["s1"])
    rows[2] = Event("far", 1, "kind0", far_away(20_000), 1)
    desk.source.sessions = {**desk.source.sessions, "s1": rows}
    return desk


async def test_rows_that_a_format_cannot_hold_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    desk = desk_with_far_rows()
    report = await desk.export(tmp_path / "out.parquet")
    assert (report.rows, report.rejected, report.is_complete) == (5, 1, True)
    kept = [name for name in ids(all_rows(desk)) if name != "far"]
    assert [row["event_id"] for row in read_parquet(report.path)] == kept
    rejected = rejected_of(report.path)
    assert stat.S_IMODE(rejected.stat().st_mode) == 0o600
    [record] = [json.loads(line) for line in rejected.read_bytes().splitlines()]
    assert (record["region"], record["session_id"]) == ("us", "s1")
    assert "years 1 to 9999" in record["reason"]
    assert json.loads(record["record"])["event_id"] == "far"
    again = await desk.export(tmp_path / "out.parquet")
    assert (again.rejected, again.requests) == (1, 0)

    report = await desk.export(tmp_path / "out.jsonl")
    assert (report.rows, report.rejected) == (6, 0)


UNREADABLE = isnotai.RejectedRecord(1, "no timestamp", b'{"eventId":"bad aik_v1_' + b"k" * 40 + b'"}' + b" " * 70_000)


async def test_unreadable_records_are_set_aside_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk({"s1": 4, "s2": 3})
    fetch = desk.source.fetch_page

    async def fetch_page(query: Any, cursor: str | None) -> Page[Event]:
        page = await fetch(query, cursor)
        if query.session_id == "s2":
            return attrs.evolve(page, rejected=(UNREADABLE,))
        return page

    monkeypatch.setattr(type(desk.source), "fetch_page", lambda self, query, cursor: fetch_page(query, cursor))
    report = await desk.export(tmp_path / "out.jsonl")
    assert (report.rows, report.rejected) == (7, 1)
    [line] = rejected_of(report.path).read_bytes().splitlines()
    record = json.loads(line)
    assert (record["session_id"], record["index"], record["reason"]) == ("s2", 1, "no timestamp")
    assert "aik_v1_k" not in record["record"]
    assert record["record"].startswith('{"eventId":"bad aik_v1_')


async def test_an_unreadable_record_is_capped(tmp_path: Path) -> None:
    async with (
        isnotai.Sandbox(rate_limit=None) as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=isnotai.Unlimited()) as client,
    ):
        sandbox.inject(isnotai.sandbox.Fault.changed_field("data[1].timestamp", "x" * 70_000, times=None))
        report = await isnotai.export_events(client, ["big-3"], tmp_path / "out.jsonl")
    assert (report.rows, report.rejected) == (2, 1)
    assert 60_000 < len(json.loads(rejected_of(report.path).read_bytes())["record"]) <= 1 << 16


async def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    options: dict[str, Any] = {"format": "parquet", "segments": True}
    await make_desk().export(target, **options)
    (target / "thesis.docx").write_text("mine")
    with pytest.raises(SinkError, match=r"has more in it than the parts of an export \('thesis.docx'\)"):
        await make_desk().export(target, if_exists="replace", resume=False, **options)
    assert (target / "thesis.docx").read_text() == "mine"

    (target / "thesis.docx").unlink()
    before = read_all(target)
    await make_desk({"s1": 2}).export(target, if_exists="replace", resume=False, **options)
    assert read_all(target) != before
    assert len(read_parquet(target)) == 2
    assert names_in(tmp_path) == [store_of(target).name, "out"]


def test_columns_of_different_length_are_no_batch_of_a_store() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        import msgspec

        from isnotai_async.export.batches import join_pages, unpack_pages

        unpack_pages(join_pages([msgspec.msgpack.encode([["a"], [], [], [], []])]))


@given(name=st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=300))
def test_the_files_beside_a_target_stay_in_its_folder_and_can_be_made(name: str) -> None:
    target = Path("/folder") / f"x{name}"
    for path in (store_of(target), unnamed_of(target), rejected_of(target)):
        assert path.parent == target.parent
        assert len(f"{path.name}-journal".encode()) <= 255
        assert path != target


async def test_ids_longer_than_any_block_pass(tmp_path: Path) -> None:
    desk = make_desk({})
    desk.source.sessions = {"s1": [Event("x" * (3 << 20), 1, "a", 5, 2), Event("y", 1, "b", 6, 2)]}
    report = await desk.export(tmp_path / "out.jsonl")
    assert [len(name) for name in read_ids(report.path)] == [3 << 20, 1]
