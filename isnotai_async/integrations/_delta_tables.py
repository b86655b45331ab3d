"""The Delta tables of a job: the events, its plans, and what did not go in.

``TABLE`` has the rows; ``TABLE/_isnotai/JOB`` has a table each for the plans, `attempts` and `runs`. Readers and
VACUUM leave names alone that start with an underscore. Everything here blocks; it is called in one thread, and what
goes wrong in the store comes out as deltalake has it.

What it rests on: a Delta store lets one of several writers make the next file of the log, so one plan wins; and a
commit that names an application transaction fails if that transaction has moved since the table object was opened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]
from attrs import asdict, define, field, fields_dict, frozen
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.errors import ConfigError, StoreError, quoted
from isnotai_async.integrations._delta_faults import explain_store
from isnotai_async.integrations._event_request import batch_schema

FAULTS: Final = (DeltaError, OSError)
"""What deltalake raises if a store cannot be used, or another writer was first."""

_RETENTION: Final = "delta.setTransactionRetentionDuration"
_UNSAFE: Final = ("aws_s3_allow_unsafe_rename", "mount_allow_unsafe_rename", "allow_unsafe_rename")
_APPENDS: Final = 3  # two runs may create a table at once


@frozen
class Attempt:
    """What did not go in with a piece."""

    kind: str  # "failed" for good, "unfinished", "interrupted" by an outage; "rejected" for a record
    region: str
    session_id: str
    error: str  # name of the error's class; empty for a record
    message: str  # what was wrong; of a record, JSON with it and the reason

    @property
    def target(self) -> SessionRef:
        """The session, with its region."""
        return SessionRef(self.region, self.session_id)


_ATTEMPT: Final = tuple(fields_dict(Attempt))
_ATTEMPTS: Final = pa.schema(
    {"slot": pa.int32(), "version": pa.int32(), **dict.fromkeys(("run", *_ATTEMPT), pa.string())}
)


@define
class JobTables:
    """The tables of a job."""

    table: str  # folder or URL of the events
    job: str
    options: Mapping[str, str]  # `storage_options` of deltalake
    _was_open: bool = field(default=False, init=False)

    def open(self) -> None:
        """Create the table of events if it is not there, and check it.

        Raises:
            ConfigError: The options allow unsafe commits.
            StoreError: It has other columns, or forgets transactions.
        """
        given = {name.lower(): value for name, value in {**os.environ, **self.options}.items()}
        if unsafe := [name for name in _UNSAFE if given.get(name, "").lower() in {"true", "1"}]:
            raise ConfigError(
                f"{unsafe[0]} lets two writers make the same commit, and rows would be lost; leave it out, and give "
                "the store a conditional put, such as aws_conditional_put=etag"
            )
        try:
            DeltaTable.create(self.table, batch_schema(), mode="ignore", storage_options=dict(self.options))
        except FAULTS as error:
            try:
                self.fresh()  # another run may have created it
            except FAULTS:
                raise error from None
        self._check(self.fresh())
        self._was_open = True

    def explain(self, error: BaseException) -> BaseException:
        """Return what to raise for an error: of the store, a `SinkError` in words."""
        if not isinstance(error, (*FAULTS, ValueError)):
            return error
        return explain_store(error, self.table, was_open=self._was_open)

    def fresh(self) -> DeltaTable:
        """Open the table of events as it is now."""
        return DeltaTable(self.table, storage_options=dict(self.options))

    def _check(self, found: DeltaTable) -> None:
        theirs, ours = _columns(pa.schema(found.schema())), _columns(batch_schema())
        names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        if names:
            others = {name: theirs.get(name, "missing") for name in names}
            raise StoreError(
                f"the table {quoted(self.table)} does not have the columns of an export: {quoted(others)}; choose "
                "another one"
            )
        if _RETENTION in found.metadata().configuration:
            raise StoreError(
                f"the table {quoted(self.table)} has {_RETENTION} set: it forgets which pieces are in. Unset it, or "
                "choose another one"
            )

    def is_planned(self) -> bool:
        """Return whether the job was ever planned, whatever became of its plan."""
        return self.version(self.job) > 0

    def note_planned(self) -> None:
        """Let the table of events know that the job is planned, before the first piece."""
        if self.is_planned():
            return
        properties = CommitProperties(app_transactions=[Transaction(self.job, 1)])
        try:
            write_deltalake(self.fresh(), batch_schema().empty_table(), mode="append", commit_properties=properties)
        except FAULTS:
            if not self.is_planned():
                raise

    def write_plan(
        self, name: str, plan: pa.Table, identity: Mapping[str, Any]
    ) -> tuple[pa.Table, dict[str, Any]] | None:
        """Write a plan unless there is one, and return the one that is there: the first one wins."""
        try:
            self._write_plan(name, plan, identity)
        except FAULTS:
            if self.read_plan(name) is None:
                raise
        return self.read_plan(name)

    def check_store(self, name: str, plan: pa.Table) -> None:
        """Check that a second plan cannot be written.

        Raises:
            StoreError: It was written: the store lets writers replace each other's commits.
        """
        try:
            self._write_plan(name, plan, {})
        except FAULTS:
            return
        raise StoreError(f"{quoted(self.table)} lets two writers make the same plan; choose another store")

    def _write_plan(self, name: str, plan: pa.Table, identity: Mapping[str, Any]) -> None:
        write_deltalake(
            self._place(name),
            plan,
            mode="error",
            description=json.dumps(identity, sort_keys=True),
            storage_options=dict(self.options),
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    def read_plan(self, name: str) -> tuple[pa.Table, dict[str, Any]] | None:
        """Return a plan and the identity of its job, or None."""
        found = self.find(name)
        return None if found is None else (found.to_pyarrow_table(), json.loads(found.metadata().description))

    def write_piece(self, rows: Path, transaction: str, version: int, also: str | None) -> bool:
        """Commit a piece, unless another run has.

        Args:
            rows: Its rows, as a stream of Arrow.
            transaction: The application transaction of its slot.
            version: The version of that transaction before this commit.
            also: A second transaction of the same commit, which marks an attempt as counted; None for none.

        Returns:
            Whether it was committed; False if another run was first.

        Raises:
            StoreError: The table was changed, so that it does not fit any more.
        """
        table = self.fresh()  # read and written on one object: a second one would not see a piece that came between
        if (table.transaction_version(transaction) or 0) != version:
            return False
        self._check(table)
        transactions = [Transaction(transaction, version + 1)]
        if also is not None:
            transactions.append(Transaction(also, 1))
        properties = CommitProperties(app_transactions=transactions)
        try:
            with pa.OSFile(str(rows)) as file, pa.ipc.open_stream(file) as reader:
                write_deltalake(table, reader, mode="append", commit_properties=properties)
        except FAULTS:
            if self.version(transaction) == version:
                raise
            return False
        return True

    def version(self, transaction: str) -> int:
        """Return how many pieces of a slot are in."""
        return self.fresh().transaction_version(transaction) or 0

    def write_attempts(self, slot: int, version: int, run: str, attempts: Sequence[Attempt]) -> None:
        """Write what did not go in with a piece, before its commit."""
        rows = [{"slot": slot, "version": version, "run": run, **asdict(each)} for each in attempts]
        self.append("attempts", pa.Table.from_pylist(rows, schema=_ATTEMPTS))

    def read_attempts(self, prefix: str) -> list[Attempt]:
        """Return what did not go in with the pieces of a round; attempts of runs that lost do not count."""
        found = self.find("attempts")
        if found is None:
            return []
        rows, table = found.to_pyarrow_table().to_pylist(), self.fresh()
        names = {f"{prefix}/slot-{row['slot']}/{row['run']}" for row in rows}
        counted = {name for name in names if table.transaction_version(name) is not None}
        return [
            Attempt(**{name: row[name] for name in _ATTEMPT})
            for row in rows
            if f"{prefix}/slot-{row['slot']}/{row['run']}" in counted
        ]

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows to a table of the job, which is created if it is not there."""
        for attempt in range(_APPENDS):
            try:
                write_deltalake(self._place(name), rows, mode="append", storage_options=dict(self.options))
            except FAULTS:
                if attempt == _APPENDS - 1:
                    raise
            else:
                return

    def find(self, name: str) -> DeltaTable | None:
        """Return a table of the job, or None if it is not there.

        `DeltaTable.is_deltatable` would keep the interpreter's lock while it waits for the store (deltalake 1.6): the
        event loop would stand still.
        """
        try:
            return DeltaTable(self._place(name), storage_options=dict(self.options))
        except TableNotFoundError:
            return None

    def _place(self, name: str) -> str:
        return f"{self.table.rstrip('/')}/_isnotai/{self.job}/{name}"


def _columns(found: pa.Schema) -> dict[str, str]:
    return {field.name: str(field.type).replace("_view", "").replace("large_", "") for field in found}
