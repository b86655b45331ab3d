"""Parquet: columns in row groups, zstd, a checksum for each page; it needs pyarrow (extra `arrow`).

Row groups are cut by rows alone, so the same rows are the same bytes (with the same release of pyarrow), however they
come in batches. Nothing is written from within pyarrow: an error of the disk would be raised through C++, and the
writer would still write the end. pyarrow takes a tenth of a second to import, so the functions do it, in a thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import astuple

from isnotai_async._arrow.tables import schema_of
from isnotai_async._models.records import Event
from isnotai_async.export.batches import SCHEMA_VERSION, Batch

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from _typeshed import ReadableBuffer

ROW_GROUP: Final = 50_000  # rows
GROUPS_OF_A_PART: Final = 2
TIMESTAMPS: Final = range(-62_135_596_800_000, 253_402_300_800_000)
"""Milliseconds of the years 1 to 9999: what readers of Parquet can show."""

_VERSION_KEY: Final = "isnotai_async.schema_version"
# Few different values: a dictionary of them, and numbers for the rows. Plain strings to every reader.
_DICTIONARIES: Final = ["region", "session_id", "message_id", "event_type_name", "payload_size"]


def schema() -> pa.Schema:
    """Return the schema of the rows, with its version in the metadata."""
    return schema_of(Event).with_metadata({_VERSION_KEY: str(SCHEMA_VERSION)})


def encode_parquet(batches: Iterable[Batch]) -> Iterator[bytes]:
    """Encode batches as one file; the chunks are its row groups and its end."""
    yield from _encode_groups(to_tables(batches))


def encode_parquet_parts(batches: Iterable[Batch]) -> Iterator[Iterator[bytes]]:
    """Encode batches as several files, at least one; the chunks of one are to be taken before the next is."""
    groups = to_tables(batches)
    first = next(groups, None)
    yield _encode_groups([] if first is None else chain([first], islice(groups, GROUPS_OF_A_PART - 1)))
    for group in groups:
        yield _encode_groups(chain([group], islice(groups, GROUPS_OF_A_PART - 1)))


def to_tables(batches: Iterable[Batch]) -> Iterator[pa.Table]:
    """Return batches as tables, each but the last of the rows of a row group."""
    import pyarrow as pa

    held, rows = list[pa.Table](), 0
    for batch in batches:
        held.append(_to_table(batch))
        rows += batch.rows
        while rows >= ROW_GROUP:
            table = _join(held)
            yield table.slice(0, ROW_GROUP)
            held, rows = [table.slice(ROW_GROUP)], rows - ROW_GROUP
    if rows:
        yield _join(held)


def _join(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    pool = pa.system_memory_pool()
    return pa.concat_tables(tables, memory_pool=pool).combine_chunks(memory_pool=pool)


def _to_table(batch: Batch) -> pa.Table:
    import pyarrow as pa

    rows, pool = schema(), pa.system_memory_pool()  # which gives memory back at once
    texts = (batch.region, batch.session_id)
    arrays = [pa.repeat(_strings([text])[0], batch.rows, memory_pool=pool) for text in texts]
    for field, values in zip(list(rows)[len(texts) :], astuple(batch.columns), strict=True):
        arrays.append(_strings(values) if field.type == pa.string() else _numbers(values, field.type))
    return pa.Table.from_arrays(arrays, schema=rows)


# Made of buffers, because `pyarrow.array` imports pandas if that is installed, also for a scalar: 56 MiB and more
# than a second. A computed array loads 8 MiB of kernels.


def _numbers(values: list[int], type: pa.DataType) -> pa.Array:
    import pyarrow as pa

    numbers = array("i" if type.bit_width == 32 else "q", values)
    return pa.Array.from_buffers(type, len(values), [None, pa.py_buffer(numbers)])


def _strings(values: Sequence[str | None]) -> pa.Array:
    import pyarrow as pa

    valid = None
    if None in values:
        bits = "".join("0" if value is None else "1" for value in reversed(values))
        valid = pa.py_buffer(int(bits, 2).to_bytes(len(values) // 8 + 1, "little"))
    texts = [value or "" for value in values] if valid else cast(Sequence[str], values)
    joined = "".join(texts)
    data = joined.encode()
    lengths = map(len, texts) if len(data) == len(joined) else (len(text.encode()) for text in texts)
    offsets = array("i", list(accumulate(lengths, initial=0)))
    return pa.Array.from_buffers(pa.string(), len(texts), [valid, pa.py_buffer(offsets), pa.py_buffer(data)])


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
        memory_pool=pa.system_memory_pool(),
    )
    for table in tables:
        writer.write_table(table, row_group_size=ROW_GROUP)
        pa.default_memory_pool().release_unused()
        yield from buffer.take()
    writer.close()
    yield from buffer.take()


class _Buffer:
    """A file object for pyarrow that keeps the bytes in memory."""

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
        """Return the bytes that were written since the last call."""
        parts, self._parts = self._parts, []
        return parts
