"""The disk, as far as an export needs it: every operation in one place, so that a test can put another there.

A method does one thing and returns when the system has taken it. What is *durable* is another matter: bytes of a file
after `sync`, names in a folder after `sync_folder`, and nothing before. Errors are the system's own, `OSError`.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

if sys.platform == "darwin":
    import fcntl

_OPEN: Final = (
    os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)  # a symbolic link that somebody puts in the way is an error (ELOOP), and not a way to another file
_MODE: Final = 0o666  # less what the umask takes
_MOST: Final = 1 << 30  # bytes of one call: Linux takes less than 2 GiB, and takes a part of more


@frozen
class FileInfo:
    """What a path names.

    Attributes:
        kind: A regular file, a folder, or anything else, such as a symbolic link.
        size: Bytes in it.
        identity: Equal for two names of one file.
    """

    kind: Literal["file", "folder", "other"]
    size: int
    identity: tuple[int, int]


class Files:
    """The real disk."""

    def inspect(self, path: Path) -> FileInfo | None:
        """Tell what a path names, without following a symbolic link; None where it names nothing."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        kind: Literal["file", "folder", "other"] = "other"
        if stat.S_ISREG(found.st_mode):
            kind = "file"
        elif stat.S_ISDIR(found.st_mode):
            kind = "folder"
        return FileInfo(kind, found.st_size, (found.st_dev, found.st_ino))

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are what is asked for

    def open(self, path: Path, *, create: bool = False) -> int:
        """Open a file for reading and writing; its descriptor goes to the methods below.

        Args:
            path: Which.
            create: Make it, empty, where there is none. What is there stays as it is.
        """
        return os.open(path, _OPEN | (os.O_CREAT if create else 0), _MODE)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        """Return the size of a file in bytes."""
        return os.fstat(descriptor).st_size

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        """Read so many bytes; fewer at the end of the file."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        parts: list[bytes] = []
        while size > 0 and (part := os.read(descriptor, min(size, _MOST))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        """Write all of the data; where that fails, a part of it may be there."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest[:_MOST]) :]

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Make the content of a file durable. A failure is final: the system may have dropped what was to write."""
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's cache there
        else:
            getattr(os, "fdatasync", os.fsync)(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        if sys.platform == "win32":
            return  # folders cannot be opened there
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Give a file or folder another name; a file of that name is replaced."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; `FileExistsError` where it is taken."""
        target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        """Remove a name; nothing happens where there is none."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make a folder; nothing happens where it is there."""
        path.mkdir(exist_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; nothing happens where there is none."""
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
