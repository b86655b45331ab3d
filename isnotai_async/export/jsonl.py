"""Events into one JSON Lines file, whole or not at all.

The rows go to a temporary file beside the target. Only when the last one is on the disk does it take the target's
name, so nobody ever sees half an export under it. An error or a cancellation removes the temporary file; only a kill
leaves it behind.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO

import anyio.to_thread
from anyio import CancelScope
from attrs import frozen

from isnotai_async.errors import SinkError
from isnotai_async.export.rows import encode_rows
from isnotai_async.pages import Page
from isnotai_async.records import Event


@frozen
class ExportReport:
    """What an export did.

    Attributes:
        path: The file that was written.
        rows: Rows in it.
        sessions: Sessions that were read, those without events too.
        size: Bytes in it.
        elapsed: Seconds it took.
    """

    path: Path
    rows: int
    sessions: int
    size: int
    elapsed: float


async def export_jsonl(
    sessions: AsyncIterable[str],
    pages_of: Callable[[str], AsyncIterable[Page[Event]]],
    to: str | os.PathLike[str],
    *,
    force: bool = False,
    on_rows: Callable[[int], None] | None = None,
) -> ExportReport:
    """Write the events of sessions into a JSON Lines file, one session after the other.

    Args:
        sessions: Ids of the sessions, read as they are needed.
        pages_of: Gives the pages of a session.
        to: The file to make. The rows are those of `encode_rows`.
        force: Replace the file if it exists.
        on_rows: Called with the number of rows so far, after each page.

    Raises:
        SinkError: The file exists (without `force`), is no regular file, or cannot be written.
    """
    begun = monotonic()
    path = Path(to)
    rows = count = 0
    file = _open(path, force)  # no thread and so no cancellation in between: from here on it is removed again
    try:
        async for session_id in sessions:
            count += 1
            async for page in pages_of(session_id):
                await anyio.to_thread.run_sync(_write, file, encode_rows(page, session_id))
                rows += len(page.data)
                if on_rows is not None:
                    on_rows(rows)
        size = await anyio.to_thread.run_sync(_commit, file, path, force)
    except BaseException:
        with CancelScope(shield=True):
            await anyio.to_thread.run_sync(_discard, file)
        raise
    return ExportReport(path, rows, count, size, monotonic() - begun)


def _open(path: Path, force: bool) -> IO[bytes]:
    if path.is_dir():
        raise SinkError(f"{path} is a directory; name a file to write into")
    if os.path.lexists(path) and not force:
        raise SinkError(f"{path} exists; choose another name, or replace it with force=True (--force)")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise SinkError(f"{path} is no regular file; name one to write into")
    try:
        return _create(path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part"))
    except OSError as error:
        raise _unwritable(path.parent, error) from None


def _create(path: Path) -> IO[bytes]:
    return path.open("xb")


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise _unwritable(Path(file.name), error) from None


def _commit(file: IO[bytes], path: Path, force: bool) -> int:
    """Put the rows on the disk, then the name, then the name's folder."""
    try:
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        file.close()
        if force:
            Path(file.name).replace(path)
        else:
            path.hardlink_to(file.name)  # which fails where a file has come to be meanwhile
            Path(file.name).unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise SinkError(f"{path} has come to exist during the export; it was left alone") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    return size


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(file: IO[bytes]) -> None:
    with suppress(OSError):  # a full disk fails here once more; the file goes all the same
        file.close()
    Path(file.name).unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> SinkError:
    return SinkError(f"cannot write {path}: {error.strerror or type(error).__name__}; nothing was left behind")
