"""The reading of one session by a sync: how far it is, and the rows of a page on their way into the store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from attrs import define, field, frozen
from msgspec.structs import astuple

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async._models.stream_positions import SessionRef
from isnotai_async.export.batches import EVENT_COLUMNS
from isnotai_async.export.sync_rules import Choice, State


@define(kw_only=True, eq=False, repr=False)
class SessionReading:
    """The reading of one session."""

    region: str  # name of its region, or of the credential in a `SessionManager`
    session_id: str
    choice: Choice  # why it is read
    began: int  # when it started, or earlier
    newest: int | None = None  # timestamp of the newest event in the store when it was chosen
    given: int = 0  # rows that the API gave so far
    pages: int = 0  # pages that the API gave so far
    added: int = 0  # rows of them that were not in the store
    differing: int = 0  # rows of them that were in the store with another content
    walks: list[dict[str, Any]] = field(factory=list)  # its position as JSON, if it can be resumed
    is_through: bool = False  # whether all of it was read
    is_gone: bool = False  # whether the API said that there is no such session
    state: State | None = None  # what the session is after that
    is_expired: bool = False  # whether the store has rows that the API no longer gives

    @property
    def target(self) -> SessionRef:
        """The session, with its region."""
        return SessionRef(self.region, self.session_id)


@frozen(eq=False, repr=False)
class Rows:
    """The rows of a page, as SQLite takes them; made on the event loop, so that the thread needs the GIL less."""

    values: tuple[Any, ...]  # the columns of the first row, those of the second, and so on
    newest: int  # the latest timestamp

    @classmethod
    def of(cls, page: Page[Event]) -> Rows:
        """Return the rows of a page that is not empty."""
        return cls(tuple(chain.from_iterable(map(astuple, page.data))), max(e.timestamp for e in page.data))

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.values) // len(EVENT_COLUMNS)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Return the rows one by one."""
        return zip(*[iter(self.values)] * len(EVENT_COLUMNS), strict=True)
