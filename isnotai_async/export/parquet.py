"""Rows as Parquet: columns in blocks, compressed with zstd, with a checksum for each page. It needs pyarrow.

A Parquet file is of no use before its end is written, so none is ever gone on with. Rows first go into a spool, as
JSON Lines, and are committed there like text. Each time it has `SEGMENT_ROWS` rows at the end of a page, it becomes a
segment, which is a whole Parquet file, and the next spool is begun. At the end the segments become the row groups of
one file, or are published as they are, as a folder. When a spool is full depends on the rows alone and never on the
time; so the same rows in the same order are the same bytes, however often the export was interrupted (with the same
release of pyarrow).

The schema's version is in the file's metadata. A timestamp is a whole number of milliseconds, as in the API, so
there is none that Parquet cannot hold; but a reader may not be able to show one outside the years 1 to 9999.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.errors import ConfigError
from isnotai_async.export.arrow import encode_tables, find_ids, read_segment, read_table
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import beside, check_without_rows, publish_file
from isnotai_async.export.rows import encode_rows
from isnotai_async.export.segments import SegmentFolder, check_replaceable, publish_folder
from isnotai_async.export.sinks import Mark
from isnotai_async.export.spool import Spool

SEGMENT_ROWS: Final = 50_000
SEGMENT_BYTES: Final = 64 << 20  # of spool; ids have no bound of their own, and the memory has


class ParquetSink:
    """A Parquet file, or a folder of them; see `Sink` for the methods.

    Args:
        files: The disk.
        target: The file or folder to be.
        segments: Whether it is a folder.
        segment_rows: Rows after which a segment ends, at the next end of a page.

    Raises:
        ConfigError: pyarrow is not installed.
    """

    def __init__(
        self, files: Files, target: Path, *, segments: bool = False, segment_rows: int = SEGMENT_ROWS
    ) -> None:
        # Only looked for: the import takes a tenth of a second, and this runs on the event loop.
        if find_spec("pyarrow") is None:
            raise ConfigError("Parquet needs pyarrow: pip install 'isnotai-async[arrow]'")
        self.is_folder = segments
        self._files = files
        self._target = target
        self._part = beside(target, ".part")
        self._folder = SegmentFolder(files, beside(target, ".segments"))
        self._segment_rows = segment_rows
        self._spool_number = 0
        self._spool = self._folder.spool(0)
        self._spool_rows = 0
        self._full = 0  # bytes of the spools before
        self._stale: list[Spool] = []
        self._mark: Mark = {}  # that the journal has; empty while nobody knows which one that is
        self._synced: Mark = {}

    @property
    def size(self) -> int:
        """Bytes spooled so far."""
        return self._full + self._spool.size

    def check_left(self) -> None:
        """Check that there is no part, which is made at the end, no segment, and nothing in a spool."""
        folder = self._files.inspect(self._folder.path)
        names = self._files.names(self._folder.path) if folder is not None and folder.kind == "folder" else []
        for path in (self._part, *(self._folder.path / name for name in names)):
            check_without_rows(self._files, path)

    def discard(self) -> None:
        """Remove the folder and the part."""
        self._folder.discard()
        self._files.unlink(self._part)

    def begin(self) -> None:
        """Make the folder, with an empty spool."""
        self._check_target()
        self._folder.create()
        self._spool.create()

    def recover(self, mark: Mark) -> None:
        """Check segments and spool, and remove what came after them."""
        self._check_target()
        self._mark = mark
        self._stale.clear()
        self._folder.recover(*mark["segments"])
        self._set_spool(mark)
        self._spool.recover(*mark["spool"])
        self._folder.keep(self._spool)

    def _check_target(self) -> None:
        if self.is_folder and self._files.inspect(self._target) is not None:
            check_replaceable(self._files, self._target)  # now, and not when all is done

    def _set_spool(self, mark: Mark) -> None:
        self._spool_number, self._spool_rows, self._full = mark["number"], mark["rows"], mark["full"]
        self._spool = self._folder.spool(self._spool_number)

    def write(self, page: Page[Event]) -> None:
        """Spool the rows of a page; where the spool is full then, make it a segment."""
        if not page.data:
            return
        self._spool.append(encode_rows(page))
        self._spool_rows += len(page.data)
        if self._spool_rows >= self._segment_rows or self._spool.size >= SEGMENT_BYTES:
            self._add_segment()

    def _add_segment(self) -> None:
        table = read_table(self._spool.read())
        ids = table["event_id"]
        first, last = (ids[0].as_py(), ids[-1].as_py()) if len(ids) else (None, None)
        self._folder.add(b"".join(encode_tables([table])), rows=table.num_rows, first=first, last=last)
        self._full += self._spool.size
        self._spool.close()
        self._stale.append(self._spool)
        # The full one stays until the journal knows of the segment: before that, `recover` goes back to it.
        self._spool_number, self._spool_rows = self._spool_number + 1, 0
        self._spool = self._folder.spool(self._spool_number)
        self._spool.create()

    def sync(self) -> Mark:
        """Make segments and spool durable."""
        # Whether the journal has the new mark is not known before `settle`; what the last one needs stays till then.
        self._mark = {}
        self._synced = {
            "spool": self._spool.sync(),
            "segments": self._folder.sync(),
            "number": self._spool_number,
            "rows": self._spool_rows,
            "full": self._full,
        }
        return self._synced

    def settle(self) -> None:
        """Remove the spools that have become segments."""
        self._mark = self._synced
        for spool in self._stale:
            self._files.unlink(spool.path)
        self._stale.clear()

    def rollback(self) -> None:
        """Remove what came after the last mark."""
        if not self._mark:
            return
        self._files.unlink(self._part)  # the segments it is put together from are safe
        self._spool.close()
        self._folder.close()
        self.recover(self._mark)

    def written_ids(self, name: str, session_id: str) -> set[str]:
        """Look through segments and spool for the event ids of a session."""
        segments = (read_segment(self._folder.read(segment)) for segment in self._folder.segments)
        found = find_ids(read_table(self._spool.read()), name, session_id)
        return found.union(*(find_ids(table, name, session_id) for table in segments))

    def finish(self) -> Mark:
        """Make the last segment; then put all of them together, or write the manifest."""
        if self._spool_rows or not self._folder.segments:
            self._add_segment()
        if self.is_folder:
            size = sum(len(self._folder.read(segment)) for segment in self._folder.segments)
            manifest = self._folder.write_manifest()
            return {"size": size + len(manifest), "manifest": sha256(manifest).hexdigest()}
        size = self._merge()
        self._files.sync_folder(self._target.parent)
        return {"size": size}

    def _merge(self) -> int:
        """Write the segments into the part, a row group each, and return its size."""
        descriptor = self._files.open(self._part, create=True)
        try:
            self._files.truncate(descriptor, 0)
            size = 0
            tables = (read_segment(self._folder.read(segment)) for segment in self._folder.segments)
            for data in encode_tables(tables):
                self._files.write(descriptor, size, data)
                size += len(data)
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)
        return size

    def publish(self, mark: Mark, *, force: bool) -> None:
        """Give the part or the folder the target's name."""
        if self.is_folder:
            publish_folder(self._files, self._folder, self._target, manifest=mark["manifest"], force=force)
        else:
            publish_file(self._files, self._part, self._target, size=mark["size"], force=force)

    def clean(self) -> None:
        """Remove the segments, where they have become a file."""
        self._folder.discard()

    def close(self) -> None:
        """Close the files."""
        self._spool.close()
        self._folder.close()
