"""What time it is for the server that gave a page."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from isnotai_async._client import Client
from isnotai_async._models.pages import Page
from isnotai_async._models.times import to_milliseconds
from isnotai_async.errors import DecodeError


async def read_now(client: Client, page: Page[Any]) -> int:
    """Return the server's time in Unix milliseconds, rounded down: the ``Date`` of a page, else that of ``/health``.

    A proxy may take the header away or replace it by nonsense; the clock of this machine is never asked.
    """
    date: datetime | None
    try:
        date = parsedate_to_datetime(page.headers.get("date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        date = (await client.health()).timestamp
    if date is None:
        raise DecodeError(
            "the answer of /health has no timestamp, so the server's time is not known", path="$.timestamp"
        )
    return to_milliseconds(date if date.tzinfo is not None else date.replace(tzinfo=UTC))
