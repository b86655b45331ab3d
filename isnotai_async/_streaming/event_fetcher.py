"""`EventFetcher`: how a stream asks one region."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.records import Event, SessionDetails


class EventFetcher(NamedTuple):
    """The functions that fetch pages and details from one region.

    Attributes:
        region: Its name.
        fetch_page: Fetches the page of a query at a cursor; None is the first page.
        fetch_details: Fetches the details of a session.
    """

    region: str
    fetch_page: Callable[[EventQuery, str | None], Awaitable[Page[Event]]]
    fetch_details: Callable[[str], Awaitable[SessionDetails]]


FindFetcher = Callable[[str], EventFetcher]
"""Returns how a region is asked, by its name; raises `ConfigError` for a name that is not known."""
