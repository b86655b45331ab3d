"""What time it is for the server that gave a page."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from isnotai_async._client import Client
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Session
from isnotai_async.export.store_schema import to_milliseconds


async def read_now(client: Client, page: Page[Session]) -> int:
    """Return the server's time in Unix milliseconds, rounded down."""
    date = getattr(page, "headers", {}).get("date")
    if date is not None:
        return to_milliseconds(parsedate_to_datetime(date))
    return to_milliseconds((await client.health()).timestamp)
