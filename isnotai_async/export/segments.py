"""Segments: finished files of rows in a folder, none of which is ever written to again.

Beside a target ``NAME`` the folder is ``NAME.segments``. In it are::

    part-000000.parquet    a segment; it has its name when it is whole and durable
    segments.jsonl         what each segment has to be: rows, size and sha256, a line each
    spool-000001.jsonl     the rows behind the last segment
    _manifest.json         of a folder that is published: the same as segments.jsonl, and the schema's version

The name of the manifest begins with a ``_``, because readers of a folder as one table (pyarrow, Spark) pass over such
names, and would take any other for a part of the table.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from isnotai_async.errors import CheckpointError, SinkError
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import beside, shown
from isnotai_async.export.rows import SCHEMA_VERSION
from isnotai_async.export.spool import AGAIN, Spool

MANIFEST: Final = "_manifest.json"
_LOG: Final = "segments.jsonl"
_PUBLISHED: Final = re.compile(rf"part-[0-9]{{6,}}\.parquet|{re.escape(MANIFEST)}")
_OURS: Final = re.compile(rf"{_PUBLISHED.pattern}|part-[0-9]{{6,}}\.parquet\.tmp|spool-[0-9]{{6,}}\.jsonl|{_LOG}")


@frozen
class Segment:
    """What a segment has to be.

    Attributes:
        file: Its name in the folder.
        rows: Rows in it.
        size: Bytes in it.
        sha256: Of its bytes, in hexadecimal.
        first_event_id: Event id of its first row; None where it has no rows.
        last_event_id: Event id of its last row, likewise.
    """

    file: str
    rows: int
    size: int
    sha256: str
    first_event_id: str | None
    last_event_id: str | None


class SegmentFolder:
    """The folder of segments under construction.

    Args:
        files: The disk.
        path: The folder.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self.segments: list[Segment] = []
        self._files = files
        self._log = Spool(files, path / _LOG)

    def create(self) -> None:
        """Make the folder."""
        self._files.make_folder(self.path)
        self._log.create()

    def spool(self, number: int) -> Spool:
        """Return the spool of this number; it is neither made nor opened yet."""
        return Spool(self._files, self.path / f"spool-{number:06}.jsonl")

    def add(self, data: bytes, *, rows: int, first: str | None, last: str | None) -> None:
        """Add a segment. It is durable at once, but for its name, which the next `sync` makes so."""
        name = f"part-{len(self.segments):06}.parquet"
        # The hash is of what was meant, and not of what the disk made of it.
        segment = Segment(name, rows, len(data), sha256(data).hexdigest(), first, last)
        unfinished = self.path / f"{name}.tmp"
        write_file(self._files, unfinished, data)
        self._files.replace(unfinished, self.path / name)
        self._log.append(json.dumps(asdict(segment)).encode() + b"\n")
        self.segments.append(segment)

    def read(self, segment: Segment) -> bytes:
        """Read a segment.

        Raises:
            CheckpointError: It is gone, or is not what it was.
        """
        path = self.path / segment.file
        data = read_file(self._files, path)
        if data is None:
            raise CheckpointError(f"{shown(path)} is gone, which had {segment.rows:,} of the rows; {AGAIN}")
        if len(data) != segment.size or sha256(data).hexdigest() != segment.sha256:
            raise CheckpointError(f"{shown(path)} is not what was written: it was altered or damaged; {AGAIN}")
        return data

    def sync(self) -> list[int]:
        """Make durable which segments there are, and all names."""
        mark = self._log.sync()
        self._files.sync_folder(self.path)
        return mark

    def recover(self, offset: int, crc: int) -> None:
        """Go back to what `sync` returned, and read every segment from then.

        They are read here, so that damage is found before hours of more work; and once more when they are put
        together, so that damage of those hours is found too.

        Raises:
            CheckpointError: Something is gone, or is not what it was.
        """
        lines = self._log.recover(offset, crc).splitlines()
        self.segments = [Segment(**json.loads(line)) for line in lines]
        for segment in self.segments:
            self.read(segment)

    def keep(self, spool: Spool) -> None:
        """Remove all but the segments and this spool."""
        wanted = {_LOG, spool.path.name, *(segment.file for segment in self.segments)}
        for name in sorted(set(self._files.names(self.path)) - wanted):
            self._files.unlink(self.path / name)

    def write_manifest(self) -> bytes:
        """Write the manifest, durably, and return it."""
        rows, parts = sum(segment.rows for segment in self.segments), [asdict(segment) for segment in self.segments]
        manifest: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "rows": rows, "segments": parts}
        data = json.dumps(manifest, indent=1).encode() + b"\n"
        write_file(self._files, self.path / MANIFEST, data)
        self._files.sync_folder(self.path)
        return data

    def strip(self) -> None:
        """Remove, durably, what is not to be published."""
        for name in self._files.names(self.path):
            if not _PUBLISHED.fullmatch(name):
                self._files.unlink(self.path / name)
        self._files.sync_folder(self.path)

    def discard(self) -> None:
        """Remove the folder with all in it. Nothing happens where there is none.

        Raises:
            SinkError: Something else has its name, or there is something else in it.
        """
        remove_segments(self._files, self.path)

    def close(self) -> None:
        """Close the files; idempotent."""
        self._log.close()


