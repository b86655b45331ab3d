"""The output formats of the read commands: table, JSON, JSON Lines or CSV, with all fields or some."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final, TypeVar

import attrs

from isnotai_async._cli.options import Form, ReadOptions, check_names
from isnotai_async._cli.output import Table, fields_in, flatten, say, to_json, write_data, write_facts, write_json
from isnotai_async._models.plain import to_dict

T = TypeVar("T")

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\0")


def pick(record: object, names: Sequence[str]) -> Mapping[str, Any]:
    """Return the named fields of a record or mapping, or all if there are no names. A missing field is None."""
    fields: Mapping[str, Any] = fields_in(record)
    return {name: _find(fields, name) for name in names} if names else fields


def _find(fields: Mapping[str, Any], name: str) -> object:
    value: object = fields
    for part in name.split("."):
        if attrs.has(type(value)):
            value = fields_in(value)
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


async def write_records(
    records: AsyncIterable[T],
    options: ReadOptions,
    columns: Sequence[str],
    row: Callable[[T], Sequence[object]],
    *,
    fields: Sequence[str],
    empty: str,
) -> None:
    """Write records to stdout as they arrive.

    Args:
        records: The records.
        options: The output options.
        columns: Heads of the table.
        row: Function that returns the table's row of a record.
        fields: Head of the CSV if there is no record and no field was named.
        empty: What to say on stderr if there is no record.
    """
    names, form, count = options.names, options.form, 0
    table = Table(names or columns) if form == "table" else None
    async for record in records:
        if table is not None:
            table.add(tuple(pick(record, names).values()) if names else row(record))
        else:
            _write_record(pick(record, names), form, is_first=not count)
        count += 1
    if table is not None:
        table.end()
    elif form == "json":  # after an error the list stays open, so it cannot be read as complete
        write_data("\n]\n" if count else "[]\n")
    elif form == "csv" and not count and (names or fields):
        write_csv(names or fields)
    if not count:
        say(empty)


def _write_record(values: Mapping[str, Any], form: Form, *, is_first: bool) -> None:
    if form == "json":
        write_data(f"{'[' if is_first else ','}\n{to_json(values)}")
    elif form == "jsonl":
        write_json(values)
    else:
        if is_first:
            write_csv(values)
        write_csv(values.values())


def fields_of(kind: type) -> tuple[str, ...]:
    """Return the names of a record's fields, as the head of a CSV has them."""
    return tuple(name for name in attrs.fields_dict(kind) if name != "extra")


def write_one(
    value: object,
    options: ReadOptions,
    *,
    table: Callable[[], None] | None = None,
    rows: Iterable[object] | None = None,
) -> None:
    """Write one record or mapping.

    Args:
        value: The record.
        options: The output options.
        table: Function that writes it for people; default a line for each field.
        rows: The rows of the CSV; default one row with the record itself.
    """
    names, form = options.names, options.form
    if names:
        check_names(names, list(fields_in(value)))
    if form == "csv":
        _write_csv_rows([pick(value, names)] if names or rows is None else rows)
    elif form != "table":
        write_json(pick(value, names))
    elif names or table is None:
        write_facts(pick(value, names))
    else:
        table()


def _write_csv_rows(rows: Iterable[object]) -> None:
    head: tuple[str, ...] = ()
    for fields in (dict(flatten(row)) for row in rows):
        if not head:
            head = tuple(fields)
            write_csv(head)
        write_csv(fields.get(name) for name in head)


def write_csv(cells: Iterable[object]) -> None:
    """Write a row of CSV as RFC 4180 says, with lines as exports have them."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([_csv_cell(cell) for cell in cells])
    write_data(text.getvalue())


def _csv_cell(value: object) -> object:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, datetime):
        return to_dict(value)
    text = value if isinstance(value, str) else to_json(value)
    # A spreadsheet would run this text as a formula; exports escape it in the same way.
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA_STARTS) else text
