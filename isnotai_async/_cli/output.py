"""What goes to stdout (data: tables, JSON, CSV) and to stderr (words)."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import attrs
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from isnotai_async.errors import IsNotAIWarning, printable

T = TypeVar("T")


def say(text: str) -> None:
    """Say something to the person: on stderr, a line of its own."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def told_warnings() -> Iterator[None]:
    """Say the package's own warnings within this block as words, each text once."""

    def tell(message: Warning | str, *_: object, **__: object) -> None:
        say(f"isnotai: warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("once", IsNotAIWarning)
        warnings.showwarning = tell
        yield


def write_line(text: str) -> None:
    """Write a line of data to stdout at once."""
    print(text, flush=True)


def write_json(value: object) -> None:
    """Write a value as one line of JSON. It is ASCII, so no server string can steer the terminal."""
    print(json.dumps(value, default=_plain), flush=sys.stdout.isatty())


def write_lines(lines: bytes) -> None:
    """Write JSON lines as they are, or for a terminal as ASCII."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(lines)
        return
    for line in lines.split(b"\n")[:-1]:
        write_json(json.loads(line))


def write_table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Write a table for people; what is too wide is cut on the right, so put there what can be spared."""
    # rich's Table would cut every column a little, and an id that is cut cannot be copied.
    cells = [tuple(_cell(name) for name in columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(cell_len(cell) for cell in column) for column in zip(*cells, strict=True)]
    screen = Console().width
    for row in cells:
        line = "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        write_line(set_cell_size(line, screen).rstrip())


def is_for_people(json: bool) -> bool:
    """Whether to write tables: on a terminal, where no JSON was asked for."""
    return sys.stdout.isatty() and not json


async def write_records(
    records: AsyncIterable[T], columns: tuple[str, ...], row: Callable[[T], tuple[object, ...]], *, json: bool
) -> None:
    """Write records as a table for people, or as JSON lines while they come.

    Args:
        records: The records.
        columns: Heads of the table.
        row: Makes the table's row of a record.
        json: Whether JSON was asked for.
    """
    if is_for_people(json):
        write_table(columns, [row(record) async for record in records])
        return
    async for record in records:
        write_json(record)


def write_facts(value: object, *, leave_out: tuple[str, ...] = ()) -> None:
    """Write a record or mapping for people: a line for each field, within its parts too.

    Args:
        value: The record or mapping.
        leave_out: Fields to say nothing of.
    """
    facts = list(_facts(value, leave_out))
    indent = max((cell_len(name) for name, _ in facts), default=0)
    for name, text in facts:
        write_line(f"{set_cell_size(name, indent)}  {text}".rstrip())


def _facts(value: object, leave_out: tuple[str, ...], prefix: str = "") -> Iterator[tuple[str, str]]:
    fields = value if isinstance(value, Mapping) else _plain(value)
    for name, inner in fields.items():
        if name in leave_out:
            continue
        if isinstance(inner, Mapping) or attrs.has(type(inner)):
            yield from _facts(inner, leave_out, f"{prefix}{_cell(name)}.")
        else:
            yield f"{prefix}{_cell(name)}", to_second(inner) if isinstance(inner, datetime) else _cell(inner)


def to_second(moment: datetime) -> str:
    """Write a time to the second; tables otherwise write it to the minute, to keep columns narrow."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _cell(value: object) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=_plain)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return f"{value:.2f}" if isinstance(value, float) else printable(str(value))


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever json cannot write itself
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if attrs.has(type(value)):
        fields = {name: getattr(value, name) for name in attrs.fields_dict(type(value))}
        return {name: inner for name, inner in fields.items() if name != "extra" or inner}
    raise TypeError(f"{type(value).__name__} is not written as JSON")


def leave_stdout() -> None:
    """Give up on a stdout whose reader has gone, so that the interpreter's last flush stays quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
