"""What is between this machine and the API: names, proxies, clocks."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from isnotai_async._diagnosis.findings import Level
from isnotai_async.errors import printable

Result = tuple[Level, str]

_CLOSE_ENOUGH: Final = 60.0  # seconds; `Date` has whole ones, and an answer takes some to come
_SLOW: Final = 1.0  # seconds


async def find_name(host: str) -> Result:
    """Resolve the name of a host, as a connection would."""
    started = time.monotonic()
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return "trouble", f"{host} was not found: {reason}; check the base URL and the DNS of this machine"
    addresses = sorted({str(address[4][0]) for address in found})
    shown = ", ".join(addresses[:4])
    return "ok", f"{host} is {shown} ({(time.monotonic() - started) * 1000:.0f} ms)"


def show_host(url: str) -> str:
    """Show host and port of a URL, without a login."""
    parts = urlsplit(url)
    return printable(f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname), 200)


def compare_clocks(date: str | None, now: float) -> Result:
    """Compare this machine's clock with the ``Date`` of an answer.

    Args:
        date: The header, or None.
        now: Unix seconds when the answer came.
    """
    try:
        told = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return "note", "the API's answer has no Date, so this machine's clock was not compared"
    ahead = now - told
    if abs(ahead) <= _CLOSE_ENOUGH:
        return "ok", f"this machine's clock is within {_CLOSE_ENOUGH:.0f} s of the API's"
    way = "ahead of" if ahead > 0 else "behind"
    return "trouble", (
        f"this machine's clock is {abs(ahead):.0f} s {way} the API's ({printable(str(date), 40)}); times such as "
        "7d or yesterday are counted from it, and TLS certificates are checked with it: set it, best by NTP"
    )


def judge_latency(first: float, others: Sequence[float]) -> Result:
    """Return the finding about how long answers take.

    Args:
        first: Seconds of the first request, with its connection.
        others: Seconds of those after it.
    """
    usual = median(others)
    message = f"{usual * 1000:.0f} ms (median of {len(others)}), the first with its connection {first * 1000:.0f} ms"
    if usual <= _SLOW:
        return "ok", message
    return "note", f"{message}; that is slow for an answer without data: read several sessions at once"
