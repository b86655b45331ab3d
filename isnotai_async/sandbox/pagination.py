"""Pagination of all lists: cursors in, pages out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Literal

from attrs import frozen

from isnotai_async.sandbox.cursors import CursorRefusedError, Place
from isnotai_async.sandbox.faults import PageFault
from isnotai_async.sandbox.params import Query, bad_value
from isnotai_async.sandbox.region import SandboxRegion
from isnotai_async.sandbox.responses import SandboxReply, json_answer

# The API says the last page's cursor may be null, empty or absent: endpoints differ, so that clients meet several.
LastCursor = Literal["null", "absent"]


@frozen
class Visit:
    """One admitted request on its way to its operation.

    Attributes:
        region: The region that received it.
        names: Values of the path's placeholders, decoded.
        query: Its query.
        now: Seconds on the server's monotonic clock.
        page_fault: Wrong information to put into its page, or None.
    """

    region: SandboxRegion
    names: Mapping[str, str]
    query: Query
    now: float
    page_fault: PageFault | None = None


@frozen(kw_only=True)
class PagedList:
    """A filtered list, from which pages are cut.

    Attributes:
        visit: The request.
        operation: Name of the operation.
        filters: JSON values to which its cursors are bound, in addition to region and operation.
        size: Rows of a page.
        last_cursor: How the last page writes that there is no cursor.
    """

    visit: Visit
    operation: str
    filters: tuple[object, ...]
    size: int
    last_cursor: LastCursor

    @property
    def _scope(self) -> tuple[object, ...]:
        return (self.visit.region.name, self.operation, *self.filters)

    def place(self) -> Place:
        """Return the start of the requested page; an empty cursor counts as absent.

        Raises:
            RefusedError: The cursor is not one of this list.
        """
        if not (token := self.visit.query.get("cursor")):
            return Place()
        try:
            return self.visit.region.mints[self.operation].place(self._scope, token, now=self.visit.now)
        except CursorRefusedError as error:
            raise bad_value("cursor", f"is refused: {error}", "SANDBOX_INVALID_CURSOR") from error

    def answer(self, place: Place, indexes: Iterator[int], show: Callable[[int], object]) -> SandboxReply:
        """Answer with the page at a place, from the indexes of the rows that pass the filters from there on."""
        # One more row than the page holds, to know whether there are more.
        found = list(islice(indexes, self.size + 1))
        rows, more = [show(index) for index in found[: self.size]], found[self.size :]
        match self.visit.page_fault:
            case PageFault.EMPTY:
                return self._write([], self._token(Place(place.index, (place.turn + 1) % 2**16)), more=True)
            case PageFault.REPEATED_CURSOR:
                return self._write(rows, self.visit.query.get("cursor"), more=True)
            case PageFault.NO_CURSOR:
                return self._write(rows, None, more=True)
        return self._write(rows, self._token(Place(more[0])) if more else None, more=bool(more))

    def _token(self, place: Place) -> str:
        return self.visit.region.mints[self.operation].token(self._scope, place, now=self.visit.now)

    def _write(self, rows: list[object], cursor: str | None, *, more: bool) -> SandboxReply:
        pagination: dict[str, object] = {"nextCursor": cursor, "hasMore": more, "limit": self.size}
        if not more and self.last_cursor == "absent":
            del pagination["nextCursor"]
        return json_answer({"data": rows, "pagination": pagination})
