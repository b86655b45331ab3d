"""`Sandbox`: the public class of the server."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from anyio import CancelScope
from attrs import define, field

from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox.data import Data
from isnotai_async.sandbox.faults import Fault, FaultQueue
from isnotai_async.sandbox.generated import Dataset
from isnotai_async.sandbox.limits import OPERATION_NAMES, PLANS, REGION_NAMES, TierName
from isnotai_async.sandbox.options import SandboxOptions, check_keys, check_name, check_tiers
from isnotai_async.sandbox.region import RegionStats, SandboxRegion, make_key
from isnotai_async.sandbox.seed_data import Dice, seed_of

if TYPE_CHECKING:
    from isnotai_async.sandbox.http_app import Listener
else:  # annotations resolve at run time too, without aiohttp.web
    Listener = Any


@define(eq=False, kw_only=True, repr=False)
class Sandbox(SandboxOptions):
    """A server on loopback that behaves like the documented API, with data made from a seed.

    Open it with ``async with``, or with `start` and `aclose`. Each region has its own port, key and data. All times
    are seconds. Two sandboxes of the same options answer byte for byte alike (with a `cursor_ttl`, all but cursors).
    Requests have to call it by a name of this machine: another ``Host`` is rejected with 421.

    Example:
        >>> async with isnotai.Sandbox(tier="free", sessions=3) as sandbox:
        ...     async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        ...         print(len(await client.list_sessions().to_list()), sandbox.stats.requests)
        3 1

    Args:
        seed: Seed of data, keys, latencies and random faults.
        data: File to serve instead of made-up data: what an export wrote, as JSON Lines (gzip too), as Parquet, or as
            a folder of segments. It is read at once (7 s for a million events; from Parquet 3 s), and held in memory
            (60 MB). Sessions and events keep the order of the file. Rows of another region than `us` or `eu` are
            served by `us`. What it does not say is null (users, pages, scores); there are no ``big-N`` sessions. Or
            the database that `update_store` made, which has the records of its sessions too.
        sessions: Number of ordinary sessions that a region lists, if the data are generated. Most have 50 to 2,000
            events; of every twenty, one has no event and one has a single event.
        big_sessions: Sizes of ``big-N`` sessions to list as well, such as ``(1_000_000,)``. Every ``big-N`` from
            ``big-0`` to ``big-1000000`` can be asked for, listed or not; it has exactly N events.
        tier: Tier of the keys: `free`, `pro` or `enterprise`, or a mapping from region to tier.
        rate_limit: Requests allowed in a window; ``"tier"`` for the tier's limit, None for no limit.
        window: Length of the sliding window. A tier allows the same number of requests in any window, so that tests
            need not wait for a minute. A client assumes a window of a minute, unless it has a limiter of the same
            length: ``limiter=LocalLimiter(window=sandbox.window)``.
        counter: How the edge counts: an exact `log`, or the `approximate` counter.
        retry_after: Whether a 429 has a ``Retry-After`` header.
        count_rejected: Whether rejected requests fill the window too.
        latency: Seconds that a request takes in addition to its work, or a range ``(low, high)`` to draw from. A part
            of it is before the request reaches the limiter.
        cursor_ttl: How long a cursor is valid, or None for no limit.
        page_size_cap: Largest page, or None for the tier's.
        compress: Whether answers are compressed for clients that accept it.
        host: Loopback address to listen on.
        port: Port of `us`; `eu` gets the next. 0 finds free ones.
        api_keys: Keys by region, instead of the ones made from the seed, or by chance if `data` is given.

    Raises:
        ConfigError: An option is not valid, or `data` cannot be read or is not an exported file.
    """

    _regions: dict[str, SandboxRegion] = field(init=False)
    _listeners: list[Listener] = field(factory=list, init=False)
    _base_urls: dict[str, str] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        keys, tiers = check_keys(self._given_keys or {}), check_tiers(self._tier)
        data, faults = self._make_data(), FaultQueue(Dice(self.seed, "faults"))
        self._regions = {
            name: SandboxRegion(
                name=name,
                key=keys.get(name) or self._make_key(name),
                tier=tiers[name],
                seed=seed_of(self.seed, name),
                options=self,
                data=data[name],
                faults=faults,
            )
            for name in REGION_NAMES
        }

    def _make_key(self, region: str) -> str:
        # Data of a user's own is guarded: a key made from the seed would be the same everywhere.
        return make_key(self.seed, region) if self.data is None else f"aik_v1_{secrets.token_urlsafe(30)}"

    def _make_data(self) -> Mapping[str, Data]:
        if self.data is None:
            return {
                name: Dataset(seed_of(self.seed, name), self.sessions, self.big_sessions) for name in REGION_NAMES
            }
        if self.big_sessions:
            raise ConfigError("data brings its own sessions; leave out big_sessions")
        from isnotai_async.sandbox.recorded import read_recordings

        return read_recordings(Path(self.data))

    async def start(self) -> None:
        """Start listening. Do nothing if it already listens.

        Raises:
            ConfigError: No asyncio event loop is running.
            OSError: A port is taken.
        """
        if self._listeners:
            return
        # Imported here, because a program that only imports the client would pay for it: 50 ms for aiohttp.web on
        # top of aiohttp (3.14.5, Python 3.11).
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
        """Stop listening and close all connections; counters and data stay. Do nothing if it is closed."""
        listeners, self._listeners = self._listeners, []
        self._base_urls.clear()
        # Shielded, because a listener that a cancelled test leaves open would make the next test fail.
        with CancelScope(shield=True):
            for listener in listeners:
                await listener.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        where = " ".join(f"{name}={url}" for name, url in self._base_urls.items()) or "closed"
        return f"<Sandbox seed={quoted(self.seed)} {where}>"

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

    def _region(self, name: str) -> SandboxRegion:
        return self._regions[check_name("region", name, REGION_NAMES)]

    def region_stats(self, region: str) -> RegionStats:
        """Return the counters of a region.

        Example:
            >>> sandbox.region_stats("eu").requests
            0
        """
        return self._region(region).stats

    def session_ids(self, region: str = "us") -> tuple[str, ...]:
        """Return the ids of all sessions of a region, in the order of `list_sessions`.

        Example:
            >>> sandbox.session_ids() == tuple([session.id async for session in client.list_sessions()])
            True
        """
        return self._region(region).data.ids

    def set_tier(self, region: str, tier: TierName) -> None:
        """Change the tier of a region's key from the next request on; the window's history stays.

        Example:
            >>> sandbox.set_tier("us", "pro")
            >>> (await client.list_sessions()).tier
            <Tier.PRO: 'pro'>
        """
        self._region(region).tier = check_name("tier", tier, PLANS)

    def inject(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        region: str | None = None,
        probability: float | None = None,
    ) -> None:
        """Inject a fault into the answers.

        Faults wait in the order in which they were injected. A request gets the first fault that matches it. Requests
        that are rejected earlier (401, 429, 404 of an unknown route, 405) get none.

        Example:
            >>> from isnotai_async.sandbox import Fault
            >>> sandbox.inject(Fault.status(503, times=2), operation="list_sessions")
            >>> page = await client.list_sessions()
            >>> sandbox.stats.statuses[503]
            2

        Args:
            fault: The fault.
            operation: Name of an operation, as the client's method is named (`list_events`), or None for any.
            region: `us` or `eu`, or None for any.
            probability: Share of the matching requests that get the fault, drawn from the seed, until `clear_faults`;
                its `times` is then ignored. None for the next matching requests.

        Raises:
            ConfigError: The operation or region is unknown, or the probability is not from 0 to 1.
        """
        if operation is not None:
            check_name("operation", operation, sorted(OPERATION_NAMES))
        if region is not None:
            self._region(region)
        if probability is not None and not 0 <= probability <= 1:
            raise ConfigError(f"probability must be a number from 0 to 1, not {quoted(probability)}")
        self._regions["us"].faults.add(fault, operation=operation, region=region, probability=probability)

    def clear_faults(self) -> None:
        """Remove all faults, also those that no request got yet.

        Example:
            >>> sandbox.inject(isnotai.sandbox.Fault.status(500, times=None))
            >>> sandbox.clear_faults()
            >>> (await client.get_session("big-100")).status
            'closed'
        """
        self._regions["us"].faults.clear()
