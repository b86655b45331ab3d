"""Request and response as values, and the response headers that the client reads (tier, Retry-After, Date)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import Headers
from isnotai_async.errors import printable

TIER_HEADER: Final = "x-isnotai-tier"

_SECONDS: Final = r"[0-9]{1,10}(?:\.[0-9]*)?|\.[0-9]+"
_ADVICE: Final = r"[A-Za-z]+, *[0-9]+[ -][A-Za-z][^,]*|[^,]+"  # a date has a comma, after the day of the week


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds the server asks to wait at least.

    Seconds, rounded up, or a date that is taken relative to the response's own ``Date``, so that a wrong local clock
    does not matter (RFC 9110, section 10.2.3). Of several values, which proxies join with commas, the largest counts.
    Anything else is ignored, as if it were not there.
    """
    now = _http_date(headers.get("date", ""))
    found = [_read_advice(value.strip(), now) for value in re.findall(_ADVICE, headers.get("retry-after", ""))]
    return max((seconds for seconds in found if seconds is not None), default=None)


def _read_advice(value: str, now: float | None) -> float | None:
    if re.fullmatch(_SECONDS, value):
        return float(math.ceil(float(value)))
    until = _http_date(value)
    return max(0.0, until - now) if until is not None and now is not None else None


def _http_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
        # One of the three forms has no zone; all of them are UTC (RFC 9110, section 5.6.7).
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


class Request(Struct, frozen=True):
    """One request, before it has an origin or a key.

    A struct, because two are created for each page, and an attrs class takes five times as long.

    Attributes:
        operation: Name of the operation.
        target: Path and query, fully percent-encoded.
        cursor: Its cursor, or None.
        authenticated: Whether the key is sent with it.
        bulk: Whether it is part of a walk, stream or export: these are spaced evenly, and single calls overtake them.
        session_id: Session of the events, or None.
        deadline: Time after which the answer is not needed, in seconds of the monotonic clock; None for no limit.
    """

    operation: str
    target: str
    cursor: str | None = None
    authenticated: bool = True
    bulk: bool = False
    session_id: str | None = None
    deadline: float | None = None


def show_target(request: Request) -> str:
    """Return path and query for the log, with the cursor cut to its start."""
    if request.cursor is None:
        return printable(request.target)
    cursor = quote(request.cursor, safe="")
    return printable(request.target.replace(f"cursor={cursor}", f"cursor={cursor[:12]}…"))


class Response(Struct, eq=False):
    """One answer with its body.

    Attributes:
        request: The request.
        status: HTTP status.
        headers: Its headers; the API key is taken out.
        body: Decoded content, cut at 64 KiB if the status is an error.
        region: Name of the region that answered.
        attempts: Requests that were sent for it so far; the retry sets this and the next one.
        elapsed: Seconds since the start of the call.
        deviations: Deviations from the documentation that its reader found.
    """

    request: Request
    status: int
    headers: Headers
    body: bytes
    region: str
    attempts: int = 1
    elapsed: float = 0.0
    deviations: list[Deviation] = []

    __repr__ = object.__repr__  # a struct's own would show the body
