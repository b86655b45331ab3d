"""The disk's side of an export: a sink, a journal, and the order in which they are made durable.

Everything here runs in the file thread. The order of a commit, which all depends on: the sink's data, then the
journal's record of them, then whatever the sink needs no more.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.errors import CheckpointError, SinkError
from isnotai_async.export.checkpoint import Checkpoint, Identity, commit_record, done_record
from isnotai_async.export.files import Files
from isnotai_async.export.identity import check_identity
from isnotai_async.export.journal import Journal
from isnotai_async.export.publishing import beside, shown
from isnotai_async.export.sinks import Sink

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Store:
    """What an export has on the disk.

    Args:
        files: The disk.
        target: The file or folder to be.
        sink: Where the rows go.
    """

    def __init__(self, files: Files, target: Path, sink: Sink) -> None:
        self._files = files
        self._target = target
        self._sink = sink
        self._journal = Journal(files, beside(target, ".journal"))
        self._checkpoint: Checkpoint | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """What is committed."""
        assert self._checkpoint is not None, "open() comes first"  # noqa: S101 - a mistake of the caller's
        return self._checkpoint

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._sink.size

    def open(self, identity: Identity, *, resume: bool, force: bool) -> Checkpoint:
        """Go on where an earlier run stood, or begin.

        Args:
            identity: Which export this is.
            resume: Whether to go on. Otherwise what an earlier run left is removed.
            force: Whether the target may be replaced.

        Raises:
            SinkError: The target cannot be written, or exists and is not to be replaced.
            CheckpointError: The earlier run was another export, or what it left is damaged or without its journal.
        """
        records = self._journal.read() if resume else None
        checkpoint = None if records is None else Checkpoint.read(records)
        if checkpoint is not None and checkpoint.is_worthless and checkpoint.identity != identity:
            checkpoint = None  # of a command that failed at once, as a mistyped one does
        if checkpoint is not None:
            check_identity(identity, checkpoint.identity)
        if checkpoint is None or not checkpoint.is_done:  # else the target may be ours already
            check_target(self._files, self._target, force=force, is_folder=self._sink.is_folder)
        if records is None and resume:
            self._sink.check_left()
        if checkpoint is None:
            self._begin(identity)
        else:
            self._checkpoint = checkpoint
            self._recover(checkpoint)
        return self.checkpoint

    def _begin(self, identity: Identity) -> None:
        self._journal.remove()  # before what it speaks of, so that it never speaks of what is not there
        self._sink.discard()
        self._sink.begin()
        self._checkpoint = Checkpoint(identity=identity, mark=self._sink.sync())
        self._files.sync_folder(self._target.parent)  # the files that the journal speaks of come before it
        self._journal.start(self._checkpoint.records())

    def _recover(self, checkpoint: Checkpoint) -> None:
        if checkpoint.is_done:
            return
        self._sink.recover(checkpoint.mark)
        # Written anew, the journal has no spoilt line, nor one that was read from memory and is not on the disk.
        self._journal.start(checkpoint.records())

    def write(self, pages: Iterable[Page[Event]]) -> None:
        """Write the rows of pages."""
        for page in pages:
            self._sink.write(page)

    def commit(self, pages: Iterable[Page[Event]], change: Mapping[str, Any]) -> None:
        """Write the last pages, and make durable all that was written.

        Args:
            pages: The pages.
            change: The arguments of `commit_record` but for the mark.
        """
        self.write(pages)
        record = commit_record(mark=self._sink.sync(), **change)
        self._journal.append(record)
        self._sink.settle()
        self.checkpoint.apply(record)
        if self._journal.is_large:
            self._journal.start(self.checkpoint.records())

    def written_ids(self, name: str, session_id: str) -> set[str]:
        """Return the event ids that are written of a session; only right after a commit."""
        return self._sink.written_ids(name, session_id)

    def seal(self) -> None:
        """Finish the file; what is missing then is its name."""
        checkpoint = self.checkpoint
        if not checkpoint.is_done:
            record = done_record(self._sink.finish())
            self._journal.append(record)
            checkpoint.apply(record)

    def publish(self, *, force: bool) -> int:
        """Give the finished file its name, and remove what is left beside it.

        Returns:
            Its size in bytes.

        Raises:
            SinkError: Something has the name, and is not to be replaced.
            CheckpointError: It was finished before, and is gone.
        """
        mark = self.checkpoint.mark
        self._sink.publish(mark, force=force)
        self._sink.clean()
        self._journal.remove()
        return int(mark["size"])

    def rollback(self) -> None:
        """Give room on a full disk back; nothing depends on it."""
        self._sink.rollback()

    def close(self) -> None:
        """Close the files; idempotent."""
        self._journal.close()
        self._sink.close()


def check_target(files: Files, target: Path, *, force: bool, is_folder: bool) -> None:
    """Check that a target can come to be.

    Raises:
        SinkError: It cannot; the message says why.
    """
    there = files.inspect(target)
    if there is None:
        return
    if is_folder and there.kind != "folder":
        raise SinkError(f"{shown(target)} is no folder; name one to write segments into")
    if not is_folder and there.kind == "folder":
        raise SinkError(f"{shown(target)} is a directory; name a file to write into")
    if not force:
        raise SinkError(f"{shown(target)} exists; choose another name, or replace it with force=True (--force)")
    if there.kind == "other":
        raise SinkError(f"{shown(target)} is no regular file; name one to write into")


def explain_failure(error: OSError, target: Path, rows: int | None) -> SinkError:
    """Say what the disk's error means.

    Args:
        error: The error.
        target: The target.
        rows: Rows that are safe; None where nothing was begun.
    """
    reason = error.strerror or type(error).__name__
    if isinstance(error.filename, str) and Path(error.filename) != target:
        reason = f"{Path(error.filename).name!r}: {reason}"
    if rows is None:
        return SinkError(f"cannot write {shown(target)}: {reason}")
    advice = "make room" if error.errno in NO_ROOM else "see to the disk"
    return SinkError(
        f"cannot write {shown(target)}: {reason}. {rows:,} rows are safe: {advice}, and run the same again to go on"
    )


def explain_other_account(target: Path) -> CheckpointError:
    """Say that the checkpoint is of another account."""
    return CheckpointError(
        f"{shown(target)} was begun with a key of another account, which may not read the sessions it has; use that "
        "account's key, start over with resume=False (--no-resume), or choose another target"
    )
