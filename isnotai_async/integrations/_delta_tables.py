"""The Delta tables of a job: the events, the plan, what did not go in, and the runs.

``TABLE`` has the rows; ``TABLE/_isnotai/JOB`` has a table each for `plan`, `attempts` and `runs`. Readers and VACUUM
leave names alone that start with an underscore. Everything here blocks; it is called in one thread.

What it rests on: a Delta store lets one of several writers make the next file of the log, so one plan wins; and a
commit that names an application transaction fails if that transaction has moved since the table object was opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import ConfigError, SinkError, StoreError, quoted

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]
    from deltalake import DeltaTable

RUN_SECONDS: Final = 600.0
"""For how long after its last sign of life a run counts as running."""

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_MOST_WORDS: Final = 200
_RETENTION: Final = "delta.setTransactionRetentionDuration"
_UNSAFE: Final = ("aws_s3_allow_unsafe_rename", "mount_allow_unsafe_rename", "allow_unsafe_rename")


@frozen
class Attempt:
    """What did not go in with a piece.

    Attributes:
        kind: Of a session ``"failed"`` for good, ``"refused"`` for its cursor, or ``"unfinished"`` for other trouble;
            ``"rejected"`` for a record that could not be read.
        region: Name of the region.
        session_id: The session.
        error: Name of the error's class; empty for a record.
        message: What was wrong; of a record, JSON with it and the reason.
    """

    kind: str
    region: str
    session_id: str
    error: str
    message: str

    @property
    def target(self) -> SessionRef:
        """The session, with its region."""
        return SessionRef(self.region, self.session_id)


def explain_store(error: Exception, place: str) -> SinkError:
    """Return what to raise for an error of the store: the first words of deltalake, which may go on for pages."""
    text = " ".join(_ANSI.sub("", str(error)).split())
    words = text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}…"
    return SinkError(
        f"cannot use the Delta table {quoted(place)}: {words}. Check the folder or URL, and the store's access "
        "(storage_options, or AWS_… in the environment)"
    )


def event_schema() -> pa.Schema:
    """Return the schema of the rows: the columns of an export, with the microseconds that Delta has."""
    import pyarrow as pa

    from isnotai_async.export.formats.parquet import schema

    fields = schema()
    index = fields.get_field_index("timestamp")
    column = pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False)
    return fields.set(index, column).remove_metadata()


@frozen
class JobTables:
    """The tables of a job.

    Attributes:
        table: Folder or URL of the events.
        job: Name of the job.
        options: How to reach the store, as `storage_options` of deltalake.
    """

    table: str
    job: str
    options: Mapping[str, str]

    def open(self) -> None:
        """Create the table of events if it is not there, and check it.

        Raises:
            ConfigError: The options allow unsafe commits.
            StoreError: It has other columns, or forgets transactions.
            SinkError: It cannot be reached or created.
        """
        given = {name.lower(): value for name, value in {**os.environ, **self.options}.items()}
        if unsafe := [name for name in _UNSAFE if given.get(name, "").lower() in {"true", "1"}]:
            raise ConfigError(
                f"{unsafe[0]} lets two writers make the same commit, and rows would be lost; leave it out, and give "
                "the store a conditional put, such as aws_conditional_put=etag"
            )
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            DeltaTable.create(self.table, event_schema(), mode="ignore", storage_options=dict(self.options))
        except (DeltaError, OSError) as error:
            if not DeltaTable.is_deltatable(self.table, dict(self.options)):  # another run may have created it
                raise explain_store(error, self.table) from None
        found = self.fresh()
        names = [column.name for column in found.schema().fields]
        if names != event_schema().names:
            raise StoreError(f"the table {quoted(self.table)} has the columns {quoted(names)}; choose another one")
        if _RETENTION in found.metadata().configuration:
            raise StoreError(
                f"the table {quoted(self.table)} has {_RETENTION} set: it forgets which pieces are in. Unset it, or "
                "choose another one"
            )

    def fresh(self) -> DeltaTable:
        """Open the table of events as it is now."""
        from deltalake import DeltaTable

        return DeltaTable(self.table, storage_options=dict(self.options))

    def write_plan(self, name: str, plan: pa.Table, identity: Mapping[str, Any]) -> None:
        """Write a plan unless there is one: the first one wins."""
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import DeltaError

        try:
            write_deltalake(
                self._place(name),
                plan,
                mode="error",
                description=json.dumps(identity, sort_keys=True),
                storage_options=dict(self.options),
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except (DeltaError, OSError):
            if self.read_plan(name) is None:
                raise

    def check_store(self, name: str, plan: pa.Table) -> None:
        """Check that a second plan cannot be written.

        Raises:
            StoreError: It was written: the store lets writers replace each other's commits.
        """
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import DeltaError

        retries, options = CommitProperties(max_commit_retries=0), dict(self.options)
        try:
            write_deltalake(self._place(name), plan, mode="error", storage_options=options, commit_properties=retries)
        except (DeltaError, OSError):
            return
        raise StoreError(f"{quoted(self.table)} lets two writers make the same plan; choose another store")

    def read_plan(self, name: str) -> tuple[pa.Table, dict[str, Any]] | None:
        """Return a plan and the identity of its job, or None."""
        found = self._find(self._place(name))
        return None if found is None else (_read(found), json.loads(found.metadata().description))

    def write_piece(self, rows: Path, transaction: str, version: int, also: str | None) -> bool:
        """Commit a piece, unless another run has.

        Args:
            rows: Its rows, as a stream of Arrow.
            transaction: The application transaction of its slot.
            version: What that has to be before.
            also: A second transaction, which says that an attempt counts.

        Returns:
            Whether it went in.

        Raises:
            SinkError: It could not be written.
        """
        import pyarrow as pa
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import DeltaError

        table = self.fresh()  # read and written on one object: a second one would not see a piece that came between
        if (table.transaction_version(transaction) or 0) != version:
            return False
        transactions = [Transaction(transaction, version + 1)]
        if also is not None:
            transactions.append(Transaction(also, 1))
        try:
            with pa.OSFile(str(rows)) as file, pa.ipc.open_stream(file) as reader:
                properties = CommitProperties(app_transactions=transactions)
                write_deltalake(table, reader, mode="append", commit_properties=properties)
        except (DeltaError, OSError) as error:
            if self.version(transaction) == version:
                raise explain_store(error, self.table) from None
            return False
        return True

    def version(self, transaction: str) -> int:
        """Return how many pieces of a slot are in."""
        return self.fresh().transaction_version(transaction) or 0

    def write_attempts(self, slot: int, version: int, run: str, attempts: Sequence[Attempt]) -> None:
        """Write what did not go in with a piece, before its commit."""
        import pyarrow as pa

        rows = [
            {"slot": slot, "version": version, "run": run, **{name: getattr(each, name) for name in _ATTEMPT}}
            for each in attempts
        ]
        self._append("attempts", pa.Table.from_pylist(rows, schema=_attempts()))

    def read_attempts(self, prefix: str) -> list[Attempt]:
        """Return what did not go in with the pieces of a round; attempts of runs that lost do not count."""
        found = self._find(self._place("attempts"))
        if found is None:
            return []
        table, counts = self.fresh(), dict[str, bool]()
        attempts = []
        for row in _read(found).to_pylist():
            name = f"{prefix}/slot-{row['slot']}/{row['run']}"
            if name not in counts:
                counts[name] = table.transaction_version(name) is not None
            if counts[name]:
                attempts.append(Attempt(**{name: row[name] for name in _ATTEMPT}))
        return attempts

    def note_run(self, run: str, host: str, *, ended: bool = False) -> None:
        """Note that a run is alive, or has ended."""
        import pyarrow as pa

        row = {"run": run, "host": host, "process": os.getpid(), "time": int(time() * 1000), "ended": ended}
        self._append("runs", pa.Table.from_pylist([row], schema=_runs()))

    def find_others(self, run: str, host: str) -> list[str]:
        """Return the runs that seem to be running now, but for this one."""
        found = self._find(self._place("runs"))
        rows = [] if found is None else _read(found).to_pylist()
        since = int((time() - RUN_SECONDS) * 1000)
        ended = {row["run"] for row in rows if row["ended"] or (row["host"] == host and _is_dead(row["process"]))}
        return sorted({row["run"] for row in rows if row["time"] >= since} - ended - {run})

    def _append(self, name: str, rows: pa.Table) -> None:
        from deltalake import write_deltalake
        from deltalake.exceptions import DeltaError

        place, options = self._place(name), dict(self.options)
        for attempt in range(3):  # two runs may create it at once
            try:
                write_deltalake(place, rows, mode="append", storage_options=options)
            except (DeltaError, OSError) as error:
                if attempt == 2:
                    raise explain_store(error, place) from None
            else:
                return

    def _place(self, name: str) -> str:
        return f"{self.table.rstrip('/')}/_isnotai/{self.job}/{name}"

    def _find(self, place: str) -> DeltaTable | None:
        from deltalake import DeltaTable

        options = dict(self.options)
        return DeltaTable(place, storage_options=options) if DeltaTable.is_deltatable(place, options) else None


_ATTEMPT: Final = ("kind", "region", "session_id", "error", "message")


def _attempts() -> pa.Schema:
    import pyarrow as pa

    numbers = [pa.field("slot", pa.int32()), pa.field("version", pa.int32()), pa.field("run", pa.string())]
    return pa.schema([*numbers, *(pa.field(name, pa.string()) for name in _ATTEMPT)])


def _runs() -> pa.Schema:
    import pyarrow as pa

    text = [pa.field("run", pa.string()), pa.field("host", pa.string())]
    return pa.schema([*text, ("process", pa.int64()), ("time", pa.int64()), ("ended", pa.bool_())])


def _read(table: DeltaTable) -> pa.Table:
    return table.to_pyarrow_table()


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
