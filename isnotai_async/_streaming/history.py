"""Warns if a query starts before the history window of the tier; the API then answers with an empty page.

The client knows the tier from the answer and the start from the query. That the list is empty for this reason is
likely but not certain, so it is a warning. Source: "Rate limits" of the vendor's guide (documentation version
1.0.17.0).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, field

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventFilters, Query, SessionQuery
from isnotai_async._models.tiers import Tier
from isnotai_async._models.times import to_milliseconds
from isnotai_async._notices import count_own_frames
from isnotai_async.errors import IsNotAIWarning

Clock = Callable[[], datetime]
"""Returns the time, as an aware datetime."""

_WINDOWS: Final = {
    Tier.FREE: "7 days by default",
    Tier.PRO: "30 days by default",
    Tier.ENTERPRISE: "up to 7 years",
}


def wall_clock() -> datetime:
    """Return the time of this machine, in UTC."""
    return datetime.now(UTC)


@define(eq=False, repr=False)
class HistoryWatch:
    """Warns, once, of an empty list that starts before the history window of the key's tier.

    There is one for each walk, and one for a stream with all its sessions; in a stream, the first empty session
    counts.

    Attributes:
        query: The query; for a stream, that of any session.
        clock: Returns the time.
    """

    query: Query
    clock: Clock = wall_clock
    _has_warned: bool = field(default=False, init=False)

    def see_empty(self, page: Page[Any]) -> None:
        """Note the last page of a list without records.

        Raises:
            IsNotAIWarning: If the program turns warnings into errors.
        """
        name, start = _start_of(self.query)
        if start is None or page.tier is None or self._has_warned:
            return
        oldest = self.clock() - page.tier.history
        if not _lies_before(start, oldest):
            return
        self._has_warned = True
        text = (
            f"nothing was found, and {name} {start} is before the history window of the {page.tier} tier: "
            f"{_WINDOWS[page.tier]}, now from {oldest:%Y-%m-%d} on. The API answers an earlier start with an empty "
            "page and no error; ask for a later one"
        )
        warnings.warn(text, IsNotAIWarning, stacklevel=count_own_frames())


def _start_of(query: Query) -> tuple[str, int | str | None]:
    match query:
        case EventFilters():
            return "start_time", query.start_time
        case SessionQuery():
            return "start_date", query.start_date
    return "", None


def _lies_before(start: int | str, moment: datetime) -> bool:
    if isinstance(start, str):
        return datetime.fromisoformat(start) < moment
    return start < to_milliseconds(moment)
