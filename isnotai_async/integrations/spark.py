"""Events as a batch data source of Spark 4, and `read_batches` for other engines. Provisional.

The driver lists the sessions once and cuts the list into partitions. A worker reads the events of its partition.
Spark keeps the rows of a task only if the task ends, so a task that failed and is run again doubles nothing. The API
key is read from the environment of the driver and of each worker, never from an option. pyspark is not pinned and has
to be 4.1 or newer; `read_batches` works without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from anyio.from_thread import start_blocking_portal
from attrs import frozen

from isnotai_async._arrow.tables import load_pyarrow, schema_of
from isnotai_async._client import Client
from isnotai_async._models.queries import EventFilters, SessionQuery
from isnotai_async._models.records import Event
from isnotai_async._models.validation import check_id, check_int, check_quota, read_share
from isnotai_async._streaming.options import StreamOptions
from isnotai_async.errors import ConfigError, masked, quoted
from isnotai_async.integrations._environment import find_redis, open_client

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

try:
    from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
except ImportError:  # Ray and Dask need no Spark
    DataSource = DataSourceReader = InputPartition = object

BATCH_ROWS: Final = 10_000
PARTITION_SESSIONS: Final = 100

_TYPES: Final = {"string": "STRING", "int32": "INT", "timestamp[ms, tz=UTC]": "TIMESTAMP"}
_LISTING: Final = {"since": "start_date", "until": "end_date", "status": "status", "bot_only": "bot_only"}
_EVENTS: Final = ("type", "start_time", "end_time")
_OTHERS: Final = ("sessions", "region", "redis", "quota", "partition_sessions")
_SECRET: Final = re.compile("key|token|secret|password|authorization", re.IGNORECASE)


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


@frozen(kw_only=True)
class EventRequest:
    """How to read events, checked; it can be pickled, and holds no secret. Attributes as of `read_batches`."""

    region: str | None
    quota: float | None
    redis: str | None
    filters: Mapping[str, Any]
    concurrency: int = 16
    rows: int = BATCH_ROWS

    def __attrs_post_init__(self) -> None:
        EventFilters(**self.filters)
        StreamOptions(concurrency=self.concurrency)
        check_int(self.rows, "rows", 1, 10_000_000)
        if (self.quota is None) == (self.redis is None):
            raise ConfigError(
                "give either quota or redis: several workers use the key at the same time, and each would use all of "
                "its rate; quota=1/n for n workers, or the Redis that shares the limit"
            )
        if self.quota is not None:
            check_quota(self.quota, "quota")
        if self.redis is not None:
            find_redis(self.redis)

    def read(self, sessions: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the events of sessions; errors as of `read_batches`."""
        schema = batch_schema()
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self.open()) as client:
            stream = client.stream_events(list(sessions), concurrency=self.concurrency, **self.filters)
            with portal.wrap_async_context_manager(stream) as opened:
                batches = opened.batches(self.rows)
                while (batch := portal.call(anext, batches, None)) is not None:
                    yield batch.cast(schema)

    def list_sessions(self, filters: Mapping[str, Any]) -> list[str]:
        """Return the ids of the sessions that filters select."""

        async def read() -> list[str]:
            async with self.open() as client:
                sessions = client.with_options(deadline=None).list_sessions(page_size=100, **filters)
                return [session.id async for session in sessions]

        with start_blocking_portal() as portal:
            return portal.call(read)

    def open(self) -> AbstractAsyncContextManager[Client]:
        """Return the client; it is not open yet."""
        return open_client(region=self.region, quota=1.0 if self.quota is None else self.quota, redis=self.redis)


def batch_schema() -> pa.Schema:
    """Return the schema of the batches. Spark takes no timestamps in milliseconds."""
    arrow, schema = load_pyarrow(), schema_of(Event)
    index = schema.get_field_index("timestamp")
    return schema.set(index, arrow.field("timestamp", arrow.timestamp("us", tz="UTC"), nullable=False))


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


@frozen(kw_only=True)
class SparkJob:
    """What to read, by the options of a data source.

    Attributes:
        request: How to read events.
        sessions: Ids of the sessions; None to list them.
        listing: Filters of the sessions that are listed.
        size: Sessions of a partition.
    """

    request: EventRequest
    sessions: Sequence[str] | None
    listing: Mapping[str, Any]
    size: int

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> SparkJob:
        """Read the options, by their names in lower case.

        Raises:
            ConfigError: As of `IsNotAIDataSource`. It never shows a value that may be a key.
        """
        _check_names(options)
        sessions = options.get("sessions")
        listing: dict[str, Any] = {name: options[option] for option, name in _LISTING.items() if option in options}
        if sessions is not None and listing:
            raise ConfigError("give either sessions, or the filters that list them (since, until, status, bot_only)")
        if "bot_only" in listing:
            listing["bot_only"] = _read_flag(listing["bot_only"])
        SessionQuery(**listing)
        request = EventRequest(
            region=options.get("region"),
            quota=read_share(options["quota"], "quota") if "quota" in options else None,
            redis=options.get("redis"),
            filters={name: _read_filter(name, options[name]) for name in _EVENTS if name in options},
        )
        size = _read_int(options.get("partition_sessions", str(PARTITION_SESSIONS)))
        return cls(
            request=request,
            sessions=None if sessions is None else _read_ids(sessions),
            listing=listing,
            size=check_int(size, "partition_sessions", 1, 1_000_000),
        )

    def partitions(self) -> list[list[str]]:
        """Return the sessions of each partition, each session once; lists them if they were not given."""
        found = self.request.list_sessions(self.listing) if self.sessions is None else self.sessions
        ids = list(dict.fromkeys(found))
        return [ids[start : start + self.size] for start in range(0, len(ids), self.size)]


class _SparkReader(DataSourceReader):  # type: ignore[misc]
    """Reader of a job; Spark pickles it for the workers."""

    def __init__(self, job: SparkJob) -> None:
        self.job = job

    def partitions(self) -> list[Any]:
        # One empty partition, because Spark would ask for all of it if there were none.
        return [InputPartition(ids) for ids in self.job.partitions() or [[]]]

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - an InputPartition
        return self.job.request.read(partition.value) if partition.value else iter(())


def _check_names(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if masked(f"{name} {value}") != f"{name} {value}" or (_SECRET.search(name)):
            raise ConfigError(
                f"the option {quoted(name)} holds a key, and Spark shows options in plans and logs; make a new key, "
                "and set ISNOTAI_API_KEY or ISNOTAI_API_KEY_FILE on the driver and the workers"
            )
        if name not in {*_LISTING, *_EVENTS, *_OTHERS}:
            known = ", ".join(sorted({*_LISTING, *_EVENTS, *_OTHERS}))
            raise ConfigError(f"there is no option {quoted(name)}; the options are {known}")


def _read_ids(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [check_id(each.strip()) for each in text.split(",")]
    try:
        found = json.loads(text)
    except ValueError:
        raise ConfigError(f"sessions {quoted(text)} is no JSON list of ids") from None
    return [check_id(each) for each in found]


def _read_filter(name: str, text: str) -> int | str | datetime:
    if name == "type":
        return text
    if text.isdecimal():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name} {quoted(text)} is no time; write Unix milliseconds or 2026-06-01T00:00Z") from None


def _read_flag(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ConfigError(f"bot_only {quoted(text)} must be true or false")
    return text.lower() == "true"


def _read_int(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"partition_sessions {quoted(text)} must be a whole number")
    return int(text)
