"""Location of the file of the shared limit: in this user's cache folder, and never on a network file system."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from isnotai_async._models.validation import check_no_key
from isnotai_async.errors import ConfigError, printable

_MOUNTS: Final = Path("/proc/self/mountinfo")
# SQLite needs locks and shared memory, and on these file systems one of them does not work between machines.
_NETWORKS: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3"}
    | {"fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"}
)


def find_default(names: tuple[str, str]) -> Path:
    """Return the path of a key's file, in a folder that only this user can enter.

    It is not the runtime folder (``XDG_RUNTIME_DIR``), because a service or a cron job of the same user has no such
    folder: it would silently use another file, and so another limit.

    Args:
        names: What `name_keys` returns; it contains a hash of the key and its region.

    Raises:
        ConfigError: The folder cannot be created, is on a network file system, or other users can write to it.
    """
    folder = _cache_folder() / "isnotai-async"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_open = os.name == "posix" and (folder.stat().st_mode & 0o022 or folder.stat().st_uid != os.geteuid())
    except (OSError, RuntimeError) as error:
        shown = printable(f"{folder}: {error}", limit=200)
        raise ConfigError(f"FileLimiter cannot make its folder {shown}; give it path=") from None
    if is_open:
        raise ConfigError(f"others can write to {printable(str(folder))}; forbid it, or give FileLimiter path=")
    tag = names[0].partition("{")[2].partition("}")[0]
    return check_place(folder / f"limit-{tag}.db")


def check_place(path: Path) -> Path:
    """Check that processes can share a file at this path, and return the absolute path.

    Raises:
        ConfigError: The folder does not exist, or is on a network file system; or the name has an API key in it.
    """
    check_no_key(path.name, "path of FileLimiter")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"the folder {printable(str(folder))} of FileLimiter's path= does not exist; make it")
    kind = _file_system(folder.resolve())
    if kind in _NETWORKS:
        raise ConfigError(
            f"{printable(str(folder))} is on a network file system ({kind}), which does not lock files reliably; "
            "give FileLimiter a path= on a local disk, or use RedisLimiter"
        )
    return path.absolute()


def _cache_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on; empty if the system does not report it."""
    try:
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    found, kind = "", ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        mount = fields.split(" ")[4].encode("latin-1", "surrogateescape").decode("unicode_escape")
        if folder.is_relative_to(mount) and len(mount) >= len(found):  # of two mounts at one path the last counts
            found, kind = mount, rest.split(" ")[0]
    return kind
