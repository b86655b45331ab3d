"""What time it is for the server that gave a page."""
from __future__ import annotations

from isnotai_async._client import Client
from isnotai_async.export.store_schema import to_milliseconds
from isnotai_async._models.pages import Page
from isnotai_async._models.records import Session


async def read_now(client: Client, page: Page[Session]) -> int:
    """Return the server's time in Unix milliseconds."""
    return to_milliseconds((await client.health()).timestamp)
