"""The plan of a job: which sessions belong to which partition, decided once and kept.

A plan is a file of lines: the job, its partitions, and how many there were. It comes to be whole, by a rename, and is
never changed. Each line has a CRC that goes on from that of the line before. It is written and read line by line, so
its size is bounded by the disk alone.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import anyio.to_thread
from attrs import asdict, frozen

from isnotai_async.errors import CheckpointError, ConfigError
from isnotai_async.export.publishing import shown
from isnotai_async.workers.folder import JobFolder
from isnotai_async.workers.partitions import Job, Partition, pack_sessions, unpack_sessions

_CHUNK: Final = 1 << 20  # bytes that are written in one go
_BATCH: Final = 64  # partitions that are read in one go
_LAST: Final = 200  # bytes that the last line has at most


@frozen
class Plan:
    """A plan that is kept in the folder of its job.

    Attributes:
        folder: The folder.
        job: The job.
        parts: How many partitions there are.
        sessions: How many sessions.
        id: Its own id, which is in each of its tasks, so that none is taken for one of another plan of the same job.
    """

    folder: JobFolder
    job: Job
    parts: int
    sessions: int
    id: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Plan | None:
        """Open the plan of a folder; None where there is none. It waits for the disk.

        Raises:
            CheckpointError: It cannot be read, is damaged, or of another version.
        """
        folder = JobFolder(Path(path))
        try:
            with folder.plan.open("rb") as file:
                first = _Lines().decode(file.readline())
                file.seek(-min(folder.plan.stat().st_size, _LAST), os.SEEK_END)
                last = json.loads(file.readlines()[-1][9:])
            job = Job(**first["job"])
            return cls(folder, job, last["end"], last["sessions"], first["id"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CheckpointError(f"cannot read {shown(folder.plan)}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, IndexError):
            raise _damaged(folder.plan) from None

    def read(self) -> Iterator[Partition]:
        """Read the partitions, in their order. It waits for the disk.

        Raises:
            CheckpointError: The plan is damaged.
        """
        lines = _Lines()
        with self.folder.plan.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    record = lines.decode(line)
                    if number and "end" not in record:
                        yield self.job.partition(record["index"], unpack_sessions(record["sessions"]), plan=self.id)
                except (ValueError, KeyError, TypeError, ConfigError):
                    raise _damaged(self.folder.plan) from None

    async def partitions(self) -> AsyncGenerator[Partition, None]:
        """Read the partitions, in their order, off the event loop; errors as of `read`."""
        reader = self.read()
        while batch := await anyio.to_thread.run_sync(_take, reader):
            for partition in batch:
                yield partition


class PlanWriter:
    """Writes a plan. All but `add` wait for the disk.

    Args:
        folder: The folder of the job.
        job: The job.
    """

    def __init__(self, folder: JobFolder, job: Job) -> None:
        self._folder = folder
        self._files = folder.files
        self._draft = folder.plan.with_name("plan.new")
        self._file: int | None = None
        self.id = token_hex(8)
        self._lines = _Lines()
        self._waiting = [self._lines.encode({"id": self.id, "job": asdict(job)})]
        self._size = self._written = 0
        self.parts = self.sessions = 0

    def add(self, partition: Partition) -> bool:
        """Add a partition; tells whether it is time to flush."""
        sessions = pack_sessions(partition.sessions)
        line = self._lines.encode({"index": partition.index, "sessions": sessions})
        self._waiting.append(line)
        self._size += len(line)
        self.parts += 1
        self.sessions += len(partition.sessions)
        return self._size >= _CHUNK

    def flush(self) -> None:
        """Write what was added."""
        if self._file is None:
            self._file = self._files.open(self._draft, create=True)
            self._files.truncate(self._file, 0)
        data = b"".join(self._waiting)
        self._files.write(self._file, self._written, data)
        self._written += len(data)
        self._waiting, self._size = [], 0

    def finish(self) -> None:
        """Make it durable, and give it its name."""
        self._waiting.append(self._lines.encode({"end": self.parts, "sessions": self.sessions}))
        self.flush()
        assert self._file is not None  # noqa: S101 - opened by flush
        self._files.sync(self._file)
        self._files.replace(self._draft, self._folder.plan)
        self._files.sync_folder(self._folder.plan.parent)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            self._files.close(descriptor)


class _Lines:
    """Lines with a running CRC."""

    def __init__(self) -> None:
        self._crc = 0

    def encode(self, record: Mapping[str, Any]) -> bytes:
        body = json.dumps(record, separators=(",", ":")).encode()
        self._crc = zlib.crc32(body, self._crc)
        return b"%08x %b\n" % (self._crc, body)

    def decode(self, line: bytes) -> dict[str, Any]:
        body = line[9:-1]
        self._crc = zlib.crc32(body, self._crc)
        if line != b"%08x %b\n" % (self._crc, body):
            raise ValueError(line[:8])
        record = json.loads(body)
        if not isinstance(record, dict):
            raise TypeError(type(record))
        return record


def _take(reader: Iterator[Partition]) -> list[Partition]:
    return list(islice(reader, _BATCH))


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{shown(path)} is damaged, or of another version of the package; choose another folder, or remove this one"
    )
