"""Rows between JSON Lines, Arrow tables and Parquet. pyarrow does all of it in C++, and lets other threads run.

It is an extra, and its import takes a tenth of a second; so each function imports it, in the thread of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from isnotai_async.export.rows import COLUMNS, SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from _typeshed import ReadableBuffer

_VERSION_KEY: Final = "isnotai_async.schema_version"
# Few different values: a dictionary of them, and numbers for the rows. Plain strings to whoever reads them.
_DICTIONARIES: Final = ["region", "session_id", "message_id", "event_type_name", "payload_size"]


def schema() -> pa.Schema:
    """Return the schema of the rows, with its version in the metadata."""
    import pyarrow as pa

    types = {"message_id": pa.int32(), "payload_size": pa.int32(), "timestamp": pa.timestamp("ms", tz="UTC")}
    fields = [pa.field(name, types.get(name, pa.string()), nullable=False) for name in COLUMNS]
    return pa.schema(fields, metadata={_VERSION_KEY: str(SCHEMA_VERSION)})


def read_table(lines: bytes) -> pa.Table:
    """Read the rows of a spool."""
    import pyarrow as pa
    from pyarrow import json

    rows = schema()
    if not lines:
        return rows.empty_table()
    # Read as the numbers they are: from JSON, Arrow makes timestamps of strings alone.
    plain = rows.set(rows.get_field_index("timestamp"), pa.field("timestamp", pa.int64()))
    table = json.read_json(
        pa.BufferReader(lines),
        # One block, because a row must not lie across two borders, and in this thread, to keep out of others' way.
        read_options=json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=json.ParseOptions(explicit_schema=_nullable(plain), unexpected_field_behavior="error"),
    )
    return table.cast(rows)


def _nullable(rows: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([field.with_nullable(True) for field in rows])


def encode_tables(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """Encode tables as one Parquet file, a row group each.

    Its parts are handed out one after the other, so that only one row group is in memory, and nothing is written from
    within pyarrow: an error of the disk would be raised through C++, and the writer would go on to write the end.
    """
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
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        yield buffer.take()
    writer.close()
    yield buffer.take()


def read_segment(data: bytes) -> pa.Table:
    """Read a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        return file.read(use_threads=False)


def find_ids(table: pa.Table, name: str, session_id: str) -> set[str]:
    """Return the event ids of a session."""
    from pyarrow import compute

    of_session = compute.and_(compute.equal(table["region"], name), compute.equal(table["session_id"], session_id))
    return set(table["event_id"].filter(of_session).to_pylist())


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

    def take(self) -> bytes:
        """Hand out what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
