"""What goes to the terminal or the pipe. Data on stdout, words on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from isnotai_async.errors import printable


def say(text: str) -> None:
    """Say something to the person: on stderr, a line of its own."""
    print(text, file=sys.stderr, flush=True)


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
    cells = [columns, *([_cell(value) for value in row] for row in rows)]
    widths = [max(cell_len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        write_line(set_cell_size(line, Console().width).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return f"{value:.2f}" if isinstance(value, float) else printable(str(value))


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever json cannot write itself
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if attrs.has(type(value)):
        return {name: getattr(value, name) for name in attrs.fields_dict(type(value))}
    raise TypeError(f"{type(value).__name__} is not written as JSON")


def leave_stdout() -> None:
    """Give up on a stdout whose reader has gone, so that the interpreter's last flush stays quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
