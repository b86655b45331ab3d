"""Events of many sessions in a Delta table, written by one or many machines (extra `delta`). Provisional.

The same call on each machine, in any queue or scheduler; none leads, and each ends when the job is whole. The table's
log is what keeps them apart:

1. **The plan** is a small Delta table under ``TABLE/_isnotai/JOB``, written in one commit. The first one wins; the
   others read it and do not list. Regions, account, filters and the list of sessions have to be those of the plan. It
   deals the sessions into pieces of 100, and the pieces into 16 slots. The application transaction ``JOB`` says that
   there is one: if it was removed, no other one is made, because its pieces may be in.
2. **A piece** goes in with the application transaction ``JOB/PLAN/slot-k``: PLAN is the id of the plan, and the
   version is the number of pieces of that slot that are in. It is read and written on one table object, so a piece
   that another run has committed is rejected. A run resumes from the version, and from nothing else.
3. **A piece always goes in.** A session that did not end is left out whole. What is left out is in the table
   `attempts` before the commit, which carries a second transaction ``JOB/PLAN/slot-k/UUID``: an attempt whose
   transaction the table does not know does not count.
4. **Unfinished sessions are planned again** when all slots are full, as ``JOB/PLAN/again-1`` and so on. After three
   such rounds they are failures. A run that met trouble ends with the error after its round, so that rounds are
   spread over runs.
5. **An outage is no failure.** If the API answers for no other session of the region either, the round does not
   count against a session, and a piece of which nothing could be read does not go in.
6. Each run starts at a random slot. Leases in Redis only save requests: two runs that read the same piece are right,
   and one of them has read in vain.

A power cut is not covered on local disks, because deltalake does not sync files. Files of a run that was killed are
not in the log, so no reader sees them; VACUUM removes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

from isnotai_async._client import Client
from isnotai_async._manager import SessionManager
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.validation import check_no_key, one_of
from isnotai_async.errors import ConfigError, quoted
from isnotai_async.export.source import AnySessions, find_source
from isnotai_async.export.tracker import OnExportError
from isnotai_async.integrations._delta_report import TableReport

__all__ = ["TableReport", "export_to_delta"]

_JOB: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


async def export_to_delta(
    source: Client | SessionManager,
    sessions: AnySessions,
    table: str,
    *,
    job: str,
    storage_options: Mapping[str, str] | None = None,
    redis: str | None = None,
    on_error: OnExportError = "collect",
    concurrency: int = 16,
    **filters: Any,  # noqa: ANN401 - those of `EventFilters`
) -> TableReport:
    """Add the events of sessions to a Delta table, each session once, with any number of machines.

    Args:
        source: A `Client`, or a `SessionManager` for sessions of several regions.
        sessions: As of `export_events`. Only the run that plans the job reads them.
        table: Folder or URL, such as ``s3://bucket/events``. It is created if it is not there.
        job: Name of the job: letters, digits, ``.``, ``_`` and ``-``. The same name is the same work.
        storage_options: How to reach the store, as of deltalake.
        redis: URL of the Redis that the clients' limiter shares; here it keeps two runs from reading the same piece.
        on_error: ``"collect"`` leaves out a session that fails; ``"raise"`` ends the run.
        concurrency: Most requests in flight.
        **filters: Filters of the events, as of `list_events`: `type`, `start_time`, `end_time`, `page_size`.

    Returns:
        What this run did. The job is whole.

    Raises:
        ConfigError: An option cannot work, or there is a second run and the clients do not share the quota.
        StoreError: The table or the job belongs to something else, or its plan was removed.
        SinkError: The table cannot be written. The same call resumes.
        IsNotAIError: The API is down, or refused the key; or sessions are unfinished. The same call resumes.

    Example:
        >>> await export_to_delta(client, client.list_sessions(), "events", job="june")  # doctest: +SKIP
    """
    one_of(on_error, "on_error", get_args(OnExportError))
    if not isinstance(job, str) or not _JOB.fullmatch(job):
        raise ConfigError(
            f"job {quoted(job)} is no name of a job; use letters, digits, '.', '_' and '-', at most 100 of them, and "
            "a letter or digit first"
        )
    check_no_key(job, "job")
    check_no_key(str(table), "table")
    try:
        from isnotai_async.integrations import _delta_run
    except ImportError:
        raise ConfigError("a Delta table needs deltalake: pip install 'isnotai-async[delta]'") from None
    return await _delta_run.run_job(
        find_source(source, sessions),
        (table, job, storage_options or {}),
        redis=redis,
        filters=EventFilters(**filters).filters,
        on_error=on_error,
        concurrency=concurrency,
    )
