"""The row of an export: an event's fields behind the region and session it belongs to.

One row a line, UTF-8, in this order: ``region``, ``session_id``, ``event_id``, ``message_id``,
``event_type_name``, ``timestamp`` (Unix milliseconds), ``payload_size`` (bytes).
"""

from __future__ import annotations

from typing import Final

import msgspec

from isnotai_async.pages import Page
from isnotai_async.records import Event

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class _Row(msgspec.Struct, gc=False):
    region: str
    session_id: str
    event_id: str
    message_id: int
    event_type_name: str
    timestamp: int
    payload_size: int


def encode_rows(page: Page[Event], session_id: str) -> bytes:
    """Encode a page of one session as JSON lines, the last one ended too.

    Line breaks within strings are escaped, so a newline byte ends a row and nothing else does.
    """
    region = page.region
    return _encode_lines(
        [
            _Row(
                region,
                session_id,
                event.event_id,
                event.message_id,
                event.event_type_name,
                event.timestamp,
                event.payload_size,
            )
            for event in page.data
        ]
    )
