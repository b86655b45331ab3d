"""The client's methods without a network: what they ask, and what they make of a body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from attrs import define, field

from isnotai_async._http.messages import Request, Response
from isnotai_async._http.retry import check_strictly
from isnotai_async._models.pages import Headers
from isnotai_async._operations import Operations

T = TypeVar("T")

ARGUMENTS: Mapping[str, Any] = {
    "session_id": "s 1/ä",
    "user_id": "u 1/ä",
    "page_size": 7,
    "type": "keypress",
    "start_time": 1,
    "end_time": 2,
    "status": "active",
    "bot_only": True,
    "start_date": "2026-06-01",
    "end_date": "2026-06-02",
    "search": "é&=",
    "period": "24h",
    "group_by": "week",
    "metric": "events",
}
"""One value for each parameter of any method."""

IDS = ("session_id", "user_id")


@define
class Asker:
    """The operations, answered from here.

    Args:
        body: Body of every answer.
    """

    body: bytes = b""
    requests: list[Request] = field(factory=list)

    def ask(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method, and return what it gives: of a list, one page."""
        operations = Operations(self._fetch, "us", clock=lambda: datetime(2026, 6, 10, 12, tzinfo=UTC))
        return run(getattr(operations, name)(*arguments, **options))

    async def _fetch(self, request: Request, read: Callable[[Response], T]) -> T:
        self.requests.append(request)
        response = Response(request, 200, Headers(), self.body, "us")
        value = read(response)
        check_strictly(response, value)
        return value


def run(awaitable: Awaitable[T]) -> T:
    """Run what never really waits."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # of an exception it is not typed
    raise AssertionError("it waits for something")


def ids_of(name: str) -> tuple[str, ...]:
    """The positional arguments of a method: an id, where it takes one."""
    if name == "get_user_sessions":
        return ("u1",)
    return ("s1",) if name in {"get_session", "get_session_details", "list_events"} else ()