def remove_segments(files: Files, folder: Path) -> None:
    """Remove a folder of segments, durably: nobody speaks of it afterwards. Nothing happens where there is none.

    Raises:
        SinkError: It is no such folder: it is left as it is.
    """
    there = files.inspect(folder)
    if there is None:
        return
    names = files.names(folder) if there.kind == "folder" else []
    if there.kind != "folder" or not all(map(_OURS.fullmatch, names)):
        raise SinkError(f"{shown(folder)} is no folder of segments, or has other files too; move it away")
    for name in names:
        files.unlink(folder / name)
    files.remove_folder(folder)
    files.sync_folder(folder.parent)


def check_replaceable(files: Files, folder: Path) -> None:
    """Check that a folder is one that an export has made, so that it may be replaced.

    Raises:
        SinkError: It is not.
    """
    there = files.inspect(folder)
    names = files.names(folder) if there is not None and there.kind == "folder" else []
    if MANIFEST not in names or not all(map(_PUBLISHED.fullmatch, names)):
        raise SinkError(f"{shown(folder)} is not a folder that an export made, so it is not replaced; move it away")


def publish_folder(files: Files, folder: SegmentFolder, target: Path, *, manifest: str, force: bool) -> None:
    """Give a finished folder its name, by one rename and durably; where that was begun before, go on from there.

    Args:
        files: The disk.
        folder: The folder, all of which is durable.
        target: Its name to be.
        manifest: The sha256 of its manifest, in hexadecimal.
        force: Replace a folder of that name, if an export has made it.

    Raises:
        SinkError: Something else has the name.
        CheckpointError: The folder is gone.
    """
    replaced = beside(target, ".replaced")
    if files.inspect(folder.path) is not None:
        if files.inspect(target) is not None:
            _set_aside(files, target, replaced, force=force)
        folder.strip()
        files.replace(folder.path, target)
    elif sha256(read_file(files, target / MANIFEST) or b"").hexdigest() != manifest:
        raise CheckpointError(
            f"{shown(folder.path)} is gone, and {shown(target)} is not the folder that was finished; {AGAIN}"
        )
    files.sync_folder(target.parent)
    remove_segments(files, replaced)


def _set_aside(files: Files, target: Path, replaced: Path, *, force: bool) -> None:
    """Put the folder that has the name under another one, so that it can be removed when the new one is in place."""
    if not force:
        raise SinkError(
            f"{shown(target)} has come to exist during the export; it was left alone. The export is complete: move "
            "it away, or say force=True (--force), and run the same again"
        )
    check_replaceable(files, target)
    remove_segments(files, replaced)
    files.replace(target, replaced)


def write_file(files: Files, path: Path, data: bytes) -> None:
    """Write a file, durably but for its name."""
    descriptor = files.open(path, create=True)
    try:
        files.truncate(descriptor, 0)
        files.write(descriptor, 0, data)
        files.sync(descriptor)
    finally:
        files.close(descriptor)


def read_file(files: Files, path: Path) -> bytes | None:
    """Read a file; None where there is none."""
    try:
        descriptor = files.open(path)
    except FileNotFoundError:
        return None
    try:
        return files.read(descriptor, 0, files.size(descriptor))
    finally:
        files.close(descriptor)
