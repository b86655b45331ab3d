"""The rows of a work store: sessions, pages, records that were set aside, and what one commit changes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from attrs import frozen

PAGE_BITS: Final = 24
MOST_PAGES: Final = 1 << PAGE_BITS
"""Most pages of a session."""

State = Literal["open", "done", "failed"]


class SessionRow(NamedTuple):
    """A session as the store has it.

    Attributes:
        number: Its number, in the order in which its source gave it.
        source: Name of its source.
        region: Name that it is asked under.
        session_id: Its id.
        state: Whether it was read to its end, or has failed.
        pages: Pages in the store.
        rows: Rows in them.
        rejected: Records of it that were set aside.
        is_restarted: 1 if it is read again from its start, so that rows may come a second time.
        walks: Where its walks stand, as a JSON array; empty if it is done.
        failure: Why it has failed, as JSON; empty if it has not.
    """

    number: int
    source: str
    region: str
    session_id: str
    state: str
    pages: int
    rows: int
    rejected: int
    is_restarted: int
    walks: str
    failure: str


class PageRow(NamedTuple):
    """One or several consecutive pages of a session; see `batches.join_pages`."""

    key: int
    pages: int
    rows: int
    data: bytes


class RejectedRow(NamedTuple):
    """A record that was set aside, as msgpack of index in its page, reason and raw bytes."""

    key: int
    data: bytes


@frozen
class Totals:
    """Sums over all sessions of a store."""

    sessions: int = 0
    rows: int = 0
    rejected: int = 0


@frozen
class Change:
    """What one commit changes."""

    sessions: Sequence[SessionRow]
    pages: Sequence[PageRow]
    rejected: Sequence[RejectedRow]
    totals: Totals
