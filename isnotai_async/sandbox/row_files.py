"""Reading back what an export wrote: JSON Lines, the same in gzip, Parquet, or a folder of Parquet files.

Written without a look at the code that writes them, from the documented columns alone, so that the two cannot agree
on the same mistake. What a file is, its first bytes tell, and not its name.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from isnotai_async.errors import ConfigError, printable, quoted
from isnotai_async.sandbox.limits import REGION_NAMES
from isnotai_async.sandbox.recorded import Recording, Types

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

Row = tuple[str, str, str, int, str, int, int]
Numbered = tuple[int, Row]

COLUMNS: Final[dict[str, type]] = {
    "region": str,
    "session_id": str,
    "event_id": str,
    "message_id": int,
    "event_type_name": str,
    "timestamp": int,
    "payload_size": int,
}
_TYPES: Final = tuple(COLUMNS.values())
_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
_LONGEST: Final = 1 << 24  # bytes of a line; an answer of the API has less
_BATCH: Final = 10_000  # rows


def read_recordings(path: Path) -> dict[str, Recording]:
    """Read a file or folder into memory, by region; rows of other names than `us` and `eu` go to `us`.

    The cost of it is in `recording`.

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
        raise ConfigError(f"cannot read {where}: {error.strerror or error}; {_after(number, kind)}") from None
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


def _open(path: Path) -> tuple[str, Generator[Numbered, None, None]]:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PAR1":
        return "row", _parquet_rows(path)
    if magic[:2] == b"\x1f\x8b":
        return "line", _json_rows(gzip.open(path))
    if magic[:1] not in {b"{", b""}:
        raise ConfigError("it is no JSON Lines and no Parquet; export it as .jsonl, .jsonl.gz or .parquet")
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
    values = tuple(map(row.get, COLUMNS))
    if tuple(map(type, values)) != _TYPES:
        raise _wrong_type(row, number)
    if row["timestamp"] not in _INT64 or row["message_id"] not in _INT32 or row["payload_size"] not in _INT32:
        raise ConfigError(
            f"line {number:,}: a number is out of range: timestamp has 64 bits, message_id and payload_size have 32"
        )
    return cast("Row", values)


def _wrong_type(row: dict[str, object], number: int) -> ConfigError:
    name, kind = next((name, kind) for name, kind in COLUMNS.items() if type(row.get(name)) is not kind)
    found = quoted(row[name]) if name in row else "missing"
    return ConfigError(f"line {number:,}: {name} has to be {_WORDS[kind]}, and is {found}; export it again")


_WORDS: Final = {str: "a string", int: "a whole number"}


def _parquet_rows(path: Path) -> Generator[Numbered, None, None]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'isnotai-async[arrow]'") from None
    number = 0
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True, memory_map=False) as file:
            schema = _schema(file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH, columns=list(COLUMNS)):
                table = pa.Table.from_batches([batch]).select(list(COLUMNS)).cast(schema)
                for row in zip(*(column.to_pylist() for column in _plain(table)), strict=True):
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError) as error:  # a wrong checksum is an OSError
        raise ConfigError(
            f"{_after(number, 'row')}, it is damaged or has other columns ({printable(str(error), 200)}); "
            "export it again"
        ) from None


def _schema(names: list[str]) -> pa.Schema:
    import pyarrow as pa

    if missing := COLUMNS.keys() - set(names):
        raise ConfigError(f"there is no column {', '.join(sorted(missing))}; the columns are {', '.join(COLUMNS)}")
    types = {"timestamp": pa.timestamp("ms", tz="UTC"), "message_id": pa.int32(), "payload_size": pa.int32()}
    return pa.schema([pa.field(name, types.get(name, pa.string()), nullable=False) for name in COLUMNS])


def _plain(table: pa.Table) -> Iterator[pa.ChunkedArray]:
    """The columns as strings and whole numbers: a timestamp of the year 20000 is a number, and no datetime."""
    import pyarrow as pa

    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise ConfigError(f"column {name} has a null; the export writes none")
        yield column.cast(pa.int64()) if name == "timestamp" else column
