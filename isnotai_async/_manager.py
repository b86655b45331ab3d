"""`SessionManager`: clients of several regions or keys in one block, each opened when it is first used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final, NoReturn, Self

import aiohttp
import anyio

from isnotai_async._client import Client
from isnotai_async._http.converter import load_converter
from isnotai_async._http.credentials import Credential, read_credential
from isnotai_async._http.http_session import running_loop
from isnotai_async._http.retry_policy import Retry
from isnotai_async._http.tls import Trust
from isnotai_async._models.open_state import OpenState
from isnotai_async._models.queries import EventFilters
from isnotai_async._models.regions import REGIONS, Region
from isnotai_async._models.stream_positions import StreamPosition
from isnotai_async._models.validation import check_int, explain_names
from isnotai_async._notices import OnNotice
from isnotai_async._streaming.history import HistoryWatch
from isnotai_async._streaming.options import OnError, Split, StreamOptions
from isnotai_async._streaming.readers import EventFetcher
from isnotai_async._streaming.sources import NamedSessions, Sessions, read_named_sources
from isnotai_async._streaming.stream import PageStream
from isnotai_async.errors import ConfigError, IsNotAIError, quoted

_VARIABLE: Final = "ISNOTAI_API_KEY_"


class SessionManager:
    """Clients of several regions, with common settings: ``async with SessionManager({"us": …, "eu": …}) as manager``.

    ``manager["eu"]`` is the `Client` of that name. Its HTTP session is opened by its first request, and all are
    closed with the manager. The regions share only the settings, `max_concurrency`, and the TLS context, which
    aiohttp keeps for the whole process; so a failure in one does not stop the others.

    Example:
        >>> keys = {
        ...     name: isnotai.Credential(sandbox.api_keys[name], region=name, base_url=sandbox.base_urls[name])
        ...     for name in ("us", "eu")
        ... }
        >>> async with isnotai.SessionManager(keys) as manager:
        ...     print((await manager["eu"].list_sessions()).region)
        eu

    Args:
        credentials: A mapping: the name of a region to its key, or any name to a `Credential`.
        max_concurrency: Maximum number of requests in flight in total; None for no other limit than the next one.
        region_concurrency: Maximum number of requests in flight for each name.
        quota: Share of each key's rate that this process may use, as in `Client`; it does not apply to
            a `Credential` with a limiter of its own.
        timeout: As in `Client`, as all of these.
        deadline: Seconds for a whole call.
        retry: How often and when to retry.
        proxy: URL of an HTTP proxy.
        trust_env: Whether to read the proxy from the environment.
        ssl: The certificate authorities to trust.
        user_agent: Names your program.
        strict: Whether a deviation from the documented answers is an error.
        trace_configs: aiohttp trace configurations.
        on_notice: Called with each notice.

    Raises:
        ConfigError: There is no credential, or an invalid one.
    """

    @explain_names
    def __init__(  # noqa: PLR0913 - one place for all options, each with a default
        self,
        credentials: Mapping[str, str | Credential],
        *,
        max_concurrency: int | None = None,
        region_concurrency: int = 32,
        quota: float = 1.0,
        timeout: float | None = 60.0,
        deadline: float | None = 120.0,
        retry: Retry = Retry(),  # frozen, so it can be shared by all
        proxy: str | None = None,
        trust_env: bool = False,
        ssl: Trust | None = None,
        user_agent: str | None = None,
        strict: bool = False,
        trace_configs: Sequence[aiohttp.TraceConfig] | None = None,
        on_notice: OnNotice | None = None,
    ) -> None:
        try:
            given = {name: read_credential(name, credentials[name]) for name in credentials}
        finally:
            del credentials  # tracebacks with locals must not show the keys
        if not given:
            raise ConfigError("no credential: pass keys by region, like {'us': …, 'eu': …}")
        self._most = max_concurrency if max_concurrency is None else _check_count(max_concurrency, "max_concurrency")
        self._state = OpenState.NOT_OPEN
        self._clients = {
            name: _ManagedClient(
                credential.api_key,  # type: ignore[arg-type]  # checked already, and never a string again
                region=credential.region,
                base_url=credential.base_url,
                tier=credential.tier,
                limiter=credential.limiter,
                quota=quota if credential.limiter is None else 1.0,
                max_concurrency=_check_count(region_concurrency, "region_concurrency"),
                timeout=timeout,
                deadline=deadline,
                retry=retry,
                proxy=proxy,
                trust_env=trust_env,
                ssl=ssl,
                user_agent=user_agent,
                strict=strict,
                trace_configs=trace_configs,
                on_notice=on_notice,
            )
            for name, credential in given.items()
        }

    @classmethod
    def from_env(cls) -> Self:
        """Create a manager from the keys in ``ISNOTAI_API_KEY_US`` and ``ISNOTAI_API_KEY_EU``, one or both.

        Example:
            >>> import os
            >>> os.environ["ISNOTAI_API_KEY_US"] = "aik_v1_" + "a" * 40
            >>> isnotai.SessionManager.from_env()
            <SessionManager of us: not open>

        Raises:
            ConfigError: Neither is set.
        """
        names = [name for name in REGIONS if os.environ.get(f"{_VARIABLE}{name.upper()}")]
        if not names:
            variables = " or ".join(f"{_VARIABLE}{name.upper()}" for name in REGIONS)
            raise ConfigError(f"no API key; set {variables}, or pass the keys to SessionManager", is_key_missing=True)
        return cls({name: os.environ[f"{_VARIABLE}{name.upper()}"] for name in names})

    def __repr__(self) -> str:
        return f"<SessionManager of {', '.join(self._clients)}: {self._state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SessionManager holds API keys and open connections; build one where it is used")

    async def __aenter__(self) -> Self:
        running_loop()  # there has to be one of asyncio
        load_converter()  # now, rather than within the first request
        shared = None if self._most is None else anyio.Semaphore(self._most, fast_acquire=True)
        for client in self._clients.values():
            client.share(shared)
        self._state = OpenState.OPEN
        return self

    async def __aexit__(self, *_: object) -> None:
        self._state = OpenState.CLOSED
        async with AsyncExitStack() as stack:  # closes all of them, also after an error
            for client in self._clients.values():
                stack.push_async_callback(client.aclose)

    def __getitem__(self, name: str) -> Client:
        """Return the client of a name.

        Raises:
            ConfigError: There is none, or the manager is not open.
        """
        return self._find(name)

    @property
    def regions(self) -> Mapping[str, Region]:
        """The names, each with the region of its client."""
        return MappingProxyType({name: client.region for name, client in self._clients.items()})

    def _find(self, name: str) -> _ManagedClient:
        client = self._clients.get(name)
        if client is None:
            raise ConfigError(f"no credential is named {quoted(name)}; there are: {', '.join(self._clients)}")
        if self._state is not OpenState.OPEN:
            raise ConfigError(f"this manager is {self._state}; write: async with SessionManager(…) as manager")
        return client

    @explain_names
    def stream_events(
        self,
        sessions: NamedSessions | Mapping[str, Sessions],
        *,
        concurrency: int = 16,
        buffer: int | None = None,
        split: Split = None,
        ordered: bool = False,
        on_error: OnError = "raise",
        resume: StreamPosition | None = None,
        page_size: int | None = None,
        type: int | str | None = None,
        start_time: int | datetime | None = None,
        end_time: int | datetime | None = None,
    ) -> ManagedEventStream:
        """Stream the events of sessions of several regions; arguments and errors are those of `Client.stream_events`.

        Example:
            >>> eu = isnotai.Credential(sandbox.api_keys["eu"], region="eu", base_url=sandbox.base_urls["eu"])
            >>> async with isnotai.SessionManager({"eu": eu}) as manager:
            ...     async with manager.stream_events([("eu", "big-100")]) as stream:
            ...         print([(page.name, page.session_id, len(page.data)) async for page in stream])
            [('eu', 'big-100', 100)]

        Args:
            sessions: A source for each name, like ``{"us": us_ids, "eu": manager["eu"].list_sessions()}``. Each has
                an equal share of `concurrency`, so if one region is slow or down (another tier, an outage), the
                others continue. Or pairs of name and session, like ``[("us", "s1"), ("eu", "s9")]``, or one pair;
                they are read in their order, in any region.
            concurrency: Maximum number of requests in flight; at least one for each source.
            buffer: Maximum number of fetched pages that wait for you.
            split: Number of time windows in which each session is read in parallel, or ``"auto"``.
            ordered: Hand out the windows of a session in time order.
            on_error: ``"raise"`` or ``"collect"``. With ``"collect"``, a rejected key ends only the sessions of its
                name.
            resume: Position of an earlier stream over the same sessions.
            page_size: Events a page. This and the options below are those of `list_events`.
            type: Message-type byte or short name.
            start_time: Earliest timestamp, inclusive.
            end_time: Latest timestamp, inclusive.
        """
        options = StreamOptions(
            concurrency=concurrency, buffer=buffer, split=split, ordered=ordered, on_error=on_error
        )
        filters = EventFilters(page_size=page_size, type=type, start_time=start_time, end_time=end_time)
        sources = read_named_sources(sessions)
        if concurrency < len(sources):
            raise ConfigError(f"concurrency {concurrency} is too small for {len(sources)} sources; each needs 1")
        find_fetcher = partial(self._find_fetcher, HistoryWatch(filters))
        return ManagedEventStream(sources, find_fetcher=find_fetcher, filters=filters, options=options, resume=resume)

    def _find_fetcher(self, watch: HistoryWatch, name: str) -> EventFetcher:
        return self._find(name).event_fetcher(watch)


class ManagedEventStream(PageStream):
    """The pages of sessions of several regions; see `PageStream`.

    A page's `name` is that of its credential, its `region` the region of that credential.

    Example:
        >>> eu = isnotai.Credential(sandbox.api_keys["eu"], region="eu", base_url=sandbox.base_urls["eu"])
        >>> async with isnotai.SessionManager({"eu": eu}) as manager:
        ...     async with manager.stream_events({"eu": ["big-100", "nowhere"]}, on_error="collect") as stream:
        ...         print(len([event async for event in stream.events()]), list(stream.failures))
        100 [('eu', 'nowhere')]
    """

    @property
    def failures(self) -> Mapping[tuple[str, str], IsNotAIError]:
        """The errors that ended sessions, by name and session id; else like `EventStream.failures`.

        The session id is empty if the listing of a region's sessions failed. `position` counts the sessions that were
        read from the listing, so a resumed stream reads the rest.
        """
        return MappingProxyType({(target.name, target.session_id): error for target, error in self._failures.items()})


class _ManagedClient(Client):
    """A client that opens itself when it is first used; its manager closes it."""

    def share(self, slots: anyio.Semaphore | None) -> None:
        self._connections.shared_slots, self._connections.opens_itself = slots, True

    def event_fetcher(self, watch: HistoryWatch) -> EventFetcher:
        return self._find_fetcher(watch, self.region.name)


def _check_count(value: int, name: str) -> int:
    return check_int(value, name, 1, 100_000)
