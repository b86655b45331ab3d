"""`Client`: reads its configuration, composes limiter, transport and retry, opens and closes them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Sequence
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import Any, Final, NoReturn, Self

import aiohttp
from attrs import evolve, field, frozen

from isnotai_async._http.converter import load_converter
from isnotai_async._http.credentials import ApiKey
from isnotai_async._http.endpoints import GET_SESSION_DETAILS, LIST_EVENTS
from isnotai_async._http.http_session import HttpSession
from isnotai_async._http.key_file import read_key_file
from isnotai_async._http.proxies import choose_proxy
from isnotai_async._http.rate_limited import RateLimitedTransport
from isnotai_async._http.retry import Retrier
from isnotai_async._http.retry_policy import Retry, RetryQuota, check_retry
from isnotai_async._http.tls import Trust, read_trust
from isnotai_async._http.transport import AiohttpTransport
from isnotai_async._models.open_state import OpenState
from isnotai_async._models.pages import Page
from isnotai_async._models.queries import EventFilters, EventQuery, SessionIdQuery
from isnotai_async._models.records import Event, SessionDetails
from isnotai_async._models.regions import Region, resolve_region
from isnotai_async._models.stream_positions import ANY, StreamPosition
from isnotai_async._models.tiers import Tier, TierName, check_tier
from isnotai_async._models.validation import check_flag, check_int, check_quota, check_seconds, explain_names
from isnotai_async._notices import Notifier, OnNotice, check_on_notice
from isnotai_async._operations import Operations
from isnotai_async._ratelimit.limiter import (
    Limiter,
    QuotaState,
    ReportingLimiter,
    SharedLimiter,
    Unlimited,
    bind_limiter,
)
from isnotai_async._ratelimit.local import share_limiter
from isnotai_async._streaming.history import HistoryWatch
from isnotai_async._streaming.options import OnError, Split, StreamOptions
from isnotai_async._streaming.readers import EventFetcher
from isnotai_async._streaming.sources import Sessions, read_sessions
from isnotai_async._streaming.stream import EventStream
from isnotai_async.errors import ConfigError, quoted


class _Unchanged(Enum):
    UNCHANGED = auto()


UNCHANGED: Final = _Unchanged.UNCHANGED
"""Value of an option of `Client.with_options` that is not changed. None would mean no limit."""


def _check_timeout(value: float | None) -> float | None:
    return check_seconds(value, "timeout")


def _check_deadline(value: float | None) -> float | None:
    return check_seconds(value, "deadline")


@frozen(kw_only=True, eq=False, repr=False)
class _CallOptions:
    """The options of calls, which `Client.with_options` changes."""

    timeout: float | None = field(converter=_check_timeout)
    deadline: float | None = field(converter=_check_deadline)
    retry: Retry = field(converter=check_retry)


class Client(Operations):
    """A client of one region, with one key.

    Open it once and share it between the tasks of one event loop. It can be constructed
    anywhere, at import time too, and is opened with ``async with`` (or `open` and `aclose`). It can be opened again
    after it was closed, on the same event loop or another.

    Example:
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        ...     page = await client.list_sessions(page_size=1)
        >>> page.region, page.limit, page.has_more
        ('us', 1, True)

    Args:
        api_key: Key of the region; default ``ISNOTAI_API_KEY``, else what the file ``ISNOTAI_API_KEY_FILE`` holds.
            Only `health` works without one.
        region: ``"us"`` or ``"eu"``; default ``ISNOTAI_REGION``, else ``"us"``.
        base_url: Base URL of the region; default ``ISNOTAI_BASE_URL``, else the vendor's address. https, or a
            loopback address.
        tier: The key's tier, if you know it: the limit starts there, instead of at the free tier. The answers of the
            API correct it.
        quota: Share of the key's rate that this process may use, above 0, at most 1. Without it, each process uses
            all of it: with four processes on one key (gunicorn with four workers), pass 0.25, or let them share a
            `RedisLimiter`. Clients of one key in one process share a limiter, so give all of them the same quota.
        max_concurrency: Maximum number of requests in flight; the others wait.
        timeout: Seconds for one attempt, from sending to the last byte; None for no limit. An attempt also ends
            if the server sends nothing for 30 s. With a `RedisLimiter`, less than its `lease`.
        deadline: Seconds for a whole call: all attempts, and all waits for the limit and between attempts. None for
            no limit. Each page of a walk is a call of its own. Streams and exports have no deadline: they wait for
            the quota as long as it takes.
        retry: How often and when to retry; ``Retry(attempts=1)`` for never.
        limiter: Paces the requests. None for a limiter that all clients of this key in this process share;
            ``Unlimited()`` for no limit; a `RedisLimiter` or `FileLimiter` to share the limit between processes.
        http_session: An aiohttp `ClientSession` to borrow. It is never closed here. Its cookies, default headers and
            connector are used as they are; redirects are never followed.
        proxy: URL of an HTTP proxy, with a percent-encoded login if it needs one:
            ``http://user:pass%20word@proxy.example:3128``. Requests go through it by CONNECT.
        trust_env: Read the proxy from ``HTTPS_PROXY`` (or ``ALL_PROXY``) and ``NO_PROXY`` if `proxy` is not given;
            netrc is never read. Default False.
        ssl: The certificate authorities to trust: an `ssl.SSLContext`, or the path of a PEM file with the only ones
            to trust. None for the system's, or those that ``SSL_CERT_FILE`` names.
        user_agent: Names your program, like ``"my-app/1.2"``; appended to the name of this package.
        strict: True makes every deviation from the documented answers a `DecodeError`. By default such an answer is
            read if possible, and each deviation is reported once (`IsNotAIWarning`, `DeviationNotice`).
        trace_configs: aiohttp trace configurations for the HTTP session that is opened here. They see the key in
            `on_request_headers_sent` and nowhere else.
        on_notice: Called with a notice (`AttemptNotice`, `RetryNotice`, `WaitNotice`, `TierNotice`, `PageNotice`,
            `DeviationNotice`) for each event of the client, on the event loop, so it has to be quick. An error that
            it raises is logged and ignored.

    Raises:
        ConfigError: An option that cannot work.
    """

    @explain_names
    def __init__(  # noqa: PLR0913 - one place for all options, each with a default
        self,
        api_key: str | None = None,
        *,
        region: str | None = None,
        base_url: str | None = None,
        tier: Tier | TierName | None = None,
        quota: float = 1.0,
        max_concurrency: int = 32,
        timeout: float | None = 60.0,
        deadline: float | None = 120.0,
        retry: Retry = Retry(),  # frozen, so it can be shared by all
        limiter: Limiter | SharedLimiter | None = None,
        http_session: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        ssl: Trust | None = None,
        user_agent: str | None = None,
        strict: bool = False,
        trace_configs: Sequence[aiohttp.TraceConfig] | None = None,
        on_notice: OnNotice | None = None,
    ) -> None:
        try:
            key = _read_key(api_key)
        finally:
            del api_key  # tracebacks with locals must not show it
        if http_session is not None and trace_configs:
            raise ConfigError("trace_configs belong to the HTTP session: set them on the one passed as http_session=")
        self._connections = HttpSession(
            session=http_session,
            max_concurrency=check_int(max_concurrency, "max_concurrency", 1, 100_000),
            trace_configs=trace_configs,
        )
        options = _CallOptions(timeout=timeout, deadline=deadline, retry=retry)
        where = resolve_region(region or _environment("REGION"), base_url or _environment("BASE_URL"))
        self._transport = AiohttpTransport(
            where,
            key,
            self._connections,
            timeout=options.timeout,
            proxy=choose_proxy(proxy, trust_env=trust_env, base_url=where.base_url),
            trust=read_trust(ssl),
            user_agent=user_agent,
        )
        self._notifier = Notifier(self.region.name, check_on_notice(on_notice))
        self._paced = RateLimitedTransport(
            self._transport,
            self._find_limiter(key, limiter, tier, check_quota(quota)),
            self._notifier,
            self._connections,
            ends_within=options.timeout,
        )
        self._retrying = Retrier(
            self._paced,
            options.retry,
            options.deadline,
            RetryQuota(),
            self._notifier,
            key,
            strict=check_flag(strict, "strict"),
            check=self._connections.check,
        )
        self._is_copy = self._has_opened = False
        self._use(options)

    @property
    def region(self) -> Region:
        """The region of this client."""
        return self._transport.region

    @property
    def quota_state(self) -> QuotaState | None:
        """State of this key's rate limit now, for metrics; None if the limiter does not report it (`Unlimited`)."""
        limiter = self._paced.limiter
        return limiter.quota_state if isinstance(limiter, ReportingLimiter) else None

    def __repr__(self) -> str:
        return f"<Client of {self.region.name} ({self.region.base_url}): {self._connections.state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client holds an API key and open connections; build one where it is used")

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Open the client on the running event loop, if ``async with`` does not fit. A closed one is opened again.

        Raises:
            ConfigError: It is open on another event loop, or no event loop of asyncio is running.
        """
        load_converter()  # now, rather than within the first request
        if self._connections.is_orphaned:  # asyncio.run() ended without closing it, as in a test that failed
            await self._connections.aclose()
        self._has_opened = self._has_opened or self._connections.state is not OpenState.OPEN
        self._connections.open()

    async def aclose(self) -> None:
        """Close what this client opened; idempotent. A borrowed HTTP session and the parent of a copy stay open."""
        if not self._is_copy or self._has_opened:
            self._has_opened = False
            await self._connections.aclose()

    @explain_names
    def with_options(
        self,
        *,
        timeout: float | _Unchanged | None = UNCHANGED,
        deadline: float | _Unchanged | None = UNCHANGED,
        retry: Retry | _Unchanged = UNCHANGED,
    ) -> Self:
        """Return a copy with other options, for one call or for many; it shares HTTP session, limiter and quota.

        Example:
            >>> patient = client.with_options(timeout=10, deadline=600)
            >>> len(await patient.list_events("big-1000").to_list())
            1000

        Args:
            timeout: The same as in the constructor, as all of these; an option that is not given is unchanged.
            deadline: Seconds for a whole call.
            retry: How often and when to retry.

        Raises:
            ConfigError: An option that cannot work.
        """
        given: dict[str, Any] = {"timeout": timeout, "deadline": deadline, "retry": retry}
        changes = {name: value for name, value in given.items() if value is not UNCHANGED}
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._is_copy, copy._has_opened = True, False
        copy._use(evolve(self._options, **changes))
        return copy

    @explain_names
    def stream_events(
        self,
        sessions: Sessions,
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
    ) -> EventStream:
        """Stream the events of many sessions, or of one in parallel: ``async with client.stream_events(…) as pages``.

        Example:
            >>> async with client.stream_events(["big-100", "big-200"], concurrency=8) as stream:
            ...     print(sum([len(page.data) async for page in stream]))
            300

        Args:
            sessions: One session, or any source of them (a list, a generator, ``client.list_sessions()``): ids or
                `Session` records. It is read as sessions are needed, so it may be as long as you like.
            concurrency: Maximum number of requests in flight; the client's `max_concurrency` limits them too.
            buffer: Maximum number of fetched pages that wait for you; fetching stops while it is full. Default
                2 for each reader, and 10 if an ordered split has to hold pages back.
            split: Number of time windows in which each session is read in parallel; planning them takes one request.
                ``"auto"`` decides by the session's size, the round trip and the tier (free and pro gain
                nothing). None for one walk each.
            ordered: Hand out the windows of a session in time order. If the server's rows within one are not in
                time order, they come as the server sent them.
            on_error: ``"raise"``: the first error ends the stream, after the pages that were ready. ``"collect"``:
                an error ends only its session, and `EventStream.failures` has it.
            resume: Position of an earlier stream over the same sessions, to resume from.
            page_size: Events a page. This and the options below are those of `list_events`.
            type: Message-type byte or short name.
            start_time: Earliest timestamp, inclusive.
            end_time: Latest timestamp, inclusive.

        Returns:
            An `EventStream`: open it with ``async with``, iterate it for pages or `events()` for events.

        Raises:
            ConfigError: At the call, for an option that cannot work; from the stream, for an invalid id.

        Warns:
            IsNotAIWarning: A session had no event, and `start_time` is before the tier's history window; once for
                each stream.
        """
        options = StreamOptions(
            concurrency=concurrency, buffer=buffer, split=split, ordered=ordered, on_error=on_error
        )
        filters = EventFilters(page_size=page_size, type=type, start_time=start_time, end_time=end_time)
        sources = {ANY: read_sessions(sessions, self._region_name)}
        find_fetcher = partial(self._find_fetcher, HistoryWatch(filters, self._clock))
        return EventStream(sources, find_fetcher=find_fetcher, filters=filters, options=options, resume=resume)

    def _use(self, options: _CallOptions) -> None:
        self._options = options
        self._transport = evolve(self._transport, timeout=options.timeout)
        self._paced = evolve(self._paced, transport=self._transport, ends_within=options.timeout)
        self._retrying = evolve(self._retrying, transport=self._paced, deadline=options.deadline, retry=options.retry)
        Operations.__init__(self, self._retrying.fetch, self.region.name)
        self._fetch_unhurried = evolve(self._retrying, deadline=None).fetch

    def _find_fetcher(self, watch: HistoryWatch, name: str) -> EventFetcher:
        if name != self._region_name:
            raise ConfigError(
                f"the position to resume from has sessions of {quoted(name)}, this client asks "
                f"{quoted(self._region_name)}; resume with a client of that region, or with a SessionManager"
            )
        return EventFetcher(name, partial(self._fetch_event_page, watch), self._fetch_details)

    async def _fetch_event_page(self, watch: HistoryWatch, query: EventQuery, cursor: str | None) -> Page[Event]:
        page = await self._fetch_unhurried(LIST_EVENTS.build(query, cursor, bulk=True), LIST_EVENTS.read)
        # A window of a session that was split can be empty without a problem: it has other filters.
        if cursor is None and not page.data and not page.has_more and query.filters == watch.query.filters:
            watch.see_empty(page)
        return page

    def _fetch_details(self, session_id: str) -> Awaitable[SessionDetails]:
        request = GET_SESSION_DETAILS.build(SessionIdQuery(session_id=session_id), bulk=True)
        return self._fetch_unhurried(request, GET_SESSION_DETAILS.read)

    def _find_limiter(
        self,
        key: ApiKey | None,
        limiter: Limiter | SharedLimiter | None,
        tier: Tier | TierName | None,
        quota: float,
    ) -> Limiter:
        start = None if tier is None else check_tier(tier)
        if limiter is not None and tier is not None:
            raise ConfigError("tier= is for the client's own limiter; pass it to your limiter instead")
        if limiter is not None and quota != 1:
            raise ConfigError("quota= is the share for the client's own limiter; with limiter= leave it out")
        if limiter is not None:
            return bind_limiter(limiter, self.region, None if key is None else key.fingerprint)
        if key is None:  # only `health` can be asked, and limits are counted by key
            return Unlimited()
        return share_limiter(self.region, key.fingerprint, self._notifier, tier=start, quota=quota)


def _environment(name: str) -> str | None:
    return os.environ.get(f"ISNOTAI_{name}") or None  # many tools set a variable to nothing for "not set"


def _read_key(api_key: str | ApiKey | None) -> ApiKey | None:
    if isinstance(api_key, ApiKey):  # a Credential's
        return api_key
    # No name of this frame may hold the key when ApiKey refuses it: tracebacks with locals would show it.
    if api_key is None and _environment("API_KEY") is not None:
        return ApiKey(str(_environment("API_KEY")))
    if api_key is None:
        path = _environment("API_KEY_FILE")
        return None if path is None else ApiKey(read_key_file(path, "ISNOTAI_API_KEY_FILE"))
    try:
        return ApiKey(api_key)
    finally:
        del api_key
