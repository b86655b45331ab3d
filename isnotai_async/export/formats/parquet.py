"""Parquet: columns in row groups, zstd, a checksum for each page; it needs pyarrow (extra `arrow`).

Row groups are cut by rows alone, so the same rows are the same bytes (with the same release of pyarrow), however they
come in batches. Nothing is written from within pyarrow: an error of the disk would be raised through C++, and the
writer would still write the end. pyarrow takes a tenth of a second to import, so the functions do it, in a thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import accumulate, chain, islice
from struct import pack
from typing import TYPE_CHECKING, Final

from isnotai_async._arrow import schema_of
from isnotai_async._models.records import Event
from isnotai_async.export.batches import SCHEMA_VERSION, Batch

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

ROW_GROUP: Final = 25_000  # rows
GROUPS_OF_A_PART: Final = 4
TIMESTAMPS: Final = range(-62_135_596_800_000, 253_402_300_800_000)
"""Milliseconds of the years 1 to 9999: what readers of Parquet can show."""

_VERSION_KEY: Final = "isnotai_async.schema_version"
# Few different values: a dictionary of them, and numbers for the rows. Plain strings to every reader.
_REPEATED: Final = ("region", "session_id", "event_type_name")
_DICTIONARIES: Final = [*_REPEATED, "message_id", "payload_size"]


def schema() -> pa.Schema:
    """Return the schema of the rows, with its version in the metadata."""
    return schema_of(Event).with_metadata({_VERSION_KEY: str(SCHEMA_VERSION)})


def _written_schema() -> pa.Schema:
    """Return the schema with the strings that are repeated as dictionaries, as they are written."""
    import pyarrow as pa

    dictionary = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([field.with_type(dictionary) if field.name in _REPEATED else field for field in schema()])


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
    group = _RowGroup()
    for batch in batches:
        start = 0
        while batch.rows - start >= (room := ROW_GROUP - group.rows):
            group.add(batch, slice(start, start + room))
            yield group.table()
            group, start = _RowGroup(), start + room
        group.add(batch, slice(start, batch.rows))
    if group.rows:
        yield group.table()


class _RowGroup:
    """Rows as the buffers that Arrow has for them, so that a table of them is no copy.

    They are filled here because `pyarrow.array` imports pandas if that is installed, also for a scalar: 56 MiB and
    more than a second. Computed arrays load 8 MiB of kernels, and joining the tables of batches holds each row twice.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._region, self._session_id = _Repeated(), _Repeated()
        self._columns = [_open_column(field) for field in list(schema())[2:]]

    def add(self, batch: Batch, part: slice) -> None:
        """Add some rows of a batch."""
        rows = part.stop - part.start
        self._region.repeat(batch.region, rows)
        self._session_id.repeat(batch.session_id, rows)
        for column, values in zip(self._columns, batch.columns, strict=True):
            if isinstance(column, array):
                column += _to_array(column.typecode, values[part])
            else:
                column.extend(values[part])
        self.rows += rows

    def table(self) -> pa.Table:
        """Return the rows; none can be added after that."""
        import pyarrow as pa

        columns = (self._region, self._session_id, *self._columns)
        arrays = [
            pa.Array.from_buffers(field.type, self.rows, [None, pa.py_buffer(column)])
            if isinstance(column, array)
            else column.to_arrow()
            for column, field in zip(columns, schema(), strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=_written_schema())


def _open_column(field: pa.Field) -> _Texts | _Repeated | array[int]:
    if str(field.type) == "string":
        return _Repeated() if field.name in _REPEATED else _Texts()
    return array("i" if field.type.bit_width == 32 else "q")


def _to_array(typecode: str, values: Sequence[int]) -> array[int]:
    return array(typecode, pack(f"{len(values)}{typecode}", *values))  # half of what `array` takes by itself


class _Texts:
    """A column of strings: all of them as one, and where each ends."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends = array("i", [0])

    def extend(self, texts: Iterable[str]) -> None:
        texts = list(texts)
        joined = "".join(texts)
        data = joined.encode()
        lengths = map(len, texts) if len(data) == len(joined) else (len(text.encode()) for text in texts)
        self._ends += _to_array("i", list(accumulate(lengths, initial=len(self._data)))[1:])
        self._data += data

    def to_arrow(self) -> pa.Array:
        import pyarrow as pa

        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._data)]
        return pa.Array.from_buffers(pa.string(), len(self._ends) - 1, buffers)


class _Repeated:
    """A column with few different strings: those, in the order of their first rows, and a number for each row."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._rows = array("i")
        self._nulls: list[int] = []

    def repeat(self, text: str, count: int) -> None:
        self._rows += array("i", [self._numbers.setdefault(text, len(self._numbers))]) * count

    def extend(self, texts: Sequence[str | None]) -> None:
        for text in dict.fromkeys(texts):
            if text is None:
                first = len(self._rows)
                self._nulls += (first + index for index, each in enumerate(texts) if each is None)
            else:
                self._numbers.setdefault(text, len(self._numbers))
        numbers = {None: 0} | self._numbers
        self._rows += _to_array("i", list(map(numbers.__getitem__, texts)))

    def to_arrow(self) -> pa.Array:
        import pyarrow as pa

        valid, texts = None, _Texts()
        if self._nulls:
            bits = bytearray(b"\xff" * (len(self._rows) // 8 + 1))
            for index in self._nulls:
                bits[index >> 3] &= ~(1 << (index & 7))
            valid = pa.py_buffer(bits)
        texts.extend(self._numbers)
        rows = pa.Array.from_buffers(pa.int32(), len(self._rows), [valid, pa.py_buffer(self._rows)])
        return pa.DictionaryArray.from_arrays(rows, texts.to_arrow())


def _encode_groups(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = _Buffer()
    writer = parquet.ParquetWriter(
        pa.PythonFile(buffer, mode="w"),
        _written_schema(),
        store_schema=False,  # or pyarrow would read dictionaries
        compression="zstd",
        data_page_size=1 << 16,
        use_dictionary=_DICTIONARIES,
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
        memory_pool=pa.system_memory_pool(),
    )
    writer.add_key_value_metadata({_VERSION_KEY: str(SCHEMA_VERSION)})
    for table in tables:
        writer.write_table(table, row_group_size=ROW_GROUP)
        del table  # before the next one is made
        pa.default_memory_pool().release_unused()
        yield buffer.take()
    writer.close()
    yield buffer.take()


class _Buffer(BytesIO):
    """A file in memory whose bytes are taken while it is written."""

    _taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def take(self) -> bytes:
        """Return the bytes that were written since the last call."""
        part = self.getvalue()
        self._taken += len(part)
        self.seek(0)
        self.truncate()
        return part
