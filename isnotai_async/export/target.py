"""`ExportTarget`: the file or folder that an export makes; it is written under another name, and then renamed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from isnotai_async.errors import SinkError
from isnotai_async.export.batches import Batch
from isnotai_async.export.formats import Format
from isnotai_async.export.places import replaced_of, shown, unnamed_of
from isnotai_async.export.rejected import keep_holdable
from isnotai_async.export.report import ExportReport
from isnotai_async.export.system import System
from isnotai_async.export.thread import pause_between
from isnotai_async.export.work_rows import Receipt

IfExists = Literal["fail", "skip", "replace"]

_CHUNK: Final = 1 << 20  # bytes that are read at once
_PART: Final = re.compile(r"part-\d+\.parquet")


class RowCount:
    """Counts the rows of the batches that were written; a batch for which there is no room does not count."""

    def __init__(self) -> None:
        self.rows = 0

    def count(self, batches: Iterable[Batch]) -> Generator[Batch, None, None]:
        """Return the batches."""
        for batch in batches:
            yield batch
            self.rows += batch.rows


@frozen(eq=False, repr=False)
class ExportTarget:
    """A file or folder of one format."""

    path: Path
    format: Format
    system: System

    def check(self, if_exists: IfExists, found: str = "") -> ExportReport | None:
        """Check that it can be written; return a report if it exists and is to be left alone.

        `found` says why it is not what this export would write, if it is the export's own.

        Raises:
            SinkError: It cannot.
        """
        there = self.system.inspect(self.path)
        if there is None:
            return None
        if if_exists == "skip":
            return ExportReport(path=self.path, format=self.format.name, is_skipped=True)
        name, is_folder = shown(self.path), there.kind == "folder"
        if is_folder != self.format.is_folder and not (found and if_exists == "fail"):
            kind, wanted = ("a folder", "a file") if is_folder else ("no folder", "a folder")
            raise SinkError(f"{name} is {kind}; name {wanted} to write into")
        if if_exists == "fail":
            raise SinkError(
                f"{name} {found or 'exists'}; choose another name, or replace it with "
                'if_exists="replace" (--if-exists replace)'
            )
        if there.kind == "other":
            raise SinkError(f"{name} is no regular file; name one to write into")
        if self.format.is_folder:
            self._check_parts()
        return None

    def _check_parts(self) -> None:
        """Check that the folder has only the parts of an export, because replacing it removes all that is in it."""
        others = sorted(path.name for path in self.path.iterdir() if not _PART.fullmatch(path.name))
        if others:
            raise SinkError(
                f"{shown(self.path)} has more in it than the parts of an export ({others[0]!r}), so it is not "
                "replaced; choose another name"
            )

    def write(self, batches: Iterable[Batch], written: RowCount) -> None:
        """Write it under its other name, without the rows that its format cannot hold."""
        unnamed = unnamed_of(self.path)
        self.system.remove(unnamed)
        holdable = keep_holdable(pause_between(batches), self.format.timestamps)
        self.format.write(written.count(holdable), unnamed, self.system)

    def drop(self) -> None:
        """Remove what was written under its other name."""
        self.system.remove(unnamed_of(self.path))

    def name(self, *, replace: bool) -> None:
        """Give it its name when it is finished, and make that durable.

        Raises:
            SinkError: Something has come to have its name, and is not to be replaced. Or the folder of its name has
                more in it than an export.
        """
        try:
            self._rename(replace=replace)
        except FileExistsError:
            raise SinkError(
                f"{shown(self.path)} has come to exist during the export; it was left alone. All rows are safe: move "
                'that file away, or pass if_exists="replace" (--if-exists replace), and run the same again'
            ) from None

    def _rename(self, *, replace: bool) -> None:
        system, unnamed, old = self.system, unnamed_of(self.path), replaced_of(self.path)
        if replace and not self.format.is_folder:
            system.replace(unnamed, self.path)
        elif replace and system.inspect(self.path) is not None:
            self._check_parts()
            system.replace(self.path, old)
            system.rename_new(unnamed, self.path)
            system.sync_folder(self.path.parent)
            system.remove(old)
        else:
            system.rename_new(unnamed, self.path)
        system.sync_folder(self.path.parent)

    def recover(self, publishing: Receipt | None) -> None:
        """Finish or undo the replacing of a folder that was interrupted."""
        old = replaced_of(self.path)
        if self.system.inspect(old) is None:
            return
        if self.system.inspect(self.path) is None:
            self.system.replace(old, self.path)
            return
        if publishing is None or not self.is_of(publishing):
            raise SinkError(
                f"{shown(old)} is the folder that was to be replaced; move it away, and run the same again"
            )
        self.system.remove(old)

    def is_of(self, receipt: Receipt) -> bool:
        """Return whether what is there is what a receipt describes."""
        found = self.system.inspect(self.path)
        if found is None or found.kind == "other" or measure_size(self.path) != receipt["size"]:
            return False
        return measure(self.path) == (receipt["size"], receipt["digest"])


def measure_size(path: Path) -> int:
    """Return the bytes in a file, or in all files of a folder; 0 if there is none."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def measure(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file; of a folder those of all its files, names included."""
    size, digest = 0, hashlib.sha256()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part != path:
            name = str(part.relative_to(path)).encode(errors="surrogateescape")
            digest.update(b"%d:%b" % (len(name), name))
        if part.is_file():
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    size += len(chunk)
                    digest.update(chunk)
    return size, digest.hexdigest()
