"""One exporter for one target: a lock that the system takes back from a process that dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from isnotai_async.errors import ExportLockedError, SinkError
from isnotai_async.export.publishing import beside, shown

if sys.platform != "win32":
    import fcntl


class TargetLock:
    """The lock of a target. It is a file beside it, which is gone when the lock is released.

    Args:
        target: The target.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = beside(target, ".lock", hidden=True)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ExportLockedError: Another export, of this process or another, has it.
            SinkError: The lock's file cannot be made, or this system has no such locks.
        """
        self._descriptor = _acquire(self._path, self._target)

    def release(self) -> None:
        """Give the lock back; idempotent."""
        if self._descriptor is None:
            return
        # Before the lock goes with the descriptor: who opened the file meanwhile finds that it has no name any more.
        try:
            self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)
            self._descriptor = None


def _acquire(path: Path, target: Path) -> int:
    if sys.platform == "win32":
        raise SinkError("an export needs the file locks of Linux, macOS or another POSIX system (WSL has them)")
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            raise SinkError(f"there is no folder {shown(target.parent)}; make it, or name another one") from None
        except OSError as error:
            raise SinkError(f"cannot write into {shown(target.parent)}: {path.name}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise SinkError(f"cannot lock {shown(path)}: {error.strerror}; is it on a network disk?") from None
            raise ExportLockedError(
                f"another export is writing {shown(target)}; wait for it, or choose another target"
            ) from None
        if _is_named(descriptor, path):
            return descriptor
        os.close(descriptor)  # its owner has removed the name just now: take the next one


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
