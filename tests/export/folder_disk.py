"""The disk in memory with folders, each of which has to be made durable by itself."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from random import Random

from attrs import define

from isnotai_async.export.files import FileInfo
from tests.export.disks import Inode, MemoryDisk, Names

ROOT = Path("/nowhere")


@define(eq=False)
class Folder(Inode):
    """A folder; what is in it has its path before the name."""


class FolderDisk(MemoryDisk):
    """A disk in memory with folders. A name in a folder whose own name is lost is lost with it."""

    def __init__(self, crash_at: int | None = None, *, half: bool = False) -> None:
        super().__init__(crash_at, half=half)
        self.pending: list[tuple[Path, Callable[[Names], object]]] = []

    def _rename(self, change: Callable[[Names], object]) -> None:
        before = dict(self.names_)
        change(self.names_)
        changed = {path for path in before.keys() | self.names_ if before.get(path) is not self.names_.get(path)}
        self.pending.append((min(changed, key=lambda path: len(path.parts)).parent, change))

    def sync_folder(self, folder: Path) -> None:
        self._act("sync_folder")
        for _, change in (change for change in self.pending if change[0] == folder):
            change(self.durable_names)
        self.pending = [change for change in self.pending if change[0] != folder]

    def lose_power(self, random: Random) -> None:
        names = dict(self.durable_names)
        for _, change in self.pending:
            if random.random() < 0.5:
                change(names)
        names = {path: inode for path, inode in names.items() if path.parent == ROOT or path.parent in names}
        for inode in {id(inode): inode for inode in (*names.values(), *self.names_.values())}.values():
            inode.lose_power(random)
        self.names_, self.durable_names, self.pending = names, dict(names), []
        self.restart()

    def inspect(self, path: Path) -> FileInfo | None:
        inode = self.names_.get(path)
        return FileInfo("folder", 0, (1, id(inode))) if isinstance(inode, Folder) else super().inspect(path)

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in self.names_ if path.parent == folder)

    def make_folder(self, path: Path) -> None:
        if path not in self.names_:
            self._act("make_folder")
            folder = Folder()
            self._rename(lambda names: names.update({path: folder}))

    def remove_folder(self, path: Path) -> None:
        if self.names(path):
            raise OSError(errno.ENOTEMPTY, "not empty")
        self.unlink(path)

    def replace(self, source: Path, target: Path) -> None:
        if not isinstance(self.names_[source], Folder):
            super().replace(source, target)
            return
        assert target not in self.names_
        self._act("replace")
        self._rename(lambda names: move(names, source, target))


def move(names: Names, source: Path, target: Path) -> None:
    """Rename a folder with all that is in it."""
    for path in [path for path in names if path == source or source in path.parents]:
        names[target / path.relative_to(source)] = names.pop(path)
