"""Disks that crash, lose power or fail, at the operation that a test chooses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field

from isnotai_async.export.files import FileInfo, Files

SECTOR = 512


class Crash(BaseException):
    """The process has died, so nothing can catch it."""


@define(eq=False)
class Inode:
    """A file: what is on the disk, and what was done since that was made durable."""

    durable: bytes = b""
    pending: list[Callable[[bytearray], None]] = field(factory=list)
    content: bytearray = field(factory=bytearray)

    def change(self, *changes: Callable[[bytearray], None]) -> None:
        for change in changes:
            change(self.content)
            self.pending.append(change)

    def sync(self) -> None:
        self.durable, self.pending = bytes(self.content), []

    def lose_power(self, random: Random) -> None:
        """Keep some of what was not durable, in any order, as SQLite's test6.c does."""
        survivors = [change for change in self.pending if random.random() < 0.5]
        random.shuffle(survivors)
        self.content = bytearray(self.durable)
        for change in survivors:
            change(self.content)
        self.sync()


Names = dict[Path, Inode]


class MemoryDisk(Files):
    """A disk in memory, whose users die at the operation `crash_at` (from 0).

    A write is done a sector at a time, each of them with a fate of its own.

    Args:
        crash_at: Which operation that changes something is the last, or None.
        half: Whether half of it is done, where it is a write.
    """

    def __init__(self, crash_at: int | None = None, *, half: bool = False) -> None:
        self.names_: Names = {}
        self.durable_names: Names = {}
        self.pending_names: list[Callable[[Names], object]] = []
        self.open_files: dict[int, Inode] = {}
        self.operations: list[str] = []
        self.crash_at, self.half, self.is_dead = crash_at, half, False

    def restart(self, crash_at: int | None = None, *, half: bool = False) -> None:
        """Start another process, after the last one has died or ended."""
        self.open_files.clear()
        self.operations.clear()
        self.crash_at, self.half, self.is_dead = crash_at, half, False

    def lose_power(self, random: Random) -> None:
        """Lose what was not durable, or some of it."""
        survivors = [change for change in self.pending_names if random.random() < 0.5]
        names = dict(self.durable_names)
        for change in survivors:
            change(names)
        for inode in {id(inode): inode for inode in (*names.values(), *self.names_.values())}.values():
            inode.lose_power(random)
        self.names_, self.durable_names, self.pending_names = names, dict(names), []
        self.restart()

    def content(self, path: Path) -> bytes:
        return bytes(self.names_[path].content)

    def _act(self, what: str) -> bool:
        """Count an operation; tell whether half of it is to be done."""
        if self.is_dead:
            raise Crash
        self.operations.append(what)
        if self.crash_at is not None and len(self.operations) > self.crash_at:
            self.is_dead = True
            if self.half and what == "write":
                return True
            raise Crash
        return False

    def _rename(self, change: Callable[[Names], object]) -> None:
        change(self.names_)
        self.pending_names.append(change)

    def inspect(self, path: Path) -> FileInfo | None:
        inode = self.names_.get(path)
        return None if inode is None else FileInfo("file", len(inode.content), (1, id(inode)))

    def open(self, path: Path, *, create: bool = False) -> int:
        if path not in self.names_:
            if not create:
                raise FileNotFoundError(path)
            self._act("create")
            inode = Inode()
            self._rename(lambda names: names.update({path: inode}))
        descriptor = len(self.open_files) + 1_000
        self.open_files[descriptor] = self.names_[path]
        return descriptor

    def close(self, descriptor: int) -> None:
        pass

    def size(self, descriptor: int) -> int:
        return len(self.open_files[descriptor].content)

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        return bytes(self.open_files[descriptor].content[offset : offset + size])

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        is_half = self._act("write")
        whole = data[: len(data) // 2] if is_half else data
        sectors = [(at, whole[at : at + SECTOR]) for at in range(0, len(whole), SECTOR)]
        self.open_files[descriptor].change(*(_write_at(offset + at, part) for at, part in sectors))
        if is_half:
            raise Crash

    def truncate(self, descriptor: int, size: int) -> None:
        self._act("truncate")
        self.open_files[descriptor].change(lambda content: content.__delitem__(slice(size, None)))

    def sync(self, descriptor: int) -> None:
        self._act("sync")
        self.open_files[descriptor].sync()

    def sync_folder(self, folder: Path) -> None:  # noqa: ARG002 - there is but one
        self._act("sync_folder")
        self.durable_names, self.pending_names = dict(self.names_), []

    def replace(self, source: Path, target: Path) -> None:
        self._act("replace")
        inode = self.names_[source]
        self._rename(lambda names: (names.update({target: inode}), names.pop(source, None)))

    def link(self, source: Path, target: Path) -> None:
        if target in self.names_:
            raise FileExistsError(target)
        self._act("link")
        inode = self.names_[source]
        self._rename(lambda names: names.update({target: inode}))

    def unlink(self, path: Path) -> None:
        if path in self.names_:
            self._act("unlink")
            self._rename(lambda names: names.pop(path, None))


def _write_at(offset: int, data: bytes) -> Callable[[bytearray], None]:
    def write(content: bytearray) -> None:
        content.extend(bytes(max(0, offset - len(content))))  # a hole
        content[offset : offset + len(data)] = data

    return write


class FailingFiles(Files):
    """The real disk, one of whose operations fails with an error number.

    Args:
        operation: Name of the method that fails.
        number: The error number.
        after: How many of its calls succeed before.
    """

    def __init__(self, operation: str, number: int, after: int = 0) -> None:
        self.calls: list[str] = []
        self._operation, self._number, self._after = operation, number, after

    def _call(self, name: str, *args: Any) -> Any:
        self.calls.append(name)
        if name == self._operation and self.calls.count(name) > self._after:
            raise OSError(self._number, os.strerror(self._number))
        return getattr(super(), name)(*args)

    def write(self, descriptor: int, offset: int, data: bytes) -> None:
        if self._operation == "write" and self.calls.count("write") >= self._after:
            super().write(descriptor, offset, data[: len(data) // 2])  # a full disk takes a part
        self._call("write", descriptor, offset, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._call("truncate", descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._call("sync", descriptor)

    def sync_folder(self, folder: Path) -> None:
        self._call("sync_folder", folder)

    def link(self, source: Path, target: Path) -> None:
        self._call("link", source, target)

    def open(self, path: Path, *, create: bool = False) -> int:
        self._call("inspect", path)  # counted under a name of its own, because it has an option
        if create and self._operation == "create":
            raise OSError(self._number, os.strerror(self._number))
        return super().open(path, create=create)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        if self._operation == "close":
            raise OSError(self._number, os.strerror(self._number))
