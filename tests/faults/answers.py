"""Answers: correct ones to start from, and the parts to build broken ones of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.server import Headers, Step


def http_head(status: int = 200, headers: Headers = ()) -> bytes:
    """Build a status line and headers, with nothing added."""
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def http_reply(body: bytes = b"", *, status: int = 200, headers: Headers = ()) -> bytes:
    """Build a reply whose Content-Length is right."""
    return http_head(status, [*headers, ("Content-Length", str(len(body)))]) + body


def json_reply(value: object, *, status: int = 200, headers: Headers = ()) -> bytes:
    """Build a reply that is correct in every part, as the API would give it."""
    kind = ("Content-Type", "application/json; charset=utf-8")
    return http_reply(json.dumps(value).encode(), status=status, headers=[kind, *headers])


def error_reply(status: int, code: str, message: str, *, headers: Headers = (), **rest: object) -> bytes:
    """Build a refusal in the API's envelope; `rest` is ``details=`` and the like."""
    error: Mapping[str, object] = {"code": code, "message": message, **rest}
    return json_reply({"error": error}, status=status, headers=headers)


def http_chunk(data: bytes) -> bytes:
    """Build one chunk of a chunked body; the empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sliced(data: bytes, size: int = 1) -> list[Step]:
    """Cut bytes into writes of a few bytes each."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def event_row(number: int) -> dict[str, Any]:
    """Make the JSON of one event."""
    return {
        "eventId": f"e{number}",
        "messageId": number % 256,
        "eventTypeName": "keypress",
        "timestamp": 1_781_000_000_000 + number,
        "payloadSize": 24,
    }


def session_row(name: str) -> dict[str, Any]:
    """Make the JSON of one session."""
    return {
        "id": name,
        "createdAt": "2026-06-10T12:00:00.0000000+00:00",
        "updatedAt": "2026-06-10T12:05:00.0000000+00:00",
        "status": "closed",
        "botScore": 0.25,
        "detectionFlags": ["paste_burst"],
        "pageUrl": "https://learn.example/essay",
        "userAgentSummary": "Firefox on Linux",
        "userId": "u1",
        "userName": "Ada",
        "userUrl": "https://learn.example/u1",
    }


def listing(rows: Sequence[object], cursor: object = None, **pagination: object) -> dict[str, Any]:
    """Make the JSON of one page; it is the last one where `cursor` is None."""
    more = {"nextCursor": cursor, "hasMore": cursor is not None, "limit": 100, **pagination}
    return {"data": list(rows), "pagination": more}


def event_page(*numbers: int, cursor: object = None, headers: Headers = ()) -> bytes:
    """Build the reply with these events; it is the last page where `cursor` is None."""
    return json_reply(listing([event_row(number) for number in numbers], cursor), headers=headers)
