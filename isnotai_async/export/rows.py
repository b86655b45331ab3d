"""The row of an export: an event's fields behind the region and session it belongs to.

The schema, version 1, the same columns in the same order in every format:

================== ====== ============================================================================
column             type   meaning
================== ====== ============================================================================
region             string name the session was asked under: its region's, or that of the credential
session_id         string session the event belongs to
event_id           string id of the event
message_id         int    the message-type byte
event_type_name    string name of that type, such as ``keypress``; an open list
timestamp          int    Unix time in milliseconds; in Parquet a timestamp in milliseconds, UTC
payload_size       int    size of the payload in bytes
================== ====== ============================================================================

JSON Lines: one object a line, UTF-8, ended by a newline byte, which occurs nowhere else. CSV: see `encoding`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event

SCHEMA_VERSION: Final = 1

COLUMNS: Final = (
    "region",
    "session_id",
    "event_id",
    "message_id",
    "event_type_name",
    "timestamp",
    "payload_size",
)

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class _Row(msgspec.Struct, gc=False):
    region: str
    session_id: str
    event_id: str
    message_id: int
    event_type_name: str | None
    timestamp: int
    payload_size: int


def encode_rows(page: Page[Event], session_id: str | None = None) -> bytes:
    """Encode a page of one session as JSON lines, the last one ended too.

    Line breaks within strings are escaped, so a newline byte ends a row and nothing else does.

    Args:
        page: The page.
        session_id: The session, where the page does not say.
    """
    name, session = page.name, session_id or page.session_id or ""
    return _encode_lines(
        [
            _Row(
                name,
                session,
                event.event_id,
                event.message_id,
                event.event_type_name,
                event.timestamp,
                event.payload_size,
            )
            for event in page.data
        ]
    )
