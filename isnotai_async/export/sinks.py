"""What the export asks of a place for rows.

A sink works in files beside the target, and the target takes its name in one step when all is done. The order in
which its methods are called is the whole promise:

1. ``check_left`` (unless all is to be removed), ``discard``, ``begin`` for an export from the start; ``recover`` for
   one that goes on.
2. ``write`` for each page; now and then ``sync``, then the mark it returned is made durable in the journal, then
   ``settle``. When this happens depends on the time, so it must not change what is written.
3. ``finish``; the mark it returned is made durable in the journal; ``publish``; ``clean``.

A process may die between any two operations on the disk. The next one meets what is there, and the last mark that the
journal has: of step 2, and then it calls ``recover``; or of step 3, and then it calls ``publish`` and ``clean``.

All methods run in one thread, one at a time, off the event loop. `OSError` may come out of each; after one from
``sync`` or ``finish`` nothing but ``close`` is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event

Mark = Mapping[str, Any]
"""How far a sink is, as values of JSON; nobody else reads it, but for ``size`` in the mark of ``finish``."""


class Sink(Protocol):
    """A place for rows."""

    @property
    def is_folder(self) -> bool:
        """Whether the target will be a folder."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def check_left(self) -> None:
        """Check that nothing lies beside the target which has rows: there is no journal that would speak of them.

        Raises:
            CheckpointError: There is, of an export whose journal was removed, or of somebody else.
        """
        ...

    def discard(self) -> None:
        """Remove whatever an earlier export left beside the target, but for the target itself."""
        ...

    def begin(self) -> None:
        """Make the files to write into, empty. The caller makes their names durable."""
        ...

    def recover(self, mark: Mark) -> None:
        """Go back to a mark: check what was committed, and remove everything after it.

        Args:
            mark: What the last ``sync`` returned of which the journal knows.

        Raises:
            CheckpointError: What was committed is not there any more, or is not what it was.
        """
        ...

    def write(self, page: Page[Event]) -> None:
        """Write the rows of a page; `Page.name` and `Page.session_id` are their region and session.

        It is encoded whole before the first byte is written.
        """
        ...

    def sync(self) -> Mark:
        """Make all that was written durable, and tell how far that is."""
        ...

    def settle(self) -> None:
        """Drop what the last mark needs no more. ``recover`` makes up for it where this was never called."""
        ...

    def rollback(self) -> None:
        """Give the room on the disk back that was taken since the last ``sync``, because a ``write`` has failed."""
        ...

    def written_ids(self, name: str, session_id: str) -> set[str]:
        """Return the event ids that are written of a session; called right after ``sync``."""
        ...

    def finish(self) -> Mark:
        """Make durable, under a name of its own, what the target will be.

        Returns:
            A mark that is enough for ``publish`` and ``clean`` in another process; ``size`` is the target's in bytes.
        """
        ...

    def publish(self, mark: Mark, *, force: bool) -> None:
        """Give it the target's name, in one step and durably. Does nothing where that is done already.

        Args:
            mark: What ``finish`` returned.
            force: Replace what has the name.

        Raises:
            SinkError: Something has the name, and is not to be replaced.
            CheckpointError: What was finished is gone, or is not what it was.
        """
        ...

    def clean(self) -> None:
        """Remove all that is left beside the target, after ``publish``."""
        ...

    def close(self) -> None:
        """Close the files; idempotent, at any time, and without an error."""
        ...
