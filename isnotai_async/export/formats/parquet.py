"""Parquet: columns in row groups, compressed with zstd, with a checksum for each page; it needs pyarrow (extra `arrow`).

Row groups are cut by rows alone, so the same rows are the same bytes (with the same release of pyarrow), however they
come in batches. Nothing is written from within pyarrow: an error of the disk would be raised through C++, and the
writer would still write the end. Its import takes a tenth of a second, so the functions do it, in the export's thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from isnotai_async.export.batches import COLUMNS, SCHEMA_VERSION, Batch

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from _typeshed import ReadableBuffer

ROW_GROUP: Final = 100_000  # rows
TIMESTAMPS: Final = range(-62_135_596_800_000, 253_402_300_800_000)
"""Milliseconds of the years 1 to 9999: what readers of Parquet can show."""

_VERSION_KEY: Final = "isnotai_async.schema_version"
# Few different values: a dictionary of them, and numbers for the rows. Plain strings to every reader.
_DICTIONARIES: Final = ["region", "session_id", "message_id", "event_type_name", "payload_size"]


def schema() -> pa.Schema:
    """Return the schema of the rows, with its version in the metadata."""
    import pyarrow as pa

    types = {"message_id": pa.int32(), "payload_size": pa.int32(), "timestamp": pa.timestamp("ms", tz="UTC")}
    fields = [pa.field(name, types.get(name, pa.string()), nullable=name == "event_type_name") for name in COLUMNS]
    return pa.schema(fields, metadata={_VERSION_KEY: str(SCHEMA_VERSION)})


def encode_parquet(batches: Iterable[Batch]) -> Iterator[bytes]:
    """Encode batches as one file; the chunks are its row groups and its end."""
    yield from _encode_groups(_row_groups(batches))


def encode_parquet_parts(batches: Iterable[Batch]) -> Iterator[Iterator[bytes]]:
    """Encode batches as several files, a row group each; at least one file."""
    groups = _row_groups(batches)
    first = next(groups, None)
    yield _encode_groups([] if first is None else [first])
    for group in groups:
        yield _encode_groups([group])


def _row_groups(batches: Iterable[Batch]) -> Iterator[pa.Table]:
    import pyarrow as pa

    held, rows = list[pa.Table](), 0
    for batch in batches:
        held.append(_to_table(batch))
        rows += batch.rows
        while rows >= ROW_GROUP:
            table = pa.concat_tables(held).combine_chunks()
            yield table.slice(0, ROW_GROUP)
            held, rows = [table.slice(ROW_GROUP)], rows - ROW_GROUP
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def _to_table(batch: Batch) -> pa.Table:
    import pyarrow as pa

    columns, rows = batch.columns, schema()
    arrays = [
        pa.repeat(batch.region, batch.rows),
        pa.repeat(batch.session_id, batch.rows),
        pa.array(columns.event_id, pa.string()),
        pa.array(columns.message_id, pa.int32()),
        pa.array(columns.event_type_name, pa.string()),
        pa.array(columns.timestamp, pa.int64()).view(rows.field("timestamp").type),
        pa.array(columns.payload_size, pa.int32()),
    ]
    return pa.Table.from_arrays(arrays, schema=rows)


def _encode_groups(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = _Buffer()
    writer = parquet.ParquetWriter(
        pa.PythonFile(buffer, mode="w"),
        schema(),
        compression="zstd",
        use_dictionary=_DICTIONARIES,
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    )
    for table in tables:
        writer.write_table(table, row_group_size=ROW_GROUP)
        yield from buffer.take()
    writer.close()
    yield from buffer.take()


class _Buffer:
    """What pyarrow takes for a file to write to."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: ReadableBuffer) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> list[bytes]:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return parts
