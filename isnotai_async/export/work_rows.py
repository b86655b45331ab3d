"""The rows of a work store: sessions, pages, records that were set aside, and what one commit changes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict

from attrs import frozen
from msgspec import Meta

from isnotai_async._models.stream_positions import SessionRef

PAGE_BITS: Final = 24
MOST_PAGES: Final = 1 << PAGE_BITS
"""Most pages of a session."""

State = Literal["open", "done", "failed"]

Count = Annotated[int, Meta(ge=0)]


class Receipt(TypedDict):
    """The store's record of a finished target."""

    size: Count
    digest: str  # SHA-256
    format: str  # as of `Format.described`
    sessions: dict[str, Any]  # as of `sum_digests`, whatever their source was
    report: dict[str, Any]  # as of `report_to_json`


class SessionRow(NamedTuple):
    """The row of a session in the store."""

    number: Count  # in the order in which its source gave it
    source: str
    region: str  # the name that it is asked under
    session_id: str
    state: State
    pages: Count
    rows: Count
    rejected: Count
    is_restarted: Count  # 1 if it is read again from its start, so that rows may come a second time
    walks: str  # where they stand, as a JSON array; empty if it is done
    failure: str  # as JSON; empty if it has not failed

    @property
    def target(self) -> SessionRef:
        """The session, with its region."""
        return SessionRef(self.region, self.session_id)


class PageRow(NamedTuple):
    """One or several consecutive pages of a session, encoded. The store joins them, in its thread: they are large."""

    key: int
    rows: int
    pages: Sequence[bytes]


class RejectedRow(NamedTuple):
    """A record that was set aside, as msgpack of index in its page, reason and raw bytes."""

    key: int
    data: bytes


@frozen(eq=False, repr=False)
class Totals:
    """Sums over all sessions of a store."""

    sessions: Count = 0
    rows: Count = 0
    rejected: Count = 0


@frozen(eq=False, repr=False)
class Change:
    """The changes of one commit."""

    sessions: Sequence[SessionRow]
    pages: Sequence[PageRow]
    rejected: Sequence[RejectedRow]
    totals: Totals
