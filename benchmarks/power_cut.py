"""A disk that forgets: what a recorded program wrote, and what of it would be there after a power cut.

The rules, on the pessimistic side of what file systems promise:

1. What was written to a file since its last fsync is there or not, block by block, in any combination; a change of
   its size likewise. What was there at the fsync stays.
2. Names that a folder got, lost or renamed since its last fsync are there up to any of them, in their order. An fsync
   of a file says nothing about its name.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

from attrs import define, field

_BLOCK: Final = 4096
_CALLS: Final = (
    *("openat", "close", "write", "pwrite64", "ftruncate", "fsync", "fdatasync"),
    *("unlink", "unlinkat", "rename", "renameat2", "link", "linkat", "mkdir", "mkdirat"),
)
_LINE: Final = re.compile(r"([\d.]+) (\w+)\((.*)\) += (\d+)$")  # a call that succeeded
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@define(eq=False)
class File:
    """A file: its content, and the bytes and changes of size that are not durable."""

    durable: bytearray = field(factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(factory=list)  # an offset and bytes, or a size

    def sync(self) -> None:
        self.durable, self.pending = self.content(), []

    def content(self) -> bytearray:
        """Return what the program sees."""
        content = bytearray(self.durable)
        for change in self.pending:
            _apply(content, change)
        return content

    def after_cut(self, random: Random) -> bytes:
        content = bytearray(self.durable)
        for change in self.pending:
            for part in [change] if isinstance(change, int) else _blocks(*change):
                if random.random() < 0.5:
                    _apply(content, part)
        return bytes(content)


def _blocks(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(data), _BLOCK):
        yield offset + at, data[at : at + _BLOCK]


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    size = change if isinstance(change, int) else max(len(content), change[0] + len(change[1]))
    content.extend(bytes(max(0, size - len(content))))
    if isinstance(change, int):
        del content[size:]
    else:
        content[change[0] : change[0] + len(change[1])] = change[1]


@define(eq=False)
class Folder:
    """A folder: the names that are durable, and what has changed since."""

    durable: dict[str, File | Folder] = field(factory=dict)
    pending: list[tuple[str, str | File | Folder | None]] = field(factory=list)  # renamed to, is, or is gone

    def sync(self) -> None:
        self.durable, self.pending = self.names(len(self.pending)), []

    def names(self, changes: int) -> dict[str, File | Folder]:
        """Return the names with so many of the changes."""
        found = dict(self.durable)
        for name, change in self.pending[:changes]:
            if isinstance(change, str):
                found[change] = found.pop(name)
            elif change is None:
                del found[name]
            else:
                found[name] = change
        return found

    def write(self, place: Path, random: Random) -> None:
        """Write what is there after a power cut."""
        place.mkdir()
        for name, found in self.names(random.randint(0, len(self.pending))).items():
            if isinstance(found, Folder):
                found.write(place / name, random)
            else:
                (place / name).write_bytes(found.after_cut(random))


@define(eq=False)
class Disk:
    """Replays the calls of a program on one folder.

    Attributes:
        place: The folder that the program used.
    """

    place: Path
    root: Folder = field(factory=Folder, init=False)
    _open: dict[int, File | Folder] = field(factory=dict, init=False)
    _offsets: dict[int, int] = field(factory=dict, init=False)

    def replay(self, name: str, arguments: str, result: int) -> bool:  # noqa: C901 - one case for each kind of call
        """Replay a call; return whether it was one on this folder."""
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
        if name in {"write", "pwrite64", "ftruncate", "fsync", "fdatasync", "close"}:
            return self._use(name, arguments, texts, result)
        paths = [found for text in texts if (found := self._find(text.decode())) is not None]
        if not paths:
            return False
        (parent, at), *others = paths
        there = parent.names(len(parent.pending)).get(at) if at else parent
        match name.removesuffix("at").removesuffix("at2"):
            case "open":
                if there is None:
                    there = File()
                    parent.pending.append((at, there))
                self._open[result], self._offsets[result] = there, 0
            case "mkdir":
                parent.pending.append((at, Folder()))
            case "unlink":
                parent.pending.append((at, None))
            case "rename":
                parent.pending.append((at, others[0][1]))
            case "link":
                parent.pending.append((others[0][1], there))
        return True

    def _use(self, name: str, arguments: str, texts: Sequence[bytes], result: int) -> bool:
        number = int(arguments.partition(",")[0])
        used = self._open.get(number)
        if used is None:
            return False
        if name == "close":
            del self._open[number]
            return True
        if name in {"fsync", "fdatasync"}:
            used.sync()
            return True
        assert isinstance(used, File)
        last = int(ast.literal_eval(arguments.rpartition(",")[2].strip()))
        if name == "ftruncate":
            used.pending.append(last)
            return True
        offset = last if name == "pwrite64" else self._offsets[number]
        used.pending.append((offset, texts[0][:result]))
        self._offsets[number] = offset + result
        return True

    def content(self, name: str) -> bytes | None:
        """Return what the program sees in a file; None if there is none."""
        found = self.root.names(len(self.root.pending)).get(name)
        return bytes(found.content()) if isinstance(found, File) else None

    def _find(self, path: str) -> tuple[Folder, str] | None:
        """Return the folder of a path and the name in it; an empty name for the root."""
        if path == str(self.place):
            return self.root, ""
        if not path.startswith(f"{self.place}/"):
            return None
        *parents, name = Path(path).relative_to(self.place).parts
        folder = self.root
        for parent in parents:
            found = folder.names(len(folder.pending))[parent]
            assert isinstance(found, Folder)
            folder = found
        return folder, name


Call = tuple[str, str, int]


def record(command: Sequence[str], logs: Path) -> list[Call]:
    """Run a command under strace; return its calls that succeeded, in their order."""
    traced = ["strace", "-ff", "-ttt", "-xx", "-s", str(1 << 26), "--seccomp-bpf", "-o", str(logs / "log")]
    subprocess.run([*traced, "-e", f"trace={','.join(_CALLS)}", *command], check=True, capture_output=True)
    lines = [line for log in logs.iterdir() for line in log.read_text().splitlines()]
    found = sorted(
        (float(match[1]), match[2], match[3], int(match[4])) for line in lines if (match := _LINE.match(line))
    )
    return [(name, arguments, result) for _, name, arguments, result in found]
