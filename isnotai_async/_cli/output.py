"""Output of the commands: data (tables, JSON, CSV) to stdout, and messages to stderr."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import attrs
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from isnotai_async._cli.option_names import in_options
from isnotai_async._models.plain import to_dict
from isnotai_async._models.times import to_time
from isnotai_async.errors import IsNotAIWarning, masked, printable


def say(text: str) -> None:
    """Write a message to stderr, on its own line."""
    print(masked(text), file=sys.stderr)


@contextmanager
def told_warnings() -> Iterator[None]:
    """Write the package's warnings within this block to stderr as messages, each text once."""

    def show_warning(message: Warning | str, *_: object, **__: object) -> None:
        say(f"isnotai: warning: {in_options(str(message))}")

    with warnings.catch_warnings():
        warnings.simplefilter("once", IsNotAIWarning)
        warnings.showwarning = show_warning
        yield


def count_of(number: int, noun: str) -> str:
    """Return a number of things as text, such as ``1 session`` or ``2,000 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def write_line(text: str) -> None:
    """Write a line of data to stdout immediately."""
    print(text)


def write_json(value: object) -> None:
    """Write a value as one line of JSON: UTF-8, or ASCII on a terminal, so that no server text can control it."""
    write_data(f"{to_json(value)}\n")


def to_json(value: object) -> str:
    """Return a value as JSON without spaces, as exports have it."""
    return json.dumps(value, default=to_dict, ensure_ascii=sys.stdout.isatty(), separators=(",", ":"))


def write_data(text: str) -> None:
    """Write text for programs to stdout, in UTF-8 independent of the terminal's encoding."""
    write_bytes(text.encode("utf-8", "backslashreplace"))


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


_ROWS_AT_FIRST: Final = 100  # of a table, which set the widths of its columns


class Table:
    """A table for people, which is written while its rows arrive.

    A row that is too wide for the screen is cut on the right, so put the least important columns there.

    Args:
        columns: Heads of the table.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._waiting = [tuple(map(_cell, columns))]
        self._widths: list[int] = []
        self._screen = Console().width

    def add(self, row: Sequence[object]) -> None:
        """Add a row."""
        cells = tuple(map(_cell, row))
        if self._widths:
            self._write(cells)
            return
        self._waiting.append(cells)
        if len(self._waiting) > _ROWS_AT_FIRST:
            self.end()

    def end(self) -> None:
        """Write the rows that are still held back to compute the widths of the columns."""
        if not self._widths:
            self._widths = [max(map(cell_len, column)) for column in zip(*self._waiting, strict=True)]
            for cells in self._waiting:
                self._write(cells)
            self._waiting.clear()

    def _write(self, cells: tuple[str, ...]) -> None:
        # rich's Table would cut every column a little, and an id that is cut cannot be copied.
        padded = (
            set_cell_size(cell, max(width, cell_len(cell))) for cell, width in zip(cells, self._widths, strict=True)
        )
        write_line(set_cell_size("  ".join(padded), self._screen).rstrip())


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table for people."""
    table = Table(columns)
    for row in rows:
        table.add(row)
    table.end()


def write_facts(value: object, *, leave_out: tuple[str, ...] = ()) -> None:
    """Write a record or mapping for people: a line for each field, and for each field of a nested value.

    Args:
        value: The record or mapping.
        leave_out: Fields to omit.
    """
    facts = [
        (_cell(name), to_second(inner) if isinstance(inner, datetime) else _cell(inner))
        for name, inner in flatten(value, leave_out=leave_out)
    ]
    indent = max((cell_len(name) for name, _ in facts), default=0)
    for name, text in facts:
        write_line(f"{set_cell_size(name, indent)}  {text}".rstrip())


def flatten(value: object, *, leave_out: tuple[str, ...] = (), prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the fields of a record or mapping, those of nested ones by the way to them, such as ``summary.total``."""
    for name, inner in fields_in(value).items():
        if name in leave_out:
            continue
        if isinstance(inner, Mapping) or attrs.has(type(inner)):
            yield from flatten(inner, leave_out=leave_out, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def to_second(moment: datetime) -> str:
    """Write a time to the second; tables otherwise write it to the minute, to keep columns narrow."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def to_millisecond(timestamp: int) -> str:
    """Write Unix milliseconds as a UTC time; the number itself for years that have no date."""
    try:
        moment = to_time(timestamp)
    except OverflowError:
        return str(timestamp)
    return f"{to_second(moment)}.{timestamp % 1000:03}"


def _cell(value: object) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return _encodable(to_json(value))
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return f"{value:.2f}" if isinstance(value, float) else _encodable(printable(str(value)))


def _encodable(text: str) -> str:
    """Escape the characters that stdout cannot encode, before the columns are measured."""
    return (
        text if text.isascii() else text.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding)
    )


def fields_in(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a record of any class, or a mapping
    """Return the fields of a record, or the items of a mapping; nested values stay as they are."""
    if isinstance(value, Mapping):
        return dict(value)
    fields = {name: getattr(value, name) for name in attrs.fields_dict(type(value))}
    return {name: inner for name, inner in fields.items() if name != "extra" or inner}
