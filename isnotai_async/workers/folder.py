"""The folder of a job: where its plan, its work and its parts lie, and how a part gets its name.

::

    DIR/part-000000-9f2c….jsonl      finished parts, and nothing unfinished
    DIR/_manifest.json               at the end: what is in them
    DIR/.job/plan                    see `plan`
    DIR/.job/unfinished/             parts that are being exported, with their journals and locks
    DIR/.job/reports/NAME.json       one for each finished part; who has none is not finished
    DIR/.job/troubles/NAME.json      why an attempt failed, until whoever runs the job has read it

The parts of a job may be exported many times at once: queues deliver a task at least once. What protects what:

1. *Two at one part.* The second finds the lock (``flock``, which ends with its process) and leaves.
2. *Again after it was finished.* The report is there, and nothing is asked or written.
3. *After a kill.* The journal is there, and the export goes on where it stood.
4. *A process that was thought dead* cannot replace a finished part: a part gets its name by a link, which fails where
   there is one, and not by a rename. Its report tells its digest, which is checked when parts are merged.
5. *A task of an older plan* is not taken for one of this: a plan has an id of its own, and its tasks name it.

1 and 3 need a file system whose ``flock`` works among all workers: a local one, or NFSv4. Where it does not, two that
are at one part can spoil their common *work*, and nothing prevents or finds that: the digest is that of the spoilt
part, so only what changes after the report is found. Give workers on other hosts jobs and folders of their own there,
and put the parts together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypeVar

from isnotai_async.errors import CheckpointError, ConfigError, SinkError
from isnotai_async.export.files import Files
from isnotai_async.export.publishing import beside, shown
from isnotai_async.export.segments import MANIFEST, write_file
from isnotai_async.workers.partitions import Partition
from isnotai_async.workers.reports import PartReport, Trouble

T = TypeVar("T")


class JobFolder:
    """The folder of a job. Everything here waits for the disk.

    Args:
        path: The folder.
        files: The disk.
    """

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self.files = files or Files()
        self.plan = path / ".job" / "plan"
        self.unfinished = path / ".job" / "unfinished"
        self._reports = path / ".job" / "reports"
        self._troubles = path / ".job" / "troubles"

    def make(self) -> None:
        """Make what is missing of it.

        Raises:
            SinkError: It cannot be made.
        """
        try:
            for folder in (self.path, self.plan.parent, self.unfinished, self._reports, self._troubles):
                self.files.make_folder(folder)
                self.files.sync_folder(folder.parent)
        except OSError as error:
            raise SinkError(f"cannot make the folder {shown(self.path)}: {error.strerror}") from None

    def part(self, partition: Partition) -> Path:
        """Return where a part will be."""
        return self.path / partition.file_name

    def draft(self, partition: Partition) -> Path:
        """Return where a part is before it gets its name."""
        return self.unfinished / partition.file_name

    def read_report(self, partition: Partition) -> PartReport | None:
        """Read the report of a part; None where it is not finished.

        Raises:
            CheckpointError: The report is damaged, or its part is gone or has another size.
            SinkError: The disk failed.
        """
        report = self._read(self._reports / f"{partition.name}.json", PartReport.from_json)
        if report is None:
            return None
        try:
            part = self.files.inspect(self.part(partition))
        except OSError as error:
            raise _unread(self.part(partition), error) from None
        if part is None or part.kind != "file" or part.size != report.size:
            size = "is gone" if part is None else f"has {part.size:,} bytes, and had {report.size:,}"
            raise CheckpointError(
                f"{shown(self.part(partition))} {size}; put it back, or remove "
                f"{shown(self._reports / partition.name)}.json to export it again"
            )
        return report

    def prepare(self, partition: Partition) -> bool:
        """Look what an earlier attempt has left.

        Returns:
            Whether it is a part that only needs its name.
        """
        draft = self.draft(partition)
        if self._drafted_report(partition) is not None:
            return True
        if self.files.inspect(draft) and not self.files.inspect(beside(draft, ".journal")):
            # Finished, and killed before it was reported. Which sessions had failed is not known any more.
            self.files.unlink(draft)
        return False

    def _drafted_report(self, partition: Partition) -> PartReport | None:
        return self._read(self.unfinished / f"{partition.name}.json", PartReport.from_json)

    def write_draft_report(self, report: PartReport) -> None:
        """Report on a draft, durably. From now on it only needs its name."""
        self._write(self.unfinished / f"{report.name}.json", report.to_json())

    def publish(self, partition: Partition) -> PartReport:
        """Give a draft and its report their names, durably; where that was begun before, go on from there.

        Raises:
            SinkError: Another part has the name.
        """
        draft, part, files = self.draft(partition), self.part(partition), self.files
        report = self._drafted_report(partition)
        assert report is not None, "the draft's report comes first"  # noqa: S101 - a mistake of the caller's
        source, there = files.inspect(draft), files.inspect(part)
        if source is None or (there is not None and there.identity != source.identity):
            _check_same(part, report)
        elif there is None:
            _link(files, draft, part)
        files.sync_folder(self.path)
        files.replace(self.unfinished / f"{report.name}.json", self._reports / f"{report.name}.json")
        files.sync_folder(self._reports)
        files.unlink(draft)
        return report

    def write_trouble(self, trouble: Trouble) -> None:
        """Tell whoever runs the job that an attempt has failed."""
        self._write(self._troubles / f"{trouble.name}.json", trouble.to_json())

    def take_troubles(self) -> list[Trouble]:
        """Read why attempts have failed, each once.

        Raises:
            CheckpointError: One is damaged.
            SinkError: They cannot be read or removed.
        """
        try:
            paths = [self._troubles / name for name in self.files.names(self._troubles) if name.endswith(".json")]
            troubles = [self._read(path, Trouble.from_json) for path in paths]
            for path in paths:
                self.files.unlink(path)
        except OSError as error:
            raise _unread(self._troubles, error) from None
        return [trouble for trouble in troubles if trouble is not None]

    def write_manifest(self, manifest: dict[str, Any]) -> Path:
        """Write the manifest; one that is there is replaced."""
        path = self.path / MANIFEST
        self._write(path, json.dumps(manifest, indent=1))
        return path

    def _read(self, path: Path, read: Callable[[str], T]) -> T | None:
        try:
            return read(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unread(path, error) from None
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"{shown(path)} is damaged; remove it, and run the same again") from None

    def _write(self, path: Path, text: str) -> None:
        draft = path.with_name(f"{path.name}.new")
        write_file(self.files, draft, text.encode())
        self.files.replace(draft, path)
        self.files.sync_folder(path.parent)


def find_job_folder(path: Path, partition: Partition) -> JobFolder:
    """Return the folder of a partition's job.

    Raises:
        ConfigError: There is no plan of that job: the folder is another, or not shared with this machine.
    """
    folder = JobFolder(path)
    try:
        with folder.plan.open("rb") as plan:
            first = plan.readline(1 << 20)
    except OSError:
        first = b""
    if f'"id":"{partition.job}"'.encode() not in first:
        raise ConfigError(
            f"there is no plan {partition.job} in {shown(path)}; the folder has to be shared by all workers and "
            "whoever runs the job, or this is a task of an older plan"
        )
    return folder


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _unread(path: Path, error: OSError) -> SinkError:
    # No CheckpointError: the disk may be back at another attempt.
    return SinkError(f"cannot read {shown(path)}: {error.strerror}; see to the disk, and run the same again")


def _link(files: Files, draft: Path, part: Path) -> None:
    try:
        files.link(draft, part)  # unlike a rename, it fails where another has come to be meanwhile
    except FileExistsError:
        raise SinkError(f"{shown(part)} has come to exist meanwhile; it was left alone") from None


def _check_same(part: Path, report: PartReport) -> None:
    try:
        is_same = digest_file(part) == report.sha256
    except OSError:
        is_same = False
    if not is_same:
        raise SinkError(
            f"{shown(part)} exists, or is gone, and is not the part that was exported; move it away and remove "
            f"what begins with {report.name} in .job/unfinished, and it is exported again"
        )
