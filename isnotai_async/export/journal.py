"""The journal: what is committed, one line for each commit.

A line is a CRC in eight hexadecimal digits, a space, and JSON with a running number. The CRC goes on from that of the
line before, so a line that was altered, left out, doubled or moved is found, and with it all behind it.

The file comes to be whole, by a rename; after that it only grows, and each line is durable before the next. So a
crash can spoil the last line and no other. Anything else is damage, or an editor, and is refused.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from isnotai_async.errors import CheckpointError
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import shown

Record = Mapping[str, Any]

_SMALL: Final = 1 << 20  # bytes; below that, a journal is not worth writing anew


class Journal:
    """An append-only file of records.

    Args:
        files: The disk.
        path: The file.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._file: int | None = None
        self._size = 0
        self._number = 0
        self._crc = 0
        self._limit = _SMALL

    @property
    def is_large(self) -> bool:
        """Whether it has doubled since it was written anew, so that it should be again."""
        return self._size > self._limit

    def read(self) -> list[dict[str, Any]] | None:
        """Read the records; None where there is no journal.

        Raises:
            CheckpointError: A line is damaged, and not by a crash.
        """
        try:
            descriptor = self._files.open(self._path)
        except FileNotFoundError:
            return None
        try:
            data = self._files.read(descriptor, 0, self._files.size(descriptor))
        finally:
            self._files.close(descriptor)
        return self._parse(data)

    def _parse(self, data: bytes) -> list[dict[str, Any]]:
        *lines, torn = data.split(b"\n")
        records: list[dict[str, Any]] = []
        crc = 0
        for line in lines:
            body = line[9:]
            crc = zlib.crc32(body, crc)
            if line[:9] != b"%08x " % crc or (record := _decode(body)).get("n") != len(records):
                break
            records.append(record)
        # A crash leaves nothing behind the line that it spoilt, and never the first one, which came by a rename.
        behind = len(lines) - len(records)
        if not records or behind > 1 or (behind and torn):
            raise CheckpointError(
                f"{shown(self._path)} is damaged in line {len(records) + 1}; it was altered, or the disk has failed. "
                "Start over with resume=False (--no-resume)"
            )
        return records

    def start(self, records: Iterable[Record]) -> None:
        """Write it anew, in one step and durably, and go on from there."""
        self.close()
        self._number = self._crc = 0
        data = b"".join([self._encode(record) for record in records])
        draft = self._path.with_name(f"{self._path.name}.new")
        self._file = self._files.open(draft, create=True)
        self._files.truncate(self._file, 0)
        self._files.write(self._file, 0, data)
        self._files.sync(self._file)
        self._files.replace(draft, self._path)
        self._files.sync_folder(self._path.parent)
        self._size = len(data)
        self._limit = max(_SMALL, 2 * self._size)

    def append(self, record: Record) -> None:
        """Add a record, durably."""
        assert self._file is not None, "start() comes first"  # noqa: S101 - a mistake of the caller's
        line = self._encode(record)
        self._files.write(self._file, self._size, line)
        self._files.sync(self._file)
        self._size += len(line)

    def remove(self) -> None:
        """Remove it, durably."""
        self.close()
        self._files.unlink(self._path)
        self._files.unlink(self._path.with_name(f"{self._path.name}.new"))
        self._files.sync_folder(self._path.parent)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            with suppress(OSError):  # what matters was made durable before
                self._files.close(descriptor)

    def _encode(self, record: Record) -> bytes:
        body = json.dumps({"n": self._number, **record}, separators=(",", ":")).encode()
        self._crc = zlib.crc32(body, self._crc)
        self._number += 1
        return b"%08x %b\n" % (self._crc, body)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
