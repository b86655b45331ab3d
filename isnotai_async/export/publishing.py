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

import hashlib
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from isnotai_async.errors import SinkError, StoreError
from isnotai_async.export.formats import Format
from isnotai_async.export.places import replaced_of, shown, unnamed_of
from isnotai_async.export.rejected import RowCount, keep_holdable, read_rejected, write_rejected
from isnotai_async.export.report import ExportReport, report_to_json
from isnotai_async.export.system import System
from isnotai_async.export.thread import pause_between
from isnotai_async.export.trouble import DISK_ERRORS, explain_rows
from isnotai_async.export.work_rows import Receipt
from isnotai_async.export.work_store import WorkStore

_CHUNK: Final = 1 << 20  # bytes that are read at once
_PART: Final = re.compile(r"part-\d+\.parquet")


@frozen
class Publisher:
    """Writes one target to a temporary file and renames it."""

    store: WorkStore  # it is open
    format: Format
    sources: tuple[str, ...]  # names of the sources of sessions, in the order of the target

    def publish(
        self, report: ExportReport, *, sessions: Mapping[str, Any], replace: bool, keep_pages: bool
    ) -> ExportReport:
        """Write the target, name it, and commit the receipt.

        Raises:
            SinkError: The target cannot be written, or something has come to have its name.
            StoreError: The store is damaged, or was removed.
        """
        unnamed, written = unnamed_of(self.store.target), RowCount()
        try:
            self.store.system.remove(unnamed)
            # Closed, because a statement that is still open keeps the lock although the store is closed.
            with closing(self.store.read_batches(self.sources)) as batches:
                holdable = keep_holdable(batches, self.format.timestamps)
                self.format.write(written.count(pause_between(holdable)), unnamed, self.store.system)
            totals = self.store.read_totals()
            if written.rows > totals.rows or (self.format.timestamps is None and written.rows != totals.rows):
                raise StoreError(f"{shown(self.store.target)} would have {written.rows:,} rows, not {totals.rows:,}")
            rejected = totals.rejected + totals.rows - written.rows
            if rejected:
                timestamps = self.format.timestamps if totals.rows != written.rows else None
                write_rejected(
                    read_rejected(self.store, self.sources, timestamps), self.store.target, self.store.system
                )
            size, digest = measure_target(unnamed)
            report = evolve(report, rows=written.rows, rejected=rejected, size=size, is_complete=True)
            receipt = Receipt(
                size=size,
                digest=digest,
                format=self.format.described,
                sessions=dict(sessions),
                report=report_to_json(report),
            )
            self.store.write_fact("publishing", receipt)
            self._name(replace=replace)
            self.finish(receipt, keep_pages=keep_pages)
        except DISK_ERRORS as error:
            raise self._explain(error, unnamed, written.rows) from None
        return report

    def _name(self, *, replace: bool) -> None:
        self.store.check_place()
        name_target(self.store.target, self.store.system, is_folder=self.format.is_folder, replace=replace)

    def finish(self, receipt: Receipt, *, keep_pages: bool) -> None:
        """Commit the receipt of a target that has its name, and give back the room that the pages took."""
        # If it was to be linked, and the process died before the unlink.
        self.store.system.remove(unnamed_of(self.store.target))
        self.store.write_fact("receipt", receipt)
        if not keep_pages:
            # The receipt is committed: if this fails, the store is only larger than it need be.
            with suppress(OSError, sqlite3.Error, SinkError, StoreError):
                self.store.shrink(receipt)

    def _explain(self, error: OSError | sqlite3.Error, unnamed: Path, written: int) -> SinkError:
        total = needed = 0
        with suppress(StoreError):
            total = self.store.read_totals().rows
        with suppress(OSError):
            size = measure_size(unnamed)
            needed = size * total // written if written else 0
            self.store.system.remove(unnamed)  # first, so that what it took counts as free
        return explain_rows(error, self.store, rows=total, needed=needed)


def name_target(target: Path, system: System, *, is_folder: bool, replace: bool) -> None:
    """Give a finished target its name, and make that durable.

    Raises:
        SinkError: Something has come to have its name, and is not to be replaced. Or the folder of its name has more
            in it than an export.
    """
    try:
        _rename(target, system, is_folder=is_folder, replace=replace)
    except FileExistsError:
        raise SinkError(
            f"{shown(target)} has come to exist during the export; it was left alone. All rows are safe: move that "
            'file away, or pass if_exists="replace" (--if-exists replace), and run the same again'
        ) from None


def _rename(target: Path, system: System, *, is_folder: bool, replace: bool) -> None:
    unnamed, old = unnamed_of(target), replaced_of(target)
    if replace and not is_folder:
        system.replace(unnamed, target)
    elif replace and system.inspect(target) is not None:
        check_replaceable(target, system)
        system.replace(target, old)
        system.rename_new(unnamed, target)
        system.sync_folder(target.parent)
        system.remove(old)
    else:
        system.rename_new(unnamed, target)
    system.sync_folder(target.parent)


def measure_size(path: Path) -> int:
    """Return the bytes in a file, or in all files of a folder; 0 if there is none."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def measure_target(target: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file; of a folder those of all its files, names included."""
    size, digest = 0, hashlib.sha256()
    for path in sorted(target.rglob("*")) if target.is_dir() else [target]:
        if path != target:
            name = str(path.relative_to(target)).encode(errors="surrogateescape")
            digest.update(b"%d:%b" % (len(name), name))
        if path.is_file():
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    size += len(chunk)
                    digest.update(chunk)
    return size, digest.hexdigest()


def check_replaceable(folder: Path, system: System) -> None:
    """Check that a folder has nothing but the parts of an export, because replacing it removes all that is in it.

    Raises:
        SinkError: It has more.
    """
    found = system.inspect(folder)
    others = [] if found is None else sorted(path.name for path in folder.iterdir() if not _PART.fullmatch(path.name))
    if others:
        raise SinkError(
            f"{shown(folder)} has more in it than the parts of an export ({others[0]!r}), so it is not replaced; "
            "choose another name"
        )
