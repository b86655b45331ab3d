"""Sessions and events as a source of dlt (extra `dlt`). Provisional.

The source brings an event store up to date (`update_store`), a file next to the pipeline's working folder, and gives
dlt what is new in it. So the rules of a sync decide what is read, and however many loads fail, no event is requested
again for that.

1. **Events** are only ever added to the store, so its row numbers say what is new. The number up to which a load goes
   and the id of the load are in the state of the resource.
2. **A number counts only if its load is complete** in the pipeline's working folder. After a load that was killed,
   failed or dropped, the next load starts where that one started. dlt merges by key, so a row that comes twice is
   there once.
3. **Another store** (its id is another one, or another row has that number) is loaded from its start.
4. **Sessions** are sent if they are open, or were read since the last load: a session whose record changes is open
   until it has been read again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from anyio.from_thread import start_blocking_portal

from isnotai_async._models.validation import check_int
from isnotai_async.errors import ConfigError
from isnotai_async.export.batches import COLUMNS
from isnotai_async.export.places import shown
from isnotai_async.export.report import StoreReport
from isnotai_async.export.sync import update_store
from isnotai_async.integrations._dlt_reader import SESSION, StoreReader
from isnotai_async.integrations._environment import open_client

WINDOW_ROWS: Final = 1_000_000
"""Most events of a load of `run_windows`."""

_TYPES: Final = {
    "message_id": "bigint",
    "timestamp": "bigint",
    "payload_size": "bigint",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "bot_score": "double",
}
_logger: Final = logging.getLogger("isnotai_async")


def isnotai(
    *,
    store: str | os.PathLike[str] | None = None,
    region: str | None = None,
    quota: float = 1.0,
    redis: str | None = None,
    **options: Any,  # noqa: ANN401 - those of `update_store`
) -> Any:  # noqa: ANN401 - a DltSource
    """Bring the event store up to date, and return what is new in it as a source of dlt.

    Its resources are ``sessions``, merged by region and id, and ``events``, merged by region, session_id and
    event_id. The columns are those of the store: `timestamp` is in Unix milliseconds. The key comes from
    ``ISNOTAI_API_KEY`` or ``ISNOTAI_API_KEY_FILE``.

    Args:
        store: The store; default ``NAME.isnotai.db`` next to the working folder of the active pipeline.
        region: ``"us"`` or ``"eu"``; default ``ISNOTAI_REGION``, else ``"us"``.
        quota: Share of the key's rate that this process may use, above 0, at most 1.
        redis: URL of the Redis that shares the limit, without a password, or ``"env"`` for ``ISNOTAI_REDIS_URL``.
        **options: Options of `update_store`: `start_date`, `watch`, `settle`, `max_open`, `include_open`, `type`,
            `status`, `bot_only`, `concurrency`, `on_progress`.

    Raises:
        ConfigError: An option cannot work.
        IsNotAIError: As of `update_store`. Nothing is loaded, and the same call continues.

    Example:
        >>> pipeline = dlt.pipeline("clicks", destination="duckdb")  # doctest: +SKIP
        >>> pipeline.run(isnotai(start_date="2026-06-01"))  # doctest: +SKIP
    """
    _check_installed()
    path = _find_store() if store is None else Path(store)
    _update(path, options, region=region, quota=quota, redis=redis)
    return _make_source(StoreReader(path))


def run_windows(
    pipeline: Any,  # noqa: ANN401 - a dlt.Pipeline
    *,
    rows: int = WINDOW_ROWS,
    store: str | os.PathLike[str] | None = None,
    **options: Any,  # noqa: ANN401 - those of `isnotai`
) -> list[Any]:
    """Bring the event store up to date, and load what is new in windows of rows, a load a window.

    So the first load of a large account takes bounded memory and disk, and what was loaded before a kill stays. A
    load that an earlier run left is finished first.

    Args:
        pipeline: The pipeline of dlt to run.
        rows: Most events of a window.
        store: As of `isnotai`.
        **options: The other options of `isnotai`.

    Returns:
        What dlt reports of each load.

    Raises:
        ConfigError: An option cannot work.
        IsNotAIError: As of `isnotai`. The same call continues.

    Example:
        >>> run_windows(dlt.pipeline("clicks", destination="duckdb"), start_date="2026-06-01")  # doctest: +SKIP
    """
    check_int(rows, "rows", 1, 2**62)
    pipeline.activate()
    loads = []
    if pipeline.has_pending_data:
        loads.append(pipeline.run())
    path = _find_store() if store is None else Path(store)
    isnotai(store=path, **options)
    reader = StoreReader(path, rows)
    source = _make_source(reader)
    while reader.is_more:
        loads.append(pipeline.run(source))
        loads[-1].raise_on_failed_jobs()  # else the same window would come again and again
        source = _make_source(reader).with_resources("events")
    return loads


def _check_installed() -> None:
    try:
        import dlt  # noqa: F401
    except ImportError:
        raise ConfigError("this source needs dlt; install it: pip install 'isnotai-async[dlt]'") from None


def _find_store() -> Path:
    import dlt

    pipeline = dlt.current.pipeline()
    return Path(pipeline.pipelines_dir) / f"{pipeline.pipeline_name}.isnotai.db"


def _update(path: Path, options: Mapping[str, Any], *, region: str | None, quota: float, redis: str | None) -> None:
    """Bring the store up to date in an event loop of its own, because a notebook has one that is running."""

    async def update() -> StoreReport:
        async with open_client(region=region, quota=quota, redis=redis) as client:
            return await update_store(client, path, **options)

    with start_blocking_portal() as portal:
        report = portal.call(update)
    if report.failures or report.rejected or report.gaps:
        _logger.warning(
            "%s: %d sessions failed, %d records could not be read, %d regions have a gap",
            shown(path),
            len(report.failures),
            report.rejected,
            len(report.gaps),
        )


def _make_source(reader: StoreReader) -> Any:  # noqa: ANN401 - a DltSource
    import dlt

    merge: dict[str, Any] = {"write_disposition": "merge"}

    @dlt.source(name="isnotai", max_table_nesting=0)  # type: ignore[untyped-decorator]
    def source() -> Any:  # noqa: ANN401 - resources
        @dlt.resource(primary_key=["region", "id"], columns=_columns(SESSION), **merge)  # type: ignore[untyped-decorator]
        def sessions() -> Iterator[list[dict[str, Any]]]:
            yield from reader.read_sessions()

        @dlt.resource(primary_key=list(COLUMNS[:3]), columns=_columns(COLUMNS), **merge)  # type: ignore[untyped-decorator]
        def events() -> Iterator[list[dict[str, Any]]]:
            yield from reader.read_events()

        return sessions, events

    return source()


def _columns(names: Iterable[str]) -> dict[str, dict[str, str]]:
    return {name: {"data_type": _TYPES.get(name, "text")} for name in names}
