"""`System`: all that an export asks of the operating system, in one place that tests can replace.

Capabilities differ: not every file system has hard links or syncs folders, and Windows has neither `fcntl` nor
descriptors of folders. What is missing is replaced by the next best step here, and no other module asks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

if sys.platform == "darwin":
    import fcntl

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_MOST: Final = 1 << 30  # bytes of one call: Linux takes less than 2 GiB
# What a file system answers that cannot sync a folder (FUSE, SMB, some network disks). EIO is not among them.
_NO_FOLDER_SYNC: Final = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EBADF}
)
_NO_EXCLUSIVE_RENAME: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that mean: the disk, the quota or the largest size of a file is used up."""


@frozen(eq=False, repr=False)
class FileInfo:
    """The identity of the file that a path names."""

    kind: Literal["file", "folder", "other"]
    size: int
    identity: tuple[int, int, int]  # device, inode and number of links: another one if it is removed or replaced


class System:
    """The real operating system. Its errors are `OSError` and, of `connect`, `sqlite3.Error`."""

    def inspect(self, path: Path) -> FileInfo | None:
        """Return what a path names, without following a symbolic link; None if it names nothing."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        kind: Literal["file", "folder", "other"] = "other"
        if stat.S_ISREG(found.st_mode):
            kind = "file"
        elif stat.S_ISDIR(found.st_mode):
            kind = "folder"
        return FileInfo(kind, found.st_size, (found.st_dev, found.st_ino, found.st_nlink))

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open or create an SQLite database, which never waits for a lock and starts no transaction by itself.

        Only its owner may read a new one, because records that could not be read are in it as they came.
        """
        with suppress(FileExistsError):
            os.close(os.open(path, _CREATE, 0o600))
        return sqlite3.connect(path, timeout=0, isolation_level=None)

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit the transaction of a connection."""
        connection.execute("COMMIT")

    def free_bytes(self, folder: Path) -> int:
        """Return how many bytes the disk of a folder has left."""
        return shutil.disk_usage(folder).free

    def write_file(self, path: Path, chunks: Iterable[bytes], *, mode: int = 0o666) -> None:
        """Create a file, write it, and make its content durable; an existing one is an error."""
        descriptor = self.create(path, mode)
        try:
            for chunk in chunks:
                self.write(descriptor, chunk)
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def create(self, path: Path, mode: int) -> int:
        """Create a file for writing and return its descriptor. A symbolic link in the way is an error."""
        return os.open(path, _CREATE, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of the data; if that fails, a part of it may be there."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest[:_MOST]) :]

    def sync(self, descriptor: int) -> None:
        """Make the content of a file durable."""
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's cache there
        else:
            os.fsync(descriptor)

    def sync_file(self, path: Path) -> None:
        """Make the content of a file durable that another library has written."""
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable, if the file system can do that."""
        if not hasattr(os, "O_DIRECTORY"):
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise

    def make_folder(self, path: Path) -> None:
        """Create a folder; an existing one is an error."""
        path.mkdir()

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with all in it; nothing happens if there is none."""
        found = self.inspect(path)
        if found is not None and found.kind == "folder":
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file or folder; a file of that name is replaced."""
        source.replace(target)

    def rename_new(self, source: Path, target: Path) -> None:
        """Rename a file or folder, and raise `FileExistsError` if the new name is taken.

        By a hard link, which cannot replace anything; else by the system's exclusive rename; else by a look before.
        """
        if not source.is_dir() and self._rename_by_link(source, target):
            return
        try:
            self.rename_exclusive(source, target)
        except OSError as error:
            if error.errno not in _NO_EXCLUSIVE_RENAME:
                raise
            if self.inspect(target) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
            source.rename(target)

    def _rename_by_link(self, source: Path, target: Path) -> bool:
        try:
            self.link(source, target)
        except FileExistsError:
            if not _is_same_file(source, target):  # NFS may report the success of a repeated request like this
                raise
        except (
            OSError
        ):  # EPERM, EACCES, EINVAL, EXDEV, EMLINK and others: there are no links; a rename may still work
            return False
        source.unlink()
        return True

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        target.hardlink_to(source)

    def rename_exclusive(self, source: Path, target: Path) -> None:
        """Rename, never replacing anything; `OSError` with ENOSYS if the system has no such call."""
        if sys.platform == "win32":
            source.rename(target)  # fails if the target exists
            return
        if _rename_exclusive is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if _rename_exclusive(os.fsencode(source), os.fsencode(target)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(target))


def _is_same_file(source: Path, target: Path) -> bool:
    try:
        return source.samefile(target)
    except OSError:
        return False


def _find_exclusive_rename() -> Callable[[bytes, bytes], int] | None:
    """Return renameat2 with RENAME_NOREPLACE (Linux), or renamex_np with RENAME_EXCL (macOS)."""
    if sys.platform == "win32":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        here, no_replace = -100, 1
        return lambda source, target: int(library.renameat2(here, source, here, target, no_replace))
    if hasattr(library, "renamex_np"):
        exclusive = 4
        return lambda source, target: int(library.renamex_np(source, target, exclusive))
    return None


_rename_exclusive: Final = _find_exclusive_rename()
