"""A request before it is sent, and an answer after it has come: HTTP as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from attrs import define, field


class Request(NamedTuple):
    """One request, before it has an origin or a key.

    A tuple, because two are made for each page, and a frozen attrs class takes three times as long to be made.

    Attributes:
        operation: What it asks, by our name.
        target: Path and query, fully percent-encoded.
        cursor: The cursor it carries, or None.
        authenticated: Whether the key goes with it.
        bulk: Whether it is part of a longer work, which lets single calls pass and is spaced evenly.
        deadline: When nobody waits for the answer any more, in seconds of the monotonic clock; None for never.
    """

    operation: str
    target: str
    cursor: str | None = None
    authenticated: bool = True
    bulk: bool = False
    deadline: float | None = None


@define
class Response:
    """One answer, body and all. One is made for each page, and a frozen class takes three times as long for that.

    Attributes:
        request: What was asked.
        status: HTTP status.
        headers: Those of `HEADERS` that it has, by their lower-case names.
        body: Decoded content, cut at 64 KiB where the status is an error.
        region: Name of the region that answered.
    """

    request: Request
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    region: str
