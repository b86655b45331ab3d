"""The files of an export as other programs read them: each reader has the same rows, in the same order."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv as pa_csv  # type: ignore[import-untyped]
import pyarrow.json as pa_json  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from isnotai_async._models.records import Event
from isnotai_async.export.batches import COLUMNS, Batch, to_columns
from isnotai_async.export.formats import choose_format, parquet
from isnotai_async.export.system import System

NAMES = ["keypress", "a,b", 'say "it"', "ünï 鍵", "two\nlines", "mouse_move", "", None]
EVENTS = [Event(f"e{at}", at % 256, NAMES[at % len(NAMES)], 1_781_092_800_000 + 7 * at, at * 3) for at in range(200)]
BATCHES = [Batch("us", "s1", to_columns(EVENTS[:90])), Batch("eu", "s2", to_columns(EVENTS[90:]))]
ROWS = [
    ("us" if at < 90 else "eu", "s1" if at < 90 else "s2", *(getattr(event, name) for name in COLUMNS[2:]))
    for at, event in enumerate(EVENTS)
]

Read = Callable[[Path], Iterable[Iterable[Any]]]


# Imported when they are used: every process of the suite collects this file, and one or two run it.
def pandas() -> Any:
    return import_module("pandas")


def polars() -> Any:
    return import_module("polars")


def of_frame(frame: Any) -> list[list[Any]]:
    """Return the rows of a frame of pandas; a missing text is None."""
    return [[None if pandas().isna(value) else value for value in row] for row in frame.values.tolist()]


def of_arrow(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))


def of_json(lines: bytes) -> list[tuple[Any, ...]]:
    rows = [json.loads(line) for line in lines.splitlines()]
    assert all(tuple(row) == COLUMNS for row in rows)
    return [tuple(row.values()) for row in rows]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    return rows


def read_database(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM events").fetchall()


def with_database(read: Callable[[Any], Any]) -> Read:
    def run(path: Path) -> Any:
        with closing(sqlite3.connect(path)) as connection:
            return read(connection)

    return run


def duck(what: str) -> Read:
    def run(path: Path) -> Any:
        with duckdb.connect() as database:
            rows = database.execute(f"SELECT {', '.join(COLUMNS)} FROM {what.format(path)}")
            return of_arrow(rows.to_arrow_table())  # its own rows need pytz for times

    return run


def arrow_lines(path: Path) -> Any:
    with pa.input_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as stream:
        options = pa_json.ParseOptions(newlines_in_values=False)
        return of_arrow(pa_json.read_json(stream, parse_options=options))


def arrow_csv(path: Path) -> Any:
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    convert = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    return of_arrow(pa_csv.read_csv(path, parse_options=parse, convert_options=convert))


LINES: dict[str, Read] = {
    "pandas": lambda path: of_frame(pandas().read_json(path, lines=True, dtype=False)),
    "polars": lambda path: polars().read_ndjson(path).rows(),
    "duckdb": duck("read_json('{}')"),
    "pyarrow": arrow_lines,
}
TABLES: dict[str, Read] = {
    "pandas": lambda path: of_frame(pandas().read_parquet(path)),
    "polars": lambda path: polars().read_parquet(path).rows(),
    "pyarrow": lambda path: of_arrow(pq.read_table(path)),
    "pyarrow.dataset": lambda path: of_arrow(import_module("pyarrow.dataset").dataset(path).to_table()),
}
READERS: dict[str, dict[str, Read]] = {
    "jsonl": LINES | {"json": lambda path: of_json(path.read_bytes())},
    "jsonl.gz": LINES
    | {
        "gzip": lambda path: of_json(gzip.decompress(path.read_bytes())),
        "zlib in one call": lambda path: of_json(zlib.decompress(path.read_bytes(), 31)),
        "zlib, one member": lambda path: of_json(zlib.decompressobj(31).decompress(path.read_bytes())),
    },
    "csv": {
        "csv": read_csv,
        "pandas": lambda path: of_frame(pandas().read_csv(path)),
        "polars": lambda path: polars().read_csv(path).rows(),
        "duckdb": duck("read_csv('{}', allow_quoted_nulls=false)"),
        "pyarrow": arrow_csv,
    },
    "parquet": TABLES | {"duckdb": duck("'{}'")},
    "segments": TABLES | {"duckdb": duck("'{}/*.parquet'"), "duckdb, as read_parquet": duck("read_parquet('{}/*')")},
    "sqlite": {
        "sqlite3": read_database,
        "pandas": with_database(lambda connection: of_frame(pandas().read_sql("SELECT * FROM events", connection))),
        "polars": with_database(
            lambda connection: (
                polars()
                .read_database(
                    "SELECT * FROM events", connection, schema_overrides={"event_type_name": polars().String}
                )
                .rows()
            )
        ),
    },
}
CASES = [(form, reader) for form, readers in READERS.items() for reader in readers]
# Python's `csv` and pandas take nothing and "" for the same.
ONE_EMPTY = {("csv", "csv"), ("csv", "pandas")}


def plain(row: Iterable[Any], *, has_null: bool) -> tuple[Any, ...]:
    """Return a row with its numbers as numbers and its time in milliseconds."""
    region, session_id, event_id, message_id, name, time, size = row
    if isinstance(time, datetime):
        time = round(time.timestamp() * 1000)
    name = name if has_null else name or None
    return region, session_id, event_id, int(message_id), name, int(time), int(size)


@pytest.mark.parametrize(("form", "reader"), CASES, ids=[f"{form} by {reader}" for form, reader in CASES])
def test_other_programs_read_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, reader: str
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 30)  # so that there are several groups, and a folder has several parts
    monkeypatch.setattr(parquet, "GROUPS_OF_A_PART", 2)
    path = tmp_path / f"out.{form}"
    name, is_folder = ("parquet", True) if form == "segments" else (form, False)
    choose_format(path, name, segments=is_folder).write(iter(BATCHES), path, System())
    assert not is_folder or len(list(path.iterdir())) == 4

    has_null = (form, reader) not in ONE_EMPTY
    found = [plain(row, has_null=has_null) for row in READERS[form][reader](path)]

    assert found == [plain(row, has_null=has_null) for row in ROWS]
