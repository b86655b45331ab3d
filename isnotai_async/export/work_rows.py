"""The rows of a work store: sessions, pages, records that were set aside, and what one commit changes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypedDict

from attrs import frozen
from msgspec import Meta

PAGE_BITS: Final = 24
MOST_PAGES: Final = 1 << PAGE_BITS
"""Most pages of a session."""

State = Literal["open", "done", "failed"]

Count = Annotated[int, Meta(ge=0)]


class Receipt(TypedDict):
    """The store's record of a finished target.

    Attributes:
        size: Bytes in it.
        digest: Its SHA-256.
        format: Its format, as of `Format.described`.
        sessions: Number and digest of its sessions, as of `sum_digests`, whatever their source was.
        report: The report of its export, as of `report_to_json`.
    """

    size: Count
    digest: str
    format: str
    sessions: dict[str, Any]
    report: dict[str, Any]


class SessionRow(NamedTuple):
    """The row of a session in the store.

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

    number: Count
    source: str
    region: str
    session_id: str
    state: State
    pages: Count
    rows: Count
    rejected: Count
    is_restarted: Count
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

    sessions: Count = 0
    rows: Count = 0
    rejected: Count = 0


@frozen
class Change:
    """The changes of one commit."""

    sessions: Sequence[SessionRow]
    pages: Sequence[PageRow]
    rejected: Sequence[RejectedRow]
    totals: Totals
