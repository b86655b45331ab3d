"""`Page`: the records of one answer, and the cursor of the next page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from attrs import Factory, field, frozen

from isnotai_async._models.headers import Headers
from isnotai_async._models.tiers import Tier
from isnotai_async._showing import show

T_co = TypeVar("T_co", covariant=True)

MAX_CURSOR_BYTES: Final = 4096
"""Longest cursor that is followed; a request line has to carry it, and 8 KiB is the usual bound of one."""


@frozen
class Page(Generic[T_co]):
    """One page of a list.

    Attributes:
        data: The records, in the order of the answer.
        next_cursor: Opaque place of the next page; None on the last one.
        has_more: Whether more follows. This alone tells the end: a page may be empty and have more behind it.
        limit: Page size that the server used.
        tier: Tier the key resolved to, or None where the answer named no known one.
        region: Name of the region that answered.
        session_id: Session that the records are events of; None for other lists.
        name: Name it was asked under: the region's, or in a `SessionManager` that of the credential.
        headers: Headers of the answer, read by name in any case; the API key is taken out. They do not count in
            comparisons.
    """

    data: tuple[T_co, ...]
    next_cursor: str | None
    has_more: bool
    limit: int
    tier: Tier | None
    region: str
    session_id: str | None = None
    name: str = field(default=Factory(lambda page: page.region, takes_self=True))
    headers: Mapping[str, str] = field(factory=Headers, eq=False, repr=False, kw_only=True)

    __repr__ = show
