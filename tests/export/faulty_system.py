"""A `System` whose operations fail, or at one of which the process dies."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from isnotai_async.export.system import System

T = TypeVar("T")
P = ParamSpec("P")


class Crash(BaseException):
    """The process is dead."""


def sqlite_error(code: int, text: str) -> sqlite3.OperationalError:
    """Make an error as SQLite's own."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class FaultySystem(System):
    """Counts operations that change the disk, and fails at one of them.

    Args:
        fail_at: Number of the operation at which `error` is raised; None for none.
        error: What is raised. After a `Crash` every other operation is one too.
        late: Whether the operation is done before it fails; a `write` is done by half.
        only: Counts operations of this name alone.
    """

    def __init__(
        self, fail_at: int | None = None, error: BaseException | None = None, *, late: bool = False, only: str = ""
    ) -> None:
        self.operations: list[str] = []
        self._fail_at = fail_at
        self._error = error if error is not None else Crash()
        self._late = late
        self._only = only
        self._is_dead = False

    def _do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._is_dead:
            raise Crash
        name = getattr(call, "__name__", "")
        fails = len(self.operations) == self._fail_at and self._only in {"", name}
        if self._only in {"", name}:
            self.operations.append(name)
        if not fails:
            return call(*args, **kwargs)
        self._is_dead = isinstance(self._error, Crash)
        if self._late:
            call(*args, **kwargs)
        raise self._error

    def commit(self, connection: sqlite3.Connection) -> None:
        self._do(super().commit, connection)

    def create(self, path: Path, mode: int) -> int:
        return self._do(super().create, path, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        if self._late and len(self.operations) == self._fail_at and self._only in {"", "write"}:
            os.write(descriptor, data[: len(data) // 2])
        self._do(super().write, descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._do(super().sync, descriptor)

    def sync_folder(self, folder: Path) -> None:
        self._do(super().sync_folder, folder)

    def make_folder(self, path: Path) -> None:
        self._do(super().make_folder, path)

    def remove(self, path: Path) -> None:
        self._do(super().remove, path)

    def replace(self, source: Path, target: Path) -> None:
        self._do(super().replace, source, target)

    def link(self, source: Path, target: Path) -> None:
        self._do(super().link, source, target)

    def rename_exclusive(self, source: Path, target: Path) -> None:
        self._do(super().rename_exclusive, source, target)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def read_all(target: Path) -> Any:
    """Return the bytes of a file, or of all files in a folder."""
    if target.is_dir():
        return {path.name: path.read_bytes() for path in sorted(target.iterdir())}
    return target.read_bytes()
