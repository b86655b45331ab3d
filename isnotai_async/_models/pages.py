"""`Page`: the records of one answer, and the cursor of the next page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from attrs import Factory, field, frozen

from isnotai_async._models.headers import Headers
from isnotai_async._models.tiers import Tier
from isnotai_async._showing import show
from isnotai_async.errors import DecodeError

T_co = TypeVar("T_co", covariant=True)

MAX_CURSOR_BYTES: Final = 16 * 2**10
"""Longest cursor that is followed. A request line has to carry it, and few servers take longer ones."""

MAX_RECORD_BYTES: Final = 64 * 2**10
"""How much is kept of the bytes of a record, or an answer, that cannot be read."""


@frozen
class RejectedRecord:
    """A record of a page that does not fit its annotations, so it could not be read.

    Attributes:
        index: Its place in the page as the server sent it, from 0.
        reason: What does not fit, with the JSON path.
        raw: Its JSON, cut at 64 KiB; the API key is taken out.
        path: JSON path of what does not fit.
    """

    index: int
    reason: str
    raw: bytes
    path: str = "$"

    __repr__ = show

    def as_error(self) -> DecodeError:
        """Return the error that a walk raises for it."""
        return DecodeError(self.reason, path=self.path, record=_read_json(self.raw), body=self.raw)


def _read_json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


@frozen
class Page(Generic[T_co]):
    """One page of a list.

    Attributes:
        data: The records, in the order of the answer.
        next_cursor: Opaque place of the next page; None on the last one.
        has_more: Whether more follows. This alone tells the end: a page may be empty and have more behind it.
        limit: Page size that the server used, or None if the answer does not say.
        tier: Tier the key resolved to, or None where the answer named no known one.
        region: Name of the region that answered.
        session_id: Session that the records are events of; None for other lists.
        name: Name it was asked under: the region's, or in a `SessionManager` that of the credential.
        rejected: Records of the answer that could not be read, in their order; `data` does not have them. Pages that
            you get have some only from a stream with ``on_error="collect"``; a walk raises `DecodeError` instead.
        headers: Headers of the answer, read by name in any case; the API key is taken out. They do not count in
            comparisons.
    """

    data: tuple[T_co, ...]
    next_cursor: str | None
    has_more: bool
    limit: int | None
    tier: Tier | None
    region: str
    session_id: str | None = None
    name: str = field(default=Factory(lambda page: page.region, takes_self=True))
    rejected: tuple[RejectedRecord, ...] = field(default=(), repr=False, kw_only=True)
    headers: Mapping[str, str] = field(factory=Headers, eq=False, repr=False, kw_only=True)

    __repr__ = show
