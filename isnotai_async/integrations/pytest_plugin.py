"""Fixtures of pytest for tests of your own code: a sandbox, and a client of it. Installed with the package.

They work in plain tests, and with anyio's and pytest-asyncio's plugins: the sandbox runs in a thread of its own, and
the client is opened by the test, in the test's event loop.

Example::

    async def test_my_report(isnotai_sandbox, isnotai_client):
        isnotai_sandbox.inject(Fault.status(503))
        async with isnotai_client as client:
            assert await my_report(client, "big-100") == "100 events"
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

import isnotai_async as isnotai  # it imports what is used when it is used: only a test that asks for it pays

_SHORT_WINDOW: Final = 0.1  # seconds


@pytest.fixture
def isnotai_sandbox_options() -> dict[str, Any]:
    """Return the options of `isnotai_sandbox`; override this fixture to change them.

    The default has no rate limit, so that no test waits for a quota.
    """
    return {"rate_limit": None}


@pytest.fixture
def isnotai_sandbox(
    isnotai_sandbox_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[isnotai.Sandbox]:
    """Run a sandbox while the test runs, and point ``ISNOTAI_*`` at it, so that ``Client()`` finds it.

    A ``Client()`` waits a tenth of a second after a 429, unless the options give the sandbox a rate limit: then its
    window is the sandbox's.
    """
    from anyio.from_thread import start_blocking_portal  # imported late for the same reason

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(isnotai.Sandbox(**isnotai_sandbox_options)) as sandbox,
    ):
        monkeypatch.setenv("ISNOTAI_API_KEY", sandbox.api_key)
        monkeypatch.setenv("ISNOTAI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("ISNOTAI_REGION", "us")
        has_limit = isnotai_sandbox_options.get("rate_limit", "tier") is not None
        _share_limiters(sandbox, sandbox.window if has_limit else _SHORT_WINDOW)
        yield sandbox


def _share_limiters(sandbox: isnotai.Sandbox, window: float) -> None:
    """Create the limiters that all clients of the sandbox's keys share while it lives, with a window in seconds."""
    from isnotai_async._http.credentials import ApiKey
    from isnotai_async._models.regions import resolve_region
    from isnotai_async._ratelimit.local import share_limiter

    for name, base_url in sandbox.base_urls.items():
        key = ApiKey(sandbox.api_keys[name])
        share_limiter(resolve_region(name, base_url), key.fingerprint, sandbox, tier=None, window=window)


@pytest.fixture
def isnotai_client(isnotai_sandbox: isnotai.Sandbox) -> isnotai.Client:
    """Return a client of the sandbox that waits for no quota and backs off for milliseconds.

    It is not open yet: ``async with isnotai_client as client``.
    """
    return isnotai.Client(
        isnotai_sandbox.api_key,
        base_url=isnotai_sandbox.base_url,
        limiter=isnotai.Unlimited(),
        retry=isnotai.Retry(base=0.01),
    )
