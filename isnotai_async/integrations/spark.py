"""Events as a batch data source of Spark 4, and `read_batches` for other engines. Provisional.

The driver lists the sessions once and cuts the list into partitions. A worker reads the events of its partition.
Spark keeps the rows of a task only if the task ends, so a task that failed and is run again doubles nothing. The API
key is read from the environment of the driver and of each worker, never from an option. pyspark is not pinned and has
to be 4.1 or newer; `read_batches` works without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from isnotai_async._arrow import schema_of
from isnotai_async._models.records import Event
from isnotai_async.errors import ConfigError
from isnotai_async.integrations._event_request import BATCH_ROWS, EventRequest, batch_schema
from isnotai_async.integrations._spark_job import SparkJob

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

try:
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
except ImportError:  # Ray and Dask need no Spark
    DataSource = DataSourceReader = InputPartition = object

__all__ = ["IsNotAIDataSource", "batch_schema", "read_batches"]

_TYPES: Final = {"string": "STRING", "int32": "INT", "timestamp[ms, tz=UTC]": "TIMESTAMP"}


def read_batches(
    sessions: Sequence[str],
    *,
    region: str | None = None,
    quota: float | None = None,
    redis: str | None = None,
    concurrency: int = 16,
    rows: int = BATCH_ROWS,
    **filters: Any,  # noqa: ANN401 - those of `EventFilters`
) -> Iterator[pa.RecordBatch]:
    """Read the events of sessions as Arrow record batches, in a worker of any engine.

    It blocks, and has an event loop of its own in a thread. Rows have the columns of an export; `timestamp` is in
    microseconds, UTC, as Spark has it. The key comes from ``ISNOTAI_API_KEY`` or ``ISNOTAI_API_KEY_FILE``.

    Args:
        sessions: Ids of the sessions of this task.
        region: ``"us"`` or ``"eu"``; default ``ISNOTAI_REGION``, else ``"us"``.
        quota: Share of the key's rate that this process may use: 1/n for n processes that work at the same time.
        redis: Instead of `quota`, URL of the Redis that shares the limit, without a password, or ``"env"`` for
            ``ISNOTAI_REDIS_URL``.
        concurrency: Most requests in flight.
        rows: Most events of a batch.
        **filters: `type`, `start_time`, `end_time` and `page_size`, as of `list_events`.

    Raises:
        ConfigError: An option cannot work; also if there is neither `quota` nor `redis`.
        IsNotAIError: A session cannot be read. What was yielded is a part of the sessions: drop it.

    Example:
        >>> for batch in read_batches(["s1", "s2"], quota=1 / 8): ...  # doctest: +SKIP
    """
    request = EventRequest(
        region=region, quota=quota, redis=redis, concurrency=concurrency, rows=rows, filters=filters
    )
    return request.read(sessions)


class IsNotAIDataSource(DataSource):  # type: ignore[misc]
    """Events of sessions as a batch source of Spark 4, by the name ``isnotai``.

    Options, all of them text, as Spark has it:

    - ``sessions``: ids with commas between them, or as a JSON list. Without it, the sessions are listed once, with
      ``since`` and ``until`` (ISO 8601), ``status`` and ``bot_only`` (``true``).
    - ``type``, ``start_time``, ``end_time`` (Unix milliseconds, or ISO 8601 with an offset): filters of the events.
    - ``quota``: share of the key's rate for each worker process, such as ``1/8``; or ``redis``: URL of the Redis that
      shares the limit, without a password, or ``env`` for ``ISNOTAI_REDIS_URL`` of each process.
    - ``region``; ``partition_sessions``: sessions of a partition, default 100.

    The key is read from ``ISNOTAI_API_KEY`` or ``ISNOTAI_API_KEY_FILE`` on the driver and on each worker.

    Raises:
        ConfigError: An option is unknown, cannot work, or holds a key.

    Example:
        >>> spark.dataSource.register(IsNotAIDataSource)  # doctest: +SKIP
        >>> events = spark.read.format("isnotai").options(since="2026-06-01", quota="1/8").load()  # doctest: +SKIP
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        if DataSource is object:
            raise ConfigError("the data source needs Spark 4.1 or newer: pip install 'pyspark>=4.1'")
        super().__init__(options)
        self.job = SparkJob.from_options({name.lower(): value for name, value in options.items()})

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "isnotai"

    def schema(self) -> str:
        """Return the columns: those of an export."""
        return ", ".join(
            f"{field.name} {_TYPES[str(field.type)]}{'' if field.nullable else ' NOT NULL'}"
            for field in schema_of(Event)
        )

    def reader(self, schema: object) -> _SparkReader:  # noqa: ARG002 - it is always the same
        """Return the reader."""
        return _SparkReader(self.job)


class _SparkReader(DataSourceReader):  # type: ignore[misc]
    """Reader of a job; Spark pickles it for the workers."""

    def __init__(self, job: SparkJob) -> None:
        self.job = job

    def partitions(self) -> list[Any]:
        # One empty partition, because Spark would ask for all of it if there were none.
        return [InputPartition(ids) for ids in self.job.partitions() or [[]]]

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - an InputPartition
        return self.job.request.read(partition.value) if partition.value else iter(())
