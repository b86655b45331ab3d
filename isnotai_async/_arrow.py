"""Arrow tables of records (extra `arrow`): the schema of each kind of record, batches of rows, and tables of pages.

Events have the columns and types of an export. Sessions and users have the column `region`, and a column for each
field of the record. Times are timestamps in milliseconds, UTC. Fields that the contract does not have (`extra`) are
left out, because they have no type.

pyarrow is imported when a table is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec.structs import astuple

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event, Int32
from isnotai_async._models.validation import check_int
from isnotai_async.errors import ConfigError, IsNotAIError

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

MAX_ROWS: Final = 10_000_000
"""Default bound on the rows of a table; so many events take about 1 GB."""

BATCH_ROWS: Final = 50_000
_MOST_ROWS: Final = 2**40
_LEFT_OUT: Final = frozenset({"extra"})


def load_pyarrow() -> Any:  # noqa: ANN401 - a module without types
    """Import pyarrow.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise ConfigError("Arrow tables need pyarrow; install it: pip install 'isnotai-async[arrow]'") from None
    return pa


@cache
def schema_of(record: type) -> pa.Schema:
    """Return the Arrow schema for a class of records.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    arrow = load_pyarrow()
    fields = [arrow.field(name, arrow.string(), nullable=False) for name in _prefix(record)]
    for name, hint in _columns(record).items():
        kind, is_nullable = _read_hint(hint)
        is_time = record is Event and name == "timestamp"
        type_ = arrow.timestamp("ms", tz="UTC") if is_time else _type_of(kind)
        fields.append(arrow.field(name, type_, nullable=is_nullable))
    return arrow.schema(fields)


class BatchBuilder:
    """Collects rows, and makes record batches of them.

    Args:
        record: The class of the records.

    Raises:
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, record: type) -> None:
        self.schema = schema_of(record)
        self.rows = 0
        names = tuple(_columns(record))
        self._has_session = len(_prefix(record)) > 1
        self._read: Any = astuple if record is Event else attrgetter(*names)
        self._columns: tuple[list[Any], ...] = tuple([] for _ in names)
        self._runs: list[tuple[str, str, int]] = []  # region and session of so many rows

    def add(self, rows: Sequence[object], *, region: str, session_id: str | None) -> None:
        """Add rows of one region, and if they are events of one session."""
        if not rows:
            return
        for column, values in zip(self._columns, zip(*map(self._read, rows), strict=True), strict=True):
            column.extend(values)
        self._runs.append((region, session_id or "", len(rows)))
        self.rows += len(rows)

    def take(self) -> pa.RecordBatch:
        """Return the rows that were added since the last call, as a batch."""
        arrow = load_pyarrow()
        columns = [self._repeat(0)] + ([self._repeat(1)] if self._has_session else [])
        for column, field in zip(self._columns, list(self.schema)[len(columns) :], strict=True):
            columns.append(arrow.array(column, field.type))
        batch = arrow.RecordBatch.from_arrays(columns, schema=self.schema)
        self._columns, self._runs, self.rows = tuple([] for _ in self._columns), [], 0
        return batch

    def _repeat(self, which: int) -> pa.Array:
        arrow = load_pyarrow()
        parts = [arrow.repeat(arrow.scalar(run[which], arrow.string()), run[2]) for run in self._runs]
        return arrow.concat_arrays(parts) if parts else arrow.array([], arrow.string())


async def collect_table(pages: AsyncIterable[Page[Any]], record: type, max_rows: int | None) -> pa.Table:
    """Read pages into a table. It is whole or not made; an error then has a note about the rows that are dropped.

    Args:
        pages: The pages.
        record: The class of their records.
        max_rows: Most rows of the table; None for no bound.

    Raises:
        ConfigError: There are more rows; or `max_rows` cannot be; or pyarrow is not installed.
    """
    if max_rows is not None:
        check_int(max_rows, "max_rows", 1, _MOST_ROWS)
    builder, batches, done = BatchBuilder(record), list["pa.RecordBatch"](), 0
    try:
        async for page in pages:
            rows = page.data
            if max_rows is not None and done + builder.rows + len(rows) > max_rows:
                raise ConfigError(
                    f"the table has more than {max_rows:,} rows; pass max_rows= for a larger one (10 million events "
                    "take about 1 GB of memory), or read it in parts: stream.batches(), or export_events to Parquet"
                )
            builder.add(rows, region=page.name, session_id=page.session_id)
            if builder.rows >= BATCH_ROWS:
                done += builder.rows
                batches.append(builder.take())
    except IsNotAIError as error:
        if read := done + builder.rows:
            error.add_note(
                f"no table was made: the {read:,} rows before this error are dropped. To get them, read the list "
                "again from its start; or take them as they come, with stream.batches()"
            )
        raise
    if builder.rows:
        batches.append(builder.take())
    return load_pyarrow().Table.from_batches(batches, schema=builder.schema)


def _prefix(record: type) -> tuple[str, ...]:
    return ("region", "session_id") if record is Event else ("region",)


def _columns(record: type) -> dict[str, Any]:
    hints = get_type_hints(record, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in _LEFT_OUT}


def _read_hint(hint: Any) -> tuple[Any, bool]:  # noqa: ANN401 - an annotation
    if get_origin(hint) not in {Union, UnionType}:
        return hint, False
    (kind,) = (part for part in get_args(hint) if part is not NoneType)
    return kind, True


def _type_of(kind: Any) -> pa.DataType:  # noqa: ANN401 - an annotation
    arrow = load_pyarrow()
    if get_origin(kind) is tuple:
        return arrow.list_(_type_of(get_args(kind)[0]))
    if kind == Int32:
        return arrow.int32()
    if get_origin(kind) is Annotated:  # a plain type with a rule for the decoder
        return _type_of(get_args(kind)[0])
    times = arrow.timestamp("ms", tz="UTC")
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), datetime: times}[kind]
