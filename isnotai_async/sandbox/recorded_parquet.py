"""Rows of Parquet files that an export wrote; it needs pyarrow.

Written from the documented columns alone, as the readers in `recorded` are.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from isnotai_async.errors import ConfigError, printable
from isnotai_async.sandbox.columns import COLUMNS, INT32, NULLABLE, Row

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

_BATCH: Final = 10_000  # rows


def read_parquet(path: Path) -> Generator[tuple[int, Row], None, None]:
    """Read the rows of a file, each with its number.

    Raises:
        ConfigError: It is damaged, or has other columns.
    """
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
        where = f"after row {number:,}" if number else "at its beginning"
        raise ConfigError(
            f"the file is damaged or has other columns than an export, {where} "
            f"({printable(str(error), 200)}); export it again"
        ) from None


def _schema(names: list[str]) -> pa.Schema:
    import pyarrow as pa

    if missing := set(COLUMNS) - set(names):
        raise ConfigError(f"there is no column {', '.join(sorted(missing))}; the columns are {', '.join(COLUMNS)}")
    types = {"timestamp": pa.timestamp("ms", tz="UTC"), **dict.fromkeys(INT32, pa.int32())}
    return pa.schema([pa.field(name, types.get(name, pa.string()), nullable=name == NULLABLE) for name in COLUMNS])


def _plain(table: pa.Table) -> Iterator[pa.ChunkedArray]:
    """Return the columns as strings and whole numbers, because a year such as 20000 has no datetime."""
    import pyarrow as pa

    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count and name != NULLABLE:
            raise ConfigError(f"column {name} has a null; the export writes none")
        yield column.cast(pa.int64()) if name == "timestamp" else column
