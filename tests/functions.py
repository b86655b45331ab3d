"""Transports made from functions, so that no test has to patch an HTTP library."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from isnotai_async._http.messages import Request, Response
from isnotai_async._models.pages import Headers

Send = Callable[[Request], Coroutine[Any, Any, Response]]


class Function:
    """A transport made from a function."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, request: Request) -> Response:
        return await self._send(request)


def reply(request: Request, status: int = 200, *, body: bytes = b"{}", **headers: str) -> Response:
    """Build an answer; underscores in the headers' names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(request, status, Headers.of(named), body, "us")
