"""`RedisLimiter`: one quota for all processes and machines that use a key."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Self, get_args

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier, check_tier
from isnotai_async._models.validation import check_duration, check_int
from isnotai_async._ratelimit.redis.connection import TIMEOUT, RedisStore
from isnotai_async._ratelimit.shared.key_limiter import KeyLimiter
from isnotai_async._ratelimit.shared.protocol import LEASE, name_keys
from isnotai_async._ratelimit.shared.state import Terms
from isnotai_async._ratelimit.sliding_window import MINUTE
from isnotai_async.errors import ConfigError, quoted

if TYPE_CHECKING:
    from redis.asyncio import Redis

OnOutage = Literal["fail", "local_share"]

_MISSING: Final = "RedisLimiter needs redis-py 8; install it with: pip install 'isnotai-async[redis]'"


class RedisLimiter:
    """Keeps all processes that use a key within its limit together, through Redis (5 or later).

    It promises over all of them what `LocalLimiter` promises in one: no window of the server has more requests than
    the tier allows, a 429 pauses all and one probe goes first, the tier is followed by all, single calls go before
    bulk work, and bulk work is spaced evenly at 98 % of the rate. Inside a process it is first come, first served;
    between processes there is no order. Time is Redis' own, so the hosts' clocks do not matter.

    A process that is killed has its permits given back after `lease` and a window.

    Where Redis is down, slow (more than a second), read-only or refuses, it goes on as `on_outage` says, asks again
    at most once a second, and comes back by itself. Each process remembers its own requests of the last window: they
    count against its share at once, and are told to Redis when it is back, even where that lost everything. So with
    work spread evenly the limit holds throughout; in the worst case the windows around an outage have twice the
    limit, when one process had used all of it before. Redis that loses its data, or has old data only, costs all a
    second's pause; what processes sent that are gone or idle by then, or only wait for answers, counts again when
    they next tell something, and is forgotten if they never do. As nobody can know whether there was something to
    lose, a key that was not used for a day begins with that pause too (1.25 s).

    Give its Redis the policy ``noeviction``; an eviction is noticed and costs the same pause. The least rights of its
    user are in docs/shared-limit.md.

    Open it with ``async with``, or close it with `aclose`; a client does not close what it was given. It serves any
    number of clients and keys on one event loop.

    Example::

        async with RedisLimiter.from_url("rediss://user:password@redis.example/0") as limiter:
            async with Client(limiter=limiter) as client:
                ...

    Args:
        redis: A `redis.asyncio.Redis` to borrow; it is never closed here.
        tier: Tier to start with where no process knows it yet; None for the lowest. The answers tell the true one.
        on_outage: ``"fail"``: while Redis cannot be asked, calls raise `LimiterError`. ``"local_share"``: each
            process keeps to its share of the limit by itself.
        workers: How many processes share the limit, for ``"local_share"``. Give the most there can be.
        lease: Seconds after its permit within which a request has reached the server for sure: the client's
            `timeout` and a little. A client whose `timeout` is not below it is refused. Half of what it is more is
            how long a permit waits for a connection (`max_concurrency`) before it is given back.
        window: Length of the server's window, in seconds.

    Raises:
        ConfigError: A value that cannot be, or redis-py is not installed.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        tier: Tier | str | None = None,
        on_outage: OnOutage = "fail",
        workers: int | None = None,
        lease: float = LEASE,
        window: float = MINUTE,
    ) -> None:
        try:
            from redis.asyncio import Redis, RedisCluster
        except ImportError:
            raise ConfigError(_MISSING) from None
        if not isinstance(redis, Redis | RedisCluster):
            shown = type(redis).__name__
            raise ConfigError(f"redis must be a redis.asyncio.Redis, not {shown}; for a URL there is from_url()")
        start = None if tier is None else check_tier(tier)
        self._terms = Terms(
            start, check_duration(window, "window"), check_duration(lease, "lease"), _check_share(on_outage, workers)
        )
        self._store = RedisStore(redis, owned=False)
        self._on_outage = on_outage
        self._keys: dict[tuple[str, str], KeyLimiter] = {}

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        tier: Tier | str | None = None,
        on_outage: OnOutage = "fail",
        workers: int | None = None,
        lease: float = LEASE,
        window: float = MINUTE,
    ) -> Self:
        """Connect, when it is first used, to a URL: ``redis://``, ``rediss://`` (TLS) or ``unix://``.

        Args:
            url: Where, with user and password if need be. They show up in no repr, log or error.
            tier: As of the class, as all of these.
            on_outage: What to do while Redis cannot be asked.
            workers: How many processes share the limit.
            lease: Seconds within which a request has reached the server.
            window: Length of the server's window, in seconds.

        Raises:
            ConfigError: The URL cannot be, as all that the class refuses.
        """
        try:
            redis = _connect(url)
        finally:
            del url  # tracebacks with locals must not show the password
        limiter = cls(redis, tier=tier, on_outage=on_outage, workers=workers, lease=lease, window=window)
        limiter._store = RedisStore(redis, owned=True)
        return limiter

    def bind(self, region: Region, fingerprint: str) -> KeyLimiter:
        """Return the limiter of one key; all clients of the key get the same. A client calls this.

        Args:
            region: The key's region, and where it answers.
            fingerprint: Of the key; the key itself is not told.
        """
        about = (region.base_url, fingerprint)
        if about not in self._keys:
            name = f"the key of {region.name}"
            self._keys[about] = KeyLimiter(
                self._store, name_keys(*about), self._terms, name=name, clock=time.monotonic
            )
        return self._keys[about]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Tell Redis the last news, and close the connection if `from_url` made it; idempotent."""
        for limiter in self._keys.values():
            await limiter.aclose()
        await self._store.aclose()

    def __repr__(self) -> str:
        return f"<RedisLimiter of {self._store.place}, on_outage={self._on_outage!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RedisLimiter holds a connection and perhaps its password; make one where it is used")


def _connect(url: str) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
    except ImportError:
        raise ConfigError(_MISSING) from None
    try:
        # No retries of its own: the script's caller knows better what may be tried again, and when. And no timeouts
        # but for connecting: the caller bounds the whole call, and redis-py's own are 16 µs more.
        redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=TIMEOUT)
        # Not opened; but redis-py reads the URL's parameters only when it makes a connection.
        redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return redis
    except (ValueError, TypeError, AttributeError, RedisError):
        pass
    finally:
        del url
    raise ConfigError(
        "the Redis URL cannot be read, or has a parameter that redis-py rejects; "
        "write it like redis://host:6379/0 or rediss://user:password@host"
    )


def _check_share(on_outage: OnOutage, workers: int | None) -> int | None:
    if on_outage not in get_args(OnOutage):
        raise ConfigError(f'on_outage must be "fail" or "local_share", not {quoted(on_outage)}')
    if on_outage == "fail":
        if workers is not None:
            raise ConfigError('workers= is the number of shares of on_outage="local_share"; give both or neither')
        return None
    if workers is None:
        raise ConfigError('on_outage="local_share" needs workers=, the number of processes that share the limit')
    return check_int(workers, "workers", 1, 100_000)
