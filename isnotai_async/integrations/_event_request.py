"""`EventRequest`: how a worker of an engine reads the events of its sessions, as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from anyio.from_thread import start_blocking_portal
from attrs import frozen

from isnotai_async._arrow import load_pyarrow, schema_of
from isnotai_async._client import Client
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.records import Event
from isnotai_async._models.validation import check_int, check_quota
from isnotai_async._streaming.options import StreamOptions
from isnotai_async.errors import ConfigError
from isnotai_async.integrations._environment import find_redis, open_client

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

BATCH_ROWS: Final = 10_000


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
