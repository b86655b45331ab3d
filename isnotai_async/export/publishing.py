"""Publishing: the target is written from the store, and gets its name in one step.

The order, on which all depends:

1. The target is written under a name of its own, checked against the store's totals, and made durable. A process that
   dies before step 3 leaves nothing that another one would use: the next one writes it again.
2. Size and digest of it are committed to the store (`publishing`).
3. It gets its name, without replacing anything unless that is wanted, and the folder is synced. A folder that is
   replaced gets another name first.
4. The receipt is committed. If the process dies between 3 and 4, the next one knows the target by size and digest.
5. The store shrinks to the receipt, unless sessions have failed: the same command tries those again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

from attrs import evolve, frozen

from isnotai_async.errors import SinkError, StoreError
from isnotai_async.export.places import shown, unnamed_of
from isnotai_async.export.rejected import read_rejected, write_rejected
from isnotai_async.export.report import ExportReport, report_to_json
from isnotai_async.export.target import ExportTarget, RowCount, measure, measure_size
from isnotai_async.export.trouble import DISK_ERRORS
from isnotai_async.export.work_rows import Receipt
from isnotai_async.export.work_store import WorkStore


@frozen(eq=False, repr=False)
class Publisher:
    """Makes a target from the store of an export."""

    store: WorkStore  # it is open
    target: ExportTarget
    sources: tuple[str, ...]  # names of the sources of sessions, in the order of the target

    def publish(
        self, report: ExportReport, *, sessions: Mapping[str, Any], replace: bool, keep_pages: bool
    ) -> ExportReport:
        """Write the target, name it, and commit the receipt.

        Raises:
            SinkError: The target cannot be written, or something has come to have its name.
            StoreError: The store is damaged, or was removed.
        """
        target, written = self.target, RowCount()
        try:
            # Closed, because a statement that is still open keeps the lock although the store is closed.
            with closing(self.store.read_batches(self.sources)) as batches:
                target.write(batches, written)
            totals, timestamps = self.store.read_totals(), target.format.timestamps
            if written.rows > totals.rows or (timestamps is None and written.rows != totals.rows):
                raise StoreError(f"{shown(target.path)} would have {written.rows:,} rows, not {totals.rows:,}")
            rejected = totals.rejected + totals.rows - written.rows
            if rejected:
                too_far = timestamps if totals.rows != written.rows else None
                write_rejected(read_rejected(self.store, self.sources, too_far), target.path, target.system)
            size, digest = measure(unnamed_of(target.path))
            report = evolve(report, rows=written.rows, rejected=rejected, size=size, is_complete=True)
            receipt = Receipt(
                size=size,
                digest=digest,
                format=target.format.described,
                sessions=dict(sessions),
                report=report_to_json(report),
            )
            self.store.write_fact("publishing", receipt)
            self._name(replace=replace)
            self.finish(receipt, keep_pages=keep_pages)
        except DISK_ERRORS as error:
            raise self._explain(error, written.rows) from None
        return report

    def _name(self, *, replace: bool) -> None:
        self.store.check_place()
        self.target.name(replace=replace)

    def finish(self, receipt: Receipt, *, keep_pages: bool) -> None:
        """Commit the receipt of a target that has its name, and give back the room that the pages took."""
        self.target.drop()  # if it was to be linked, and the process died before the unlink
        self.store.write_fact("receipt", receipt)
        if not keep_pages:
            # The receipt is committed: if this fails, the store is only larger than it need be.
            with suppress(OSError, sqlite3.Error, SinkError, StoreError):
                self.store.shrink(receipt)

    def _explain(self, error: Exception, written: int) -> BaseException:
        needed = 0
        with suppress(OSError):
            size = measure_size(unnamed_of(self.target.path))
            needed = size * self.store.committed.rows // written if written else 0
            self.target.drop()  # first, so that what it took counts as free
        return self.store.explain(error, needed=needed)
