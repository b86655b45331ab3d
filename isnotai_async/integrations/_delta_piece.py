"""Read one piece of a job: its sessions into the work store of an export, and from there into a stream of Arrow.

So a piece of any size takes bounded memory. The files are in a temporary folder: a piece that a run does not get to
commit is read again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
from attrs import astuple, frozen

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async._models.validation import FilterValue
from isnotai_async.errors import ConfigError, ExportError, IsNotAIError
from isnotai_async.export.batches import Batch
from isnotai_async.export.formats.parquet import TIMESTAMPS, to_tables
from isnotai_async.export.metrics import ExportMetrics
from isnotai_async.export.rejected import describe_rejected, describe_too_far, keep_holdable
from isnotai_async.export.report import SessionFailure, is_of_a_cursor
from isnotai_async.export.runner import Runner
from isnotai_async.export.source import ExportSource
from isnotai_async.export.system import System
from isnotai_async.export.thread import FileThread
from isnotai_async.export.tracker import OnExportError, SessionTracker
from isnotai_async.export.trouble import explain_disk
from isnotai_async.export.work_store import WorkStore
from isnotai_async.integrations._delta_tables import Attempt
from isnotai_async.integrations._event_request import batch_schema


@frozen(kw_only=True)
class Piece:
    """A piece that was read."""

    path: Path  # of its rows, as a stream of Arrow
    rows: int
    attempts: tuple[Attempt, ...]  # what does not go in
    troubles: Mapping[SessionRef, IsNotAIError]  # not the API's word on their session, which may be read later
    requests: int


@frozen(kw_only=True)
class PieceReader:
    """Reads pieces; its attributes are the options of `export_to_delta`."""

    source: ExportSource
    filters: Mapping[str, FilterValue]
    on_error: OnExportError
    concurrency: int
    metrics: ExportMetrics

    async def read(self, sessions: Sequence[SessionRef], folder: Path) -> Piece:
        """Read the events of a piece, which is some sessions of the job, into a Parquet file in a folder.

        Raises:
            AuthenticationError: The key was refused.
            SinkError: The folder cannot be written.
            IsNotAIError: With ``on_error="raise"``, the error of a session.
        """
        before = self.metrics.requests
        tracker = SessionTracker(
            source=self.source.of(sessions),
            filters=self.filters,
            on_error=self.on_error,
            metrics=self.metrics,
        )
        store = WorkStore(folder / "piece", System())
        # What is in a temporary folder is not safe, so the store's own explanation would be wrong.
        with FileThread(partial(explain_disk, target=store.target)) as thread:
            try:
                await thread.run(_open, store)
                await self._read(thread, store, tracker)
                left = await thread.run(_find_left, store, tracker, sessions)
                path, rows, attempts = await thread.run(_spool, store, tracker, left)
            finally:
                await thread.run(store.close)
        return Piece(
            path=path,
            rows=rows,
            attempts=attempts,
            troubles={target: error for target, error in left.items() if not is_of_a_cursor(error)},
            requests=self.metrics.requests - before,
        )

    async def _read(self, thread: FileThread, store: WorkStore, tracker: SessionTracker) -> None:
        streaming = {"concurrency": self.concurrency, "split": None, "ordered": False}
        runner = Runner(tracker=tracker, store=store, thread=thread, streaming=streaming)
        try:
            await runner.read()
        except (ConfigError, ExportError) as error:
            # The export of nothing but refused sessions is an error; a piece of them is not.
            if type(error) not in {ConfigError, ExportError} or not (tracker.failed or tracker.invalid):
                raise


def _open(store: WorkStore) -> None:
    store.open()
    store.reset({})


def _find_left(
    store: WorkStore, tracker: SessionTracker, sessions: Sequence[SessionRef]
) -> dict[SessionRef, IsNotAIError]:
    """Return the sessions that did not end, and why; if a key was refused, the rest of its region was not tried."""
    ended = {row.target for row in store.read_sessions() if row.state == "done"}
    ended |= tracker.failed.keys() | tracker.invalid.keys()
    untried = ExportError("the session was not read")
    return {
        target: tracker.failures.get(target) or tracker.refusals.get(target.name) or untried
        for target in sessions
        if target not in ended
    }


def _spool(
    store: WorkStore, tracker: SessionTracker, left: Mapping[SessionRef, IsNotAIError]
) -> tuple[Path, int, tuple[Attempt, ...]]:
    """Write the rows of the sessions that were read to their end; return the file, their number, and what is left."""
    path, schema, rows = store.target.with_name("rows.arrow"), batch_schema(), 0
    done = {row.target: row.rows for row in store.read_sessions() if row.state == "done"}
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for table in to_tables(keep_holdable(_read_batches(store, done), TIMESTAMPS)):
            stream.write_table(table.cast(schema))
            rows += table.num_rows
    unfinished = [SessionFailure.describe(*target, error) for target, error in left.items()]
    failed = [*tracker.failed.values(), *tracker.invalid.values()]
    rejected = chain(
        (describe_rejected(*row.target, record) for row, record in store.read_rejected() if row.target in done),
        describe_too_far(_read_batches(store, done), TIMESTAMPS) if rows < sum(done.values()) else (),
    )
    attempts = (
        *(Attempt("unfinished", *astuple(each)) for each in unfinished),
        *(Attempt("failed", *astuple(each)) for each in failed),
        *(Attempt("rejected", each["region"], each["session_id"], "", json.dumps(each)) for each in rejected),
    )
    return path, rows, attempts


def _read_batches(store: WorkStore, done: Collection[SessionRef]) -> Iterator[Batch]:
    names = dict.fromkeys(row.source for row in store.read_sessions())
    return (batch for batch in store.read_batches(names) if SessionRef(batch.region, batch.session_id) in done)
