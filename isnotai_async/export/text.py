"""Rows as text, in one file that grows at its end: JSON Lines, the same in gzip, and CSV.

A committed place is an offset, and the CRC of everything before it. On going on, the whole file up to there is read
and checked (about a second for each gigabyte): the checkpoint says that these rows are safe, and a file that was
edited, or that came back from the dead incomplete, must not become a finished export.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.errors import CheckpointError
from isnotai_async.export.encoding import Encoding
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import beside, check_without_rows, publish_file, shown
from isnotai_async.export.sinks import Mark

_CHUNK: Final = 1 << 20  # bytes
_AGAIN: Final = "start over with resume=False (--no-resume)"


class TextSink:
    """A file of rows as text; see `Sink` for the methods.

    Args:
        files: The disk.
        target: The file to be.
        encoding: How rows are written.
    """

    is_folder = False

    def __init__(self, files: Files, target: Path, encoding: Encoding) -> None:
        self._files = files
        self._target = target
        self._part = beside(target, ".part")
        self._encoding = encoding
        self._file: int | None = None
        self._offset = 0
        self._crc = 0
        self._synced = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._offset

    @property
    def _open_file(self) -> int:
        assert self._file is not None, "begin() or recover() comes first"  # noqa: S101 - a mistake of the caller's
        return self._file

    def check_left(self) -> None:
        """Check that a part has no more than `begin` writes."""
        check_without_rows(self._files, self._part, header=self._encoding.header)

    def discard(self) -> None:
        """Remove the part."""
        self._files.unlink(self._part)

    def begin(self) -> None:
        """Make the part, with the header."""
        self._file = self._files.open(self._part, create=True)
        self._files.truncate(self._file, 0)
        self._append(self._encoding.header)

    def recover(self, mark: Mark) -> None:
        """Check the committed bytes, and cut off what comes after them."""
        try:
            self._file = self._files.open(self._part)
        except FileNotFoundError:
            raise CheckpointError(f"{shown(self._part)} is gone, which had the rows so far; {_AGAIN}") from None
        offset, crc = mark["offset"], 0
        if (size := self._files.size(self._file)) < offset:
            raise CheckpointError(f"{shown(self._part)} has {size:,} bytes, and had {offset:,}; {_AGAIN}")
        for chunk in self._read(offset):
            crc = zlib.crc32(chunk, crc)
        if crc != mark["crc"]:
            raise CheckpointError(f"{shown(self._part)} is not what was written: it was altered or damaged; {_AGAIN}")
        self._files.truncate(self._file, offset)
        self._offset = self._synced = offset
        self._crc = crc

    def write(self, page: Page[Event]) -> None:
        """Append the rows of a page."""
        self._append(self._encoding.encode(page))

    def _append(self, data: bytes) -> None:
        if not data:
            return
        self._files.write(self._open_file, self._offset, data)
        self._offset += len(data)
        self._crc = zlib.crc32(data, self._crc)

    def sync(self) -> Mark:
        """Make it durable."""
        self._files.sync(self._open_file)
        self._synced = self._offset
        return {"offset": self._offset, "crc": self._crc}

    def settle(self) -> None:
        """Do nothing: a mark is all that this sink needs."""

    def rollback(self) -> None:
        """Cut off what is not committed."""
        self._files.truncate(self._open_file, self._synced)

    def written_ids(self, name: str, session_id: str) -> set[str]:
        """Read the file for the event ids of a session."""
        return self._encoding.read_ids(self._read(self._offset), name, session_id)

    def finish(self) -> Mark:
        """Make it durable; it is the finished file already."""
        return {**self.sync(), "size": self._offset}

    def publish(self, mark: Mark, *, force: bool) -> None:
        """Give the part the target's name."""
        publish_file(self._files, self._part, self._target, size=mark["size"], force=force)

    def clean(self) -> None:
        """Do nothing: the part has become the target."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            with suppress(OSError):  # what matters was made durable before
                self._files.close(descriptor)

    def _read(self, size: int) -> Iterator[bytes]:
        for offset in range(0, size, _CHUNK):
            yield self._files.read(self._open_file, offset, min(_CHUNK, size - offset))
