"""A file that grows at its end, of which it is known how far it is right: an offset, and the CRC up to there."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

from isnotai_async.errors import CheckpointError
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import shown

AGAIN: Final = "start over with resume=False (--no-resume)"


class Spool:
    """A file that grows at its end.

    Args:
        files: The disk.
        path: The file.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self._files = files
        self._file: int | None = None
        self._crc = 0
        self.size = 0

    @property
    def _open_file(self) -> int:
        assert self._file is not None, "create() or recover() comes first"  # noqa: S101 - a mistake of the caller's
        return self._file

    def create(self) -> None:
        """Make it, empty."""
        self._file = self._files.open(self.path, create=True)
        self._files.truncate(self._file, 0)

    def recover(self, offset: int, crc: int) -> bytes:
        """Open it, check what was committed, cut off the rest, and return what is left.

        Raises:
            CheckpointError: What was committed is not there any more, or is not what it was.
        """
        try:
            self._file = self._files.open(self.path)
        except FileNotFoundError:
            raise CheckpointError(f"{shown(self.path)} is gone, which had a part of the rows; {AGAIN}") from None
        self.size, self._crc = offset, crc
        data = self.read()
        self.cut(offset)
        return data

    def append(self, data: bytes) -> None:
        """Write at the end."""
        self._files.write(self._open_file, self.size, data)
        self.size += len(data)
        self._crc = zlib.crc32(data, self._crc)

    def read(self) -> bytes:
        """Read all of it.

        Raises:
            CheckpointError: It is not what was written.
        """
        data = self._files.read(self._open_file, 0, self.size)
        if len(data) < self.size:
            raise CheckpointError(f"{shown(self.path)} has {len(data):,} bytes, and had {self.size:,}; {AGAIN}")
        if zlib.crc32(data) != self._crc:
            raise CheckpointError(f"{shown(self.path)} is not what was written: it was altered or damaged; {AGAIN}")
        return data

    def sync(self) -> list[int]:
        """Make it durable; the arguments for `recover`."""
        self._files.sync(self._open_file)
        return [self.size, self._crc]

    def cut(self, offset: int) -> None:
        """Cut it off."""
        self._files.truncate(self._open_file, offset)

    def close(self) -> None:
        """Close it; idempotent."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            self._files.close(descriptor)
