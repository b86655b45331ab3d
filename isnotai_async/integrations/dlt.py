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
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from anyio.from_thread import start_blocking_portal
from attrs import define, field

from isnotai_async._models.validation import check_int
from isnotai_async.errors import ConfigError
from isnotai_async.export.batches import COLUMNS
from isnotai_async.export.places import shown
from isnotai_async.export.store_file import READER_SECONDS
from isnotai_async.export.store_report import StoreReport
from isnotai_async.export.store_schema import FIELDS
from isnotai_async.export.sync import update_store
from isnotai_async.integrations._environment import open_client

WINDOW_ROWS: Final = 1_000_000
"""Most events of a load of `run_windows`."""

_CHUNK_ROWS: Final = 20_000
_SESSION: Final = ("region", "id", *FIELDS)
_TYPES: Final = {
    "message_id": "bigint",
    "timestamp": "bigint",
    "payload_size": "bigint",
    "created_at": "timestamp",
    "updated_at": "timestamp",
    "bot_score": "double",
}
_EVENTS: Final = (
    f"SELECT rowid, {', '.join(COLUMNS)} FROM events WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
)
_SESSIONS: Final = (
    f"SELECT {', '.join(_SESSION)} FROM sessions "
    "WHERE region = ? AND (_isnotai_state = 'open' OR ifnull(_isnotai_began, 0) >= ?)"
)
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
    return _make_source(_StoreReader(path))


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
    reader = _StoreReader(path, rows)
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


def _make_source(reader: _StoreReader) -> Any:  # noqa: ANN401 - a DltSource
    import dlt

    merge: dict[str, Any] = {"write_disposition": "merge"}

    @dlt.source(name="isnotai", max_table_nesting=0)  # type: ignore[untyped-decorator]
    def source() -> Any:  # noqa: ANN401 - resources
        @dlt.resource(primary_key=["region", "id"], columns=_columns(_SESSION), **merge)  # type: ignore[untyped-decorator]
        def sessions() -> Iterator[list[dict[str, Any]]]:
            yield from reader.read_sessions()

        @dlt.resource(primary_key=list(COLUMNS[:3]), columns=_columns(COLUMNS), **merge)  # type: ignore[untyped-decorator]
        def events() -> Iterator[list[dict[str, Any]]]:
            yield from reader.read_events()

        return sessions, events

    return source()


def _columns(names: Iterable[str]) -> dict[str, dict[str, str]]:
    return {name: {"data_type": _TYPES.get(name, "text")} for name in names}


@define(eq=False)
class _StoreReader:
    """What is new in a store, for one load after the other.

    Attributes:
        path: The store.
        rows: Most events of a load; -1 for no limit.
        is_more: Whether the last load left events out. True before the first one.
    """

    path: Path
    rows: int = -1
    is_more: bool = field(default=True, init=False)

    def read_sessions(self) -> Iterator[list[dict[str, Any]]]:
        """Give the sessions whose records may be new, and note the newest reading of each region."""
        with self._open() as db:
            known = _find_start()
            newest = "SELECT region, max(ifnull(_isnotai_began, 0)) FROM sessions GROUP BY region"
            times = dict(db.execute(newest).fetchall())
            since = known.get("read", {}) if known.get("store") == _identify(db) else {}
            for region in times:
                found = db.execute(_SESSIONS, (region, since.get(region, 0)))
                while chunk := found.fetchmany(_CHUNK_ROWS):
                    yield [dict(zip(_SESSION, row, strict=True)) for row in chunk]
            _note(known, {"store": _identify(db), "read": times})

    def read_events(self) -> Iterator[list[dict[str, Any]]]:
        """Give the next events, and note how far they go."""
        with self._open() as db:
            known = _find_start()
            first = _find_row(db, known)
            number, newest = first, db.execute("SELECT ifnull(max(rowid), 0) FROM events").fetchone()[0]
            found = db.execute(_EVENTS, (first, newest, self.rows))
            while chunk := found.fetchmany(_CHUNK_ROWS):
                yield [dict(zip(COLUMNS, row[1:], strict=True)) for row in chunk]
                number = chunk[-1][0]
            self.is_more = number < newest
            if number > first:
                _note(known, {"store": _identify(db), "row": number, "event": _find_event(db, number)})

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=READER_SECONDS, isolation_level=None)) as db:
            yield db


def _find_start() -> dict[str, Any]:
    """Return how far the last complete load of this resource went."""
    import dlt

    state = dlt.current.resource_state()
    is_complete = "load" in state and _is_complete(state["load"])
    found: dict[str, Any] = state.get("end" if is_complete else "start", {})
    return found


def _is_complete(load: str) -> bool:
    """Return whether a load is complete, as far as the working folder of the pipeline knows."""
    import dlt

    pipeline = dlt.current.pipeline()
    if load not in pipeline.list_completed_load_packages():
        return False
    info = pipeline.get_load_package_info(load)
    return info.state == "loaded" and not info.jobs.get("failed_jobs")


def _note(start: Mapping[str, Any], end: Mapping[str, Any]) -> None:
    """Note in the state of this resource where its load starts and ends."""
    import dlt

    load = dlt.current.load_package_state()["load_id"]
    dlt.current.resource_state().update(start=dict(start), end=dict(end), load=load)


def _find_row(db: sqlite3.Connection, known: Mapping[str, Any]) -> int:
    """Return the number of the last row that is loaded; 0 if it is that of another store."""
    is_same = known.get("store") == _identify(db) and known["event"] == _find_event(db, known["row"])
    return int(known["row"]) if is_same else 0


def _find_event(db: sqlite3.Connection, number: int) -> list[str] | None:
    found = db.execute("SELECT region, session_id, event_id FROM events WHERE rowid = ?", (number,)).fetchone()
    return None if found is None else list(found)


def _identify(db: sqlite3.Connection) -> str:
    """Return the id of the store, which has none before its first load."""
    db.execute("INSERT OR IGNORE INTO _isnotai_store VALUES ('id', ?)", (uuid4().hex,))
    return str(db.execute("SELECT value FROM _isnotai_store WHERE name = 'id'").fetchone()[0])
