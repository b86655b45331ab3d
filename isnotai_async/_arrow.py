"""Arrow tables of records (extra `arrow`): the schema of each kind of record, and the builder of batches.

Events have the columns and types of an export. Sessions and users have the column `region`, and a column for each
field of the record. Times are timestamps in milliseconds, UTC. Fields that the contract does not have (`extra`) are
left out, because they have no type.

pyarrow is imported when a table is asked for. The builder takes rows by their attributes, so that it needs no record:
what the decoder made of the JSON will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from isnotai_async._models.records import Event, Int32
from isnotai_async.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

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
        record: The class of record that the rows are, or have the attributes of.

    Raises:
        ConfigError: pyarrow is not installed.
    """

    def __init__(self, record: type) -> None:
        self.schema = schema_of(record)
        self.rows = 0
        names = tuple(_columns(record))
        self._has_session = len(_prefix(record)) > 1
        self._read = attrgetter(*names)
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
