"""`RawResponse`: an answer of the API as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import DecodeError


@frozen(kw_only=True)
class RawResponse:
    """A successful answer (2xx) as it came; the API key is taken out of headers and body.

    Example:
        >>> answer = await client.request("/v1/stats")
        >>> answer.status, answer.attempts, answer.headers["Content-Type"]
        (200, 1, 'application/json; charset=utf-8')

    Attributes:
        status: HTTP status.
        headers: Its headers, read by name in any case.
        body: Its decoded body.
        region: Name of the region that answered.
        attempts: Requests that were sent for it.
        elapsed: Seconds from the start of the call, all waits included.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False, hash=False)
    body: bytes = field(repr=False)
    region: str
    attempts: int
    elapsed: float

    __repr__, __eq__, __hash__ = show, equals, hashed

    def json(self) -> Any:  # noqa: ANN401 - whatever came
        """Decode the body as JSON.

        Example:
            >>> answer = await client.request("/v1/sessions/big-1000")
            >>> answer.json()["data"]["status"]
            'closed'

        Raises:
            DecodeError: It is no JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            reason = str(error) or type(error).__name__
        raise DecodeError(f"the body is not valid JSON: {reason}")
