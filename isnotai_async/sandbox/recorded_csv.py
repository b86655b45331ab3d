"""Rows of a CSV file that an export wrote.

Written from the documented columns alone, as the readers in `recorded` are: an empty cell is a null, ``""`` the empty
string, and a ``'`` at the start of a string is the guard against formulas.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, TextIO

from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox.columns import COLUMNS, Row, check_row

BEGINNINGS: Final = (b"region,", b"\xef\xbb\xbfregion,")
"""What such a file can start with: its header, or a byte order mark before it."""

_HEADER: Final = ",".join(COLUMNS)
_CELL: Final = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)')


def read_csv(path: Path) -> Generator[tuple[int, Row], None, None]:
    """Read the rows of a file, each with its number.

    Raises:
        ConfigError: It has another header, or a row that is not of this form.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            if file.readline() != f"{_HEADER}\n":
                raise ConfigError(f"its first line has to be {_HEADER}")
            for number, row in enumerate(_records(file), 1):
                yield number, _read_row(row, number)
        except UnicodeDecodeError:
            raise ConfigError("it is not UTF-8 text; export it again") from None


def _records(file: TextIO) -> Iterator[str]:
    """Yield records: lines, joined while a quote is open."""
    record = ""
    for line in file:
        record += line
        if record.count('"') % 2 == 0:
            yield record
            record = ""
    if record:
        yield record


def _read_row(record: str, number: int) -> Row:
    cells, at = list[str | None](), 0
    while at < len(record) and (found := _CELL.match(record, at)):
        quoted_text, plain, _ = found.groups()
        cells.append(_unguard(quoted_text.replace('""', '"')) if quoted_text is not None else _unguard(plain) or None)
        at = found.end()
    if at != len(record) or len(cells) != len(COLUMNS):
        raise ConfigError(f"row {number:,} is no row of an export: {quoted(record)}; export it again")
    try:
        values = [
            int(cell) if kind is int and cell else cell for kind, cell in zip(COLUMNS.values(), cells, strict=True)
        ]
    except ValueError:
        raise ConfigError(f"row {number:,} has text in the place of a number: {quoted(record)}") from None
    return check_row(tuple(values), f"row {number:,}")


def _unguard(text: str) -> str:
    return text.removeprefix("'")
