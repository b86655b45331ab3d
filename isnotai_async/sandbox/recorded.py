"""Reads back what an export or a sync wrote: JSON Lines, the same in gzip, CSV, Parquet, a folder of it, or SQLite.

The readers are written from the documented columns only, independent of the code that writes exports, so that both
cannot contain the same mistake. The first bytes of a file decide its format, not its name.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from isnotai_async.errors import ConfigError, printable
from isnotai_async.sandbox.columns import COLUMNS, INT32, Row, check_row
from isnotai_async.sandbox.limits import REGION_NAMES
from isnotai_async.sandbox.recorded_csv import BEGINNINGS, read_csv
from isnotai_async.sandbox.recorded_database import MAGIC, read_database, read_sessions
from isnotai_async.sandbox.recorded_log import Types
from isnotai_async.sandbox.recorded_parquet import read_parquet
from isnotai_async.sandbox.recording import Recording

Numbered = tuple[int, Row]

_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
_LONGEST: Final = 1 << 24  # bytes of a line; an answer of the API has less


def read_recordings(path: Path) -> dict[str, Recording]:
    """Read a file or folder into memory, by region; rows of other names than `us` and `eu` go to `us`.

    What it takes is in the docstring of `recording`.

    Raises:
        ConfigError: It cannot be read, or is not what an export writes; the message says where and what to do.
    """
    types = Types()
    recordings = {name: Recording(types) for name in REGION_NAMES}
    for part in _parts(path):
        _add_rows(part, recordings)
    return recordings


def _add_rows(part: Path, recordings: Mapping[str, Recording]) -> None:
    where = printable(str(part))
    number, kind = 0, "line"
    try:
        kind, rows = _open(part)
        for name, record in read_sessions(part) if _magic(part) == MAGIC else ():
            recordings.get(name, recordings["us"]).add_session(name, record)
        with closing(rows):
            for numbered in rows:
                number, row = numbered
                recordings.get(row[0], recordings["us"]).add(row)
    except ConfigError as error:
        raise ConfigError(f"cannot serve {where}: {error}") from None
    except UnicodeEncodeError:
        problem = f"{kind} {number:,} has a lone surrogate, which is no text"
        raise ConfigError(f"cannot serve {where}: {problem}; export it again") from None
    except ValueError as error:  # of `Recording.add`
        raise ConfigError(f"cannot serve {where}: {kind} {number:,}: {error}") from None
    except OSError as error:
        place = f"; {_after(number, kind)}" if number else "; name a file that an export wrote"
        raise ConfigError(f"cannot read {where}: {error.strerror or error}{place}") from None
    except (EOFError, zlib.error):
        problem = f"its gzip data are cut short or damaged, {_after(number, kind)}"
        raise ConfigError(f"cannot serve {where}: {problem}; export it again") from None


def _after(number: int, kind: str) -> str:
    return f"after {kind} {number:,}" if number else "at its beginning"


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # Their names have running numbers of a fixed width.
    parts = sorted(path.glob("*.parquet"))
    if not parts:
        raise ConfigError(
            f"cannot serve {printable(str(path))}: there is no *.parquet in the folder; name a folder that an "
            "export with segments made, or a file"
        )
    return parts


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _open(path: Path) -> tuple[str, Generator[Numbered, None, None]]:
    magic = _magic(path)
    if magic == MAGIC:
        return "row", read_database(path)
    if magic.startswith(BEGINNINGS):
        return "row", read_csv(path)
    if magic[:4] == b"PAR1":
        return "row", read_parquet(path)
    if magic[:2] == b"\x1f\x8b":
        return "line", _json_rows(gzip.open(path))
    if magic[:1] not in {b"{", b""}:
        raise ConfigError("it is no JSON Lines, CSV, Parquet or SQLite of an export; export it again")
    return "line", _json_rows(path.open("rb"))


def _json_rows(file: IO[bytes] | gzip.GzipFile) -> Generator[Numbered, None, None]:
    with file:
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            if not line.endswith(b"\n"):
                raise ConfigError(
                    f"line {number:,} is cut short or longer than {_LONGEST:,} bytes; if the export is unfinished, "
                    "run it again to its end, else remove that line"
                )
            yield number, _json_row(line, number)


def _json_row(line: bytes, number: int) -> Row:
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ConfigError(f"line {number:,} is no JSON; export it again, or remove that line") from None
    if not isinstance(row, dict):
        raise ConfigError(f"line {number:,} is no JSON object; export it again, or remove that line")
    values = check_row(tuple(map(row.get, COLUMNS)), f"line {number:,}")
    if row["timestamp"] not in _INT64 or any(row[name] not in _INT32 for name in INT32):
        raise ConfigError(
            f"line {number:,}: a number is out of range: timestamp has 64 bits, message_id and payload_size have 32"
        )
    return values
