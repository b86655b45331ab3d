"""Places: the names of what an export keeps next to its target, and how a path is shown in a message."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

from isnotai_async.errors import printable

_LONGEST: Final = 200  # bytes of the target's name that are repeated; file systems take 255 in all
_SHOWN: Final = 200  # characters of a path


def store_of(target: Path) -> Path:
    """Return the path of the work store of a target."""
    return _beside(target, ".isnotai")


def lock_of(store: Path) -> Path:
    """Return the path of the lock of an event store."""
    return _beside(store, ".isnotai-lock")


def unnamed_of(target: Path) -> Path:
    """Return the path of a finished target before it gets its name."""
    return _beside(target, ".isnotai-new")


def replaced_of(target: Path) -> Path:
    """Return the path of a folder that is being replaced."""
    return _beside(target, ".isnotai-old")


def rejected_of(target: Path) -> Path:
    """Return the path of the file of records that an export set aside."""
    return target.with_name(f"{_short(target.name)}.rejected")


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{_short(target.name)}{ending}")


def _short(name: str) -> str:
    data = name.encode(errors="surrogateescape")
    return name if len(data) <= _LONGEST else f"{name[:40]}-{blake2b(data, digest_size=8).hexdigest()}"


def shown(path: Path) -> str:
    """Show a path in a message; of a long one its end, or it would crowd out the advice after it."""
    text = str(path)
    return printable(text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}")
