"""Builds the aiohttp session of a client, and checks what is passed for it."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from isnotai_async.errors import ConfigError, quoted


def build_session(max_concurrency: int, trace_configs: list[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    """Build a session for as many requests at once."""
    # As many sockets as requests in flight, so no request waits in the pool. Idle connections are closed after 10 s,
    # because servers close them after 15 to 60 s: so fewer requests use a dying connection (aio-libs/aiohttp#9138).
    connector = aiohttp.TCPConnector(
        limit=max_concurrency, limit_per_host=max_concurrency, keepalive_timeout=10, ttl_dns_cache=60
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        raise_for_status=False,
        trace_configs=trace_configs,
    )


def check_session(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession | None:
    """Check a session that is borrowed.

    Raises:
        ConfigError: It is none.
    """
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        shown = session.__name__ if isinstance(session, type) else type(session).__name__
        raise ConfigError(f"http_session must be an aiohttp.ClientSession, not {shown}")
    return session


def check_trace_configs(configs: Sequence[aiohttp.TraceConfig] | None) -> list[aiohttp.TraceConfig]:
    """Check trace configurations.

    Raises:
        ConfigError: They are no list, or of another class.
    """
    if not isinstance(configs, Sequence | None) or not all(
        isinstance(item, aiohttp.TraceConfig) for item in configs or ()
    ):
        raise ConfigError(f"trace_configs must be a list of aiohttp.TraceConfig, not {quoted(configs)}")
    return list(configs or ())
