"""The output formats of the read commands: table, JSON, JSON Lines or CSV, with all fields or some."""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Annotated, Any, Final, Literal, TypeVar

import attrs
from attrs import frozen
from cyclopts import Group, Parameter

from isnotai_async._cli.output import Table, say, to_json, to_plain, write_data, write_facts, write_json
from isnotai_async.errors import ConfigError, quoted

T = TypeVar("T")
Form = Literal["table", "json", "jsonl", "csv"]

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\0")
_OUTPUT: Final = Group("Output", sort_key=8)


@Parameter(name="*")
@frozen(kw_only=True)
class Output:
    """The output options of a read command."""

    format: Annotated[Form | None, Parameter(group=_OUTPUT)] = None
    """Default: a table on a terminal, else JSON Lines (one object a line); json is one document"""
    json: Annotated[bool, Parameter(group=_OUTPUT, negative=(), show_default=False)] = False
    """The same as --format json"""
    fields: Annotated[str | None, Parameter(group=_OUTPUT)] = None
    """Only these, in this order, by their names in JSON: id,bot_score. A dot leads into one: event_counts.total"""

    @property
    def form(self) -> Form:
        """The output format to use.

        Raises:
            ConfigError: The two options contradict each other.
        """
        if self.json and self.format not in {None, "json"}:
            raise ConfigError(f"--json is --format json, and there is --format {self.format}; leave out one of them")
        return "json" if self.json else self.format or ("table" if sys.stdout.isatty() else "jsonl")

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are asked for; none for all."""
        return tuple(filter(None, (name.strip() for name in (self.fields or "").split(","))))

    def check(self, kind: type) -> None:
        """Check the options before anything is asked.

        Args:
            kind: The class of the records.

        Raises:
            ConfigError: The options contradict each other, or the records have no such field.
        """
        _ = self.form
        if attrs.has(kind):
            check_names(self.names, [field.name for field in attrs.fields(kind)])


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Check the names of fields.

    Raises:
        ConfigError: One of them is not known.
    """
    for name in names:
        if name.partition(".")[0] not in known:
            raise ConfigError(f"--fields: there is no field {quoted(name)}; the fields are: {', '.join(known)}")


def pick(record: object, names: Sequence[str]) -> Mapping[str, Any]:
    """Return the named fields of a record or mapping, or all if there are no names. A missing field is None."""
    fields: Mapping[str, Any] = to_plain(record)
    return {name: _find(fields, name) for name in names} if names else fields


def _find(fields: Mapping[str, Any], name: str) -> object:
    value: object = fields
    for part in name.split("."):
        if attrs.has(type(value)):
            value = to_plain(value)
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


async def write_records(
    records: AsyncIterable[T],
    output: Output,
    columns: Sequence[str],
    row: Callable[[T], Sequence[object]],
    *,
    fields: Sequence[str],
    empty: str,
) -> None:
    """Write records to stdout as they arrive.

    Args:
        records: The records.
        output: The output options.
        columns: Heads of the table.
        row: Function that returns the table's row of a record.
        fields: Head of the CSV if there is no record and no field was named.
        empty: What to say on stderr if there is no record.
    """
    names, form, count = output.names, output.form, 0
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
    value: object, output: Output, *, table: Callable[[], None] | None = None, rows: Iterable[object] | None = None
) -> None:
    """Write one record or mapping.

    Args:
        value: The record.
        output: The output options.
        table: Function that writes it for people; default a line for each field.
        rows: The rows of the CSV; default one row with the record itself.
    """
    names, form = output.names, output.form
    if names:
        check_names(names, list(to_plain(value)))
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
    for fields in (dict(_flat(row)) for row in rows):
        if not head:
            head = tuple(fields)
            write_csv(head)
        write_csv(fields.get(name) for name in head)


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, inner in to_plain(value).items():
        if isinstance(inner, Mapping) or attrs.has(type(inner)):
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def write_csv(cells: Iterable[object]) -> None:
    """Write a row of CSV as RFC 4180 says, with lines as exports have them."""
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([_csv_cell(cell) for cell in cells])
    write_data(text.getvalue())


def _csv_cell(value: object) -> object:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, datetime):
        return to_plain(value)
    text = value if isinstance(value, str) else to_json(value)
    # A spreadsheet would run this text as a formula; exports escape it in the same way.
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA_STARTS) else text
