"""The clients of the fault tests: one attempt, no pacing, the canary key; and what holds for each of their errors."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from hypothesis import settings

import isnotai_async as isnotai
from tests.canary import CANARY_KEY, find_key, show_trace, shows_key
from tests.examples import scaled
from tests.faults.server import FaultServer

E = TypeVar("E", bound=isnotai.IsNotAIError)
Ask = Callable[[isnotai.Client], Awaitable[object]]

fixed_examples = settings(derandomize=True, deadline=None, max_examples=scaled(50))
"""Hypothesis' examples, the same in every run."""

ERROR_BY_STATUS: dict[int, type[isnotai.APIError]] = {
    400: isnotai.InvalidRequestError,
    401: isnotai.AuthenticationError,
    402: isnotai.APIError,
    403: isnotai.PermissionDeniedError,
    404: isnotai.NotFoundError,
    408: isnotai.APIError,
    422: isnotai.InvalidRequestError,
    429: isnotai.RateLimitedError,
    500: isnotai.ServerError,
    503: isnotai.ServerError,
}

_ONE_ATTEMPT: dict[str, Any] = {"retry": isnotai.Retry(attempts=1), "limiter": isnotai.Unlimited()}


def build_client(server: FaultServer | str, **options: Any) -> isnotai.Client:
    """Build a client of a fault server, or of an address, whose every failure is the first one."""
    base_url = server if isinstance(server, str) else server.base_url
    return isnotai.Client(**{"api_key": CANARY_KEY, "base_url": base_url, **_ONE_ATTEMPT, **options})


@asynccontextmanager
async def connected(server: FaultServer, **options: Any) -> AsyncIterator[isnotai.Client]:
    """Open the fault server and a client of it."""
    async with server, build_client(server, **options) as client:
        yield client


def list_events(client: isnotai.Client) -> Awaitable[isnotai.Page[isnotai.Event]]:
    """Ask for one page of events: what a test asks where it does not matter."""
    return client.list_events("s1")


async def failure_of(server: FaultServer, kind: type[E], ask: Ask = list_events, **options: Any) -> E:
    """Ask once, and return the error.

    Checked on the way: the error is of this very class, one request was on the wire, and `check_error`.
    """
    async with connected(server, **options) as client:
        with pytest.raises(kind) as caught:
            await ask(client)
        assert len(server.requests) == 1, "one attempt is one request on the wire"
    assert type(caught.value) is kind
    assert (caught.value.region, caught.value.attempts) == ("us", 1)
    check_error(caught.value)
    return caught.value


def check_error(error: BaseException) -> None:
    """Check what holds for every error: nothing chained, safe to show, pickled and back, and no key in it."""
    assert error.__cause__ is None
    assert error.__context__ is None
    assert find_key(error) == []
    assert str(error).isprintable()
    assert str(error).encode(), "it can be written to a log as it is"
    assert not shows_key(show_trace(error))
    pickled = pickle.dumps(error)
    assert not shows_key(pickled)
    assert str(pickle.loads(pickled)) == str(error)
