"""The reading of one session by a sync: how far it is, and the rows of a page on their way into the store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from attrs import define, field, frozen

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.export.batches import EVENT_COLUMNS
from isnotai_async.export.sync_rules import Choice, State

_read: Final = attrgetter(*EVENT_COLUMNS)


@define(kw_only=True, eq=False)
class SessionReading:
    """The reading of one session.

    Attributes:
        region: Name of its region, or of the credential in a `SessionManager`.
        session_id: Its id.
        choice: Why it is read.
        began: When it started, or earlier.
        newest: Timestamp of the newest event in the store when it was chosen.
        given: Rows that the API gave so far.
        pages: Pages that the API gave so far.
        added: Rows of them that were not in the store.
        differing: Rows of them that were in the store with another content.
        walks: Its position as JSON, if it can be resumed.
        is_through: Whether all of it was read.
        is_gone: Whether the API said that there is no such session.
        state: What the session is after that.
        is_expired: Whether the store has rows that the API no longer gives.
    """

    region: str
    session_id: str
    choice: Choice
    began: int
    newest: int | None = None
    given: int = 0
    pages: int = 0
    added: int = 0
    differing: int = 0
    walks: list[dict[str, Any]] = field(factory=list)
    is_through: bool = False
    is_gone: bool = False
    state: State | None = None
    is_expired: bool = False

    @property
    def target(self) -> SessionRef:
        """The session, with its region."""
        return SessionRef(self.region, self.session_id)


@frozen(eq=False)
class Rows:
    """The rows of a page, as SQLite takes them. They are made on the event loop: the thread then needs the GIL less.

    Attributes:
        values: The columns of the first row, those of the second, and so on.
        newest: The latest timestamp.
    """

    values: tuple[Any, ...]
    newest: int

    @classmethod
    def of(cls, page: Page[Event]) -> Rows:
        """Return the rows of a page that is not empty."""
        return cls(tuple(chain.from_iterable(map(_read, page.data))), max(e.timestamp for e in page.data))

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.values) // len(EVENT_COLUMNS)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Return the rows one by one."""
        return zip(*[iter(self.values)] * len(EVENT_COLUMNS), strict=True)
