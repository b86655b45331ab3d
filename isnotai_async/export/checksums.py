"""Checksums: of a row of the work store, and of a finished target."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Final

import msgspec

_CHUNK: Final = 1 << 20  # bytes

_encode: Final = msgspec.msgpack.Encoder().encode


def checksum_row(columns: tuple[object, ...]) -> int:
    """Return the CRC-32 of all columns of a row."""
    return zlib.crc32(_encode(columns))


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
