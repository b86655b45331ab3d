"""Names: those of the files beside a target, and how a finished file takes the target's name."""

from __future__ import annotations

import errno
from hashlib import blake2b
from pathlib import Path
from typing import Final

from isnotai_async.errors import CheckpointError, SinkError, printable
from isnotai_async.export.files import Files

_LONGEST: Final = 200  # bytes of the target's name that are repeated; file systems take 255 in all
_SHOWN: Final = 200  # characters of a path
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})  # as on FAT and some network disks


def beside(target: Path, ending: str, *, hidden: bool = False) -> Path:
    """Return the path of a file that accompanies a target.

    Args:
        target: The target.
        ending: What comes behind its name, such as ``".part"``.
        hidden: Whether a dot comes before it.
    """
    name = target.name
    if len(name.encode(errors="surrogateescape")) > _LONGEST:
        name = f"{name[:40]}-{blake2b(name.encode(errors='surrogateescape'), digest_size=8).hexdigest()}"
    return target.with_name(f"{'.' if hidden else ''}{name}{ending}")


def check_without_rows(files: Files, path: Path, *, header: bytes = b"") -> None:
    """Check that a file which no journal speaks of may be removed.

    Args:
        files: The disk.
        path: The file; it need not be there.
        header: What comes before the rows.

    Raises:
        CheckpointError: It has more, so it is of an export whose journal was removed, or somebody else's.
    """
    there = files.inspect(path)
    if there is None or there.kind != "file":
        return
    descriptor = files.open(path)
    try:
        begun = files.read(descriptor, 0, min(there.size, len(header)))
    finally:
        files.close(descriptor)
    # A power cut may leave zeros where the header was not on the disk yet.
    if there.size > len(header) or (begun.strip(b"\0") and not header.startswith(begun)):
        raise CheckpointError(
            f"{shown(path)} is there without its journal, so nothing tells which export it is of, or how much of it "
            "is safe; move it away, or have it removed by resume=False (--no-resume)"
        )


def publish_file(files: Files, part: Path, target: Path, *, size: int, force: bool) -> None:
    """Give a finished file its name, in one step and durably; where that was begun or done before, go on from there.

    Args:
        files: The disk.
        part: The file, whose content is durable.
        target: Its name to be.
        size: Bytes in it.
        force: Replace what has that name.

    Raises:
        SinkError: Something else has the name.
        CheckpointError: The file is gone, or has another size.
    """
    source, there = files.inspect(part), files.inspect(target)
    if source is None:
        if there is None or there.size != size:
            raise CheckpointError(
                f"{shown(part)} is gone, and {shown(target)} is not the file that was finished; "
                "start over with resume=False (--no-resume)"
            )
    elif source.size != size:
        raise CheckpointError(
            f"{shown(part)} has {source.size:,} bytes, and {size:,} when it was finished; it was altered. "
            "Start over with resume=False (--no-resume)"
        )
    elif there is not None and there.identity == source.identity:
        files.unlink(part)  # the link was made; only its first name is left over
    elif force:
        files.replace(part, target)
    else:
        _rename(files, part, target)
    files.sync_folder(target.parent)


def _rename(files: Files, part: Path, target: Path) -> None:
    try:
        files.link(part, target)  # unlike a rename, it fails where a file has come to be meanwhile
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if files.inspect(target) is not None:
            raise _taken(target) from None
        files.replace(part, target)
        return
    files.sync_folder(target.parent)  # the old name goes when the new one is sure
    files.unlink(part)


def _taken(target: Path) -> SinkError:
    return SinkError(
        f"{shown(target)} has come to exist during the export; it was left alone. The export is complete: move that "
        "file away, or say force=True (--force), and run the same again"
    )


def shown(path: Path) -> str:
    """Show a path in a message; of a long one its end, or it would crowd out the advice behind it."""
    text = str(path)
    return printable(text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}")
