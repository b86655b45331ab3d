"""`Sandbox`: the public face of the server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from anyio import CancelScope
from attrs import define, field

from isnotai_async.errors import ConfigError
from isnotai_async.sandbox import options
from isnotai_async.sandbox.faults import Fault
from isnotai_async.sandbox.limits import TierName

if TYPE_CHECKING:
    from isnotai_async.sandbox.data import Data
    from isnotai_async.sandbox.http_app import Listener
    from isnotai_async.sandbox.region import Region
    from isnotai_async.sandbox.stats import RegionStats


@define(eq=False, kw_only=True, repr=False)
class Sandbox:
    """A server on loopback that behaves like the documented API, with data made from a seed.

    Open it with ``async with``, or with `start` and `aclose`. Each region has its own port, key and data. All times
    are seconds. Two sandboxes of the same options answer byte for byte alike (with a `cursor_ttl`, all but cursors).

    Args:
        seed: Seed of data, keys, latencies and random faults.
        data: File to serve instead of made-up data: what an export wrote, as JSON Lines (gzip too), as Parquet, or as
            a folder of segments. It is read at once (7 s for a million events; from Parquet 3 s), and held in memory
            (60 MB). Sessions and events keep the order of the file. Rows of another region than `us` or `eu` are
            served by `us`. What it does not say is null (users, pages, scores); there are no ``big-N`` sessions.
        sessions: How many ordinary sessions a region lists, where they are made up. Most have 50 to 2,000 events; of
            every twenty, one has none and one has a single one.
        big_sessions: Sizes of ``big-N`` sessions to list as well, such as ``(1_000_000,)``. Every ``big-N`` from
            ``big-0`` to ``big-1000000`` can be asked for, listed or not; it has exactly N events.
        tier: Tier of the keys: `free`, `pro` or `enterprise`, or a mapping from region to tier.
        rate_limit: Requests of a window; ``"tier"`` takes the tier's, None lifts the limit.
        window: Length of the sliding window. The tiers' numbers of requests hold for whatever length it has, so
            that tests need not wait for a minute.
        counter: How the edge counts: an exact `log`, or the `approximate` counter.
        retry_after: Whether a 429 says when to come back.
        count_rejected: Whether refused requests fill the window too.
        latency: Seconds that a request takes beside its work, or a range ``(low, high)`` to draw from; part of it
            before the request reaches the limiter.
        cursor_ttl: How long a cursor lives, or None for ever.
        page_size_cap: Largest page, or None for the tier's.
        compress: Whether answers are compressed for clients that accept it.
        host: Loopback address to listen on.
        port: Port of `us`; `eu` gets the next. 0 finds free ones.
        api_keys: Keys by region, instead of the ones made from the seed.

    Raises:
        ConfigError: An option cannot be, or `data` cannot be read, or is not what an export writes.
    """

    seed: int | str = "isnotai"
    data: str | os.PathLike[str] | None = None
    sessions: int = field(default=40, validator=options.whole(0, 1_000_000))
    big_sessions: tuple[int, ...] = field(default=(), converter=options.big_sessions)
    _tier: TierName | Mapping[str, TierName] = "enterprise"
    rate_limit: int | Literal["tier"] | None = field(default="tier", validator=options.rate_limit)
    window: float = field(default=60.0, validator=options.seconds())
    counter: Literal["log", "approximate"] = field(default="log", validator=options.one_of("log", "approximate"))
    retry_after: bool = True
    count_rejected: bool = False
    latency: float | tuple[float, float] = 0.0
    cursor_ttl: float | None = field(default=None, validator=options.seconds(optional=True))
    page_size_cap: int | None = field(default=None, validator=options.whole(1, 2**31 - 1, optional=True))
    compress: bool = True
    host: str = field(default="127.0.0.1", converter=options.loopback)
    port: int = field(default=0, validator=options.whole(0, 65_534))
    _given_keys: Mapping[str, str] | None = field(default=None, alias="api_keys")
    _regions: dict[str, Region] = field(init=False)
    _listeners: list[Listener] = field(factory=list, init=False)
    _base_urls: dict[str, str] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        # Imported here, and `app` in `start`, because a program that only imports the client would pay for both:
        # 15 ms for the data and the routes, and 50 ms for aiohttp.web on top of aiohttp (3.14.5, Python 3.11).
        from isnotai_async.sandbox.region import Edge, build_regions

        edge = Edge(
            rate_limit=self.rate_limit,
            window=self.window,
            counter=self.counter,
            retry_after=self.retry_after,
            count_rejected=self.count_rejected,
            latency=options.latency_range(self.latency),
            page_size_cap=self.page_size_cap,
            compress=self.compress,
        )
        self._regions = build_regions(
            self.seed,
            edge,
            tiers=options.tiers(self._tier),
            keys=options.keys(self._given_keys or {}),
            data=self._make_data(),
            cursor_ttl=self.cursor_ttl,
        )

    def _make_data(self) -> Mapping[str, Data[Any]]:
        if self.data is None:
            from isnotai_async.sandbox.region import make_up

            return make_up(self.seed, self.sessions, self.big_sessions)
        if self.big_sessions:
            raise ConfigError("data brings its own sessions; leave out big_sessions")
        from isnotai_async.sandbox.row_files import read_recordings

        return read_recordings(Path(self.data))

    async def start(self) -> None:
        """Listen. Does nothing when it listens already.

        Raises:
            OSError: A port is taken.
        """
        if self._listeners:
            return
        from isnotai_async.sandbox.http_app import Listener

        self._listeners = [Listener(region) for region in self._regions.values()]
        try:
            for number, listener in enumerate(self._listeners):
                port = self.port + number if self.port else 0
                self._base_urls[listener.region.name] = await listener.start(self.host, port)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop listening and close all connections; counters and data stay. Does nothing when it is closed."""
        listeners, self._listeners = self._listeners, []
        self._base_urls.clear()
        # Shielded: a listener left open by a cancelled test would fail the next one.
        with CancelScope(shield=True):
            for listener in listeners:
                await listener.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        where = " ".join(f"{name}={url}" for name, url in self._base_urls.items()) or "closed"
        return f"<Sandbox seed={self.seed!r} {where}>"

    @property
    def base_url(self) -> str:
        """Base URL of `us`."""
        return self.base_urls["us"]

    @property
    def base_urls(self) -> dict[str, str]:
        """Base URLs by region.

        Raises:
            ConfigError: The sandbox is not open.
        """
        if not self._base_urls:
            raise ConfigError("the sandbox is not open: use `async with Sandbox() as sandbox:`")
        return dict(self._base_urls)

    @property
    def api_key(self) -> str:
        """API key of `us`."""
        return self.api_keys["us"]

    @property
    def api_keys(self) -> dict[str, str]:
        """API keys by region."""
        return {name: region.key for name, region in self._regions.items()}

    @property
    def stats(self) -> RegionStats:
        """Counters of `us`."""
        return self.region_stats("us")

    def region_stats(self, region: str) -> RegionStats:
        """Counters of a region."""
        return self._regions[options.region(region)].stats

    def session_ids(self, region: str = "us") -> tuple[str, ...]:
        """Ids of all sessions that `list_sessions` lists in a region, in its order."""
        return self._regions[options.region(region)].data.ids

    def set_tier(self, region: str, tier: TierName) -> None:
        """Change the tier of a region's key from the next request on; the window's history stays."""
        self._regions[options.region(region)].tier = options.tier(tier)

    def inject(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        region: str | None = None,
        probability: float | None = None,
    ) -> None:
        """Let something go wrong.

        Faults wait in the order they were injected; a request meets the first that fits it. Requests that are
        refused before (401, 429, 404 of an unknown route, 405) meet none.

        Args:
            fault: What goes wrong.
            operation: Name of an operation, as the client's method is named (`list_events`), or None for any.
            region: `us` or `eu`, or None for any.
            probability: Share of the fitting requests that meet it, drawn from the seed, until `clear_faults`;
                its `times` does not count then. None meets the next ones.

        Raises:
            ConfigError: There is no such operation or region, or the probability is not from 0 to 1.
        """
        if operation is not None:
            options.operation(operation)
        if region is not None:
            options.region(region)
        if probability is not None and not 0 <= probability <= 1:
            raise ConfigError("probability must be a number from 0 to 1")
        self._regions["us"].faults.add(fault, operation=operation, region=region, probability=probability)

    def clear_faults(self) -> None:
        """Forget all faults, met or not."""
        self._regions["us"].faults.clear()
