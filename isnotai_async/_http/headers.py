"""The response headers that mean something here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

TIER_HEADER: Final = "x-isnotai-tier"
HEADERS: Final = (TIER_HEADER, "content-type", "date", "retry-after")
"""The response headers that mean something here, the last two in a refusal; the others are left where they are."""

_SECONDS: Final = re.compile(r"[0-9]{1,10}")


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds the server asks to wait.

    Seconds, or a date that is taken relative to the response's own ``Date``, so that a wrong local clock does not
    matter (RFC 9110, section 10.2.3). Anything else is ignored, as if the header were not there.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until, now = _http_date(value), _http_date(headers.get("date", ""))
    return max(0.0, until - now) if until is not None and now is not None else None


def _http_date(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return date.timestamp() if date.tzinfo is not None else None
