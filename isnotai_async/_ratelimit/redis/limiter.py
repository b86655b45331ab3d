"""`RedisLimiter`: one quota for all processes and machines that use a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from isnotai_async._models.tiers import Tier
from isnotai_async._models.validation import check_int
from isnotai_async._ratelimit.constants import MINUTE
from isnotai_async._ratelimit.redis.connection import TIMEOUT, RedisStore
from isnotai_async._ratelimit.shared.limiter import StoreLimiter
from isnotai_async._ratelimit.shared.protocol import LEASE
from isnotai_async.errors import ConfigError, quoted

if TYPE_CHECKING:
    from redis.asyncio import Redis
else:  # annotations resolve at run time too, without redis-py
    Redis = Any

OnOutage = Literal["fail", "local_share"]

_MISSING: Final = "RedisLimiter needs redis-py 8; install it with: pip install 'isnotai-async[redis]'"


class RedisLimiter(StoreLimiter):
    """A rate limiter that all processes and machines that use a key share through Redis (5 or later).

    It gives all processes together the guarantees that `LocalLimiter` gives one process:

    - No window of the server has more requests than the tier allows.
    - A 429 pauses all processes, and then one probe goes first.
    - All processes follow the tier.
    - Single calls go before bulk work, and bulk work is spaced evenly at 98 % of the rate.

    Inside a process, waiters are served first come, first served; between processes there is no order. Time is the
    clock of Redis, so the clocks of the hosts do not matter. The permits of a process that was killed become free
    after `lease` plus one window.

    If Redis is down, slow (more than a second), read-only or rejects calls, the limiter does what `on_outage` says.
    It tries Redis again at most once a second, and uses it again as soon as it works. Each process remembers its own
    requests of the last window. They count against its share immediately, and the process reports them when Redis is
    back, even if Redis lost all data. So if the work is spread evenly, the limit always holds. In the worst case, if
    one process used the whole limit before an outage, the windows around the outage have twice the limit.

    If Redis loses its data, or has only old data, all processes pause for 1.25 s. The requests of a process that is
    idle, or only waits for responses, count again with its next report; if the process has ended, they are forgotten.
    A key that was not used for a day starts with the same pause, because lost data and no data look the same.

    Configure the Redis server with the policy ``noeviction``. An eviction is detected, and costs the same pause.
    docs/shared-limit.md lists the permissions that the Redis user needs.

    Open it with ``async with``, or close it with `aclose`; a client does not close a limiter that it was given. It
    serves any number of clients and keys on one event loop.

    Example:
        >>> import os
        >>> async with isnotai.RedisLimiter.from_url(os.environ["REDIS_URL"], on_outage="fail") as limiter:
        ...     async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, limiter=limiter) as client:
        ...         print(len(await client.list_events("big-100").to_list()))
        100

    Args:
        redis: A `redis.asyncio.Redis` to borrow; the limiter never closes it.
        tier: Tier to start with if no process knows the tier yet; None for the lowest. The responses name the real
            tier.
        on_outage: What to do while Redis does not answer. ``"fail"``: calls raise `LimiterError`.
            ``"local_share"``: each process limits itself to its share of the limit.
        workers: Number of processes that share the limit, for ``"local_share"``. Give the largest possible number.
        lease: Seconds after its permit within which a request has surely reached the server. It must be greater than
            the client's `timeout`; else the client is rejected. A permit waits for a connection (`max_concurrency`)
            for at most half of the difference, and is then given back.
        window: Length of the server's window, in seconds.

    Raises:
        ConfigError: A value is not valid, or redis-py is not installed.
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
            raise ConfigError(f"redis must be a redis.asyncio.Redis, not {shown}; to pass a URL, use from_url()")
        super().__init__(tier, lease, window, _check_share(on_outage, workers))
        self._store = RedisStore(redis, owned=False)
        self._on_outage = on_outage

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
        """Create a limiter that connects to a URL when it is first used.

        Example:
            >>> url = "rediss://user:password@redis.example/0"
            >>> isnotai.RedisLimiter.from_url(url, on_outage="local_share", workers=8)
            <RedisLimiter of Redis at redis.example:6379, on_outage='local_share'>

        Args:
            url: ``redis://``, ``rediss://`` (TLS) or ``unix://`` URL, with user and password if needed. They appear
                in no repr, log or error.
            tier: As in the class, like all arguments below.
            on_outage: What to do while Redis does not answer.
            workers: Number of processes that share the limit.
            lease: Seconds within which a request has reached the server.
            window: Length of the server's window, in seconds.

        Raises:
            ConfigError: The URL or another value is not valid, or redis-py is not installed.
        """
        try:
            redis = _connect(url)
        finally:
            del url  # tracebacks with locals must not show the password
        limiter = cls(redis, tier=tier, on_outage=on_outage, workers=workers, lease=lease, window=window)
        limiter._store = RedisStore(redis, owned=True)
        return limiter

    def _find_store(self, names: tuple[str, str]) -> RedisStore:  # noqa: ARG002 - all keys are in one Redis
        return self._store

    async def aclose(self) -> None:
        """Report the last outcomes to Redis, and close the connection if `from_url` created it. Idempotent.

        Example:
            >>> limiter = isnotai.RedisLimiter.from_url("redis://localhost:6379/0")
            >>> await limiter.aclose()
        """
        await super().aclose()
        await self._store.aclose()

    def __repr__(self) -> str:
        return f"<RedisLimiter of {self._store.place}, on_outage={self._on_outage!r}>"


def has_password(url: str) -> bool:
    """Return whether the URL of a Redis shows a password."""
    try:
        parts = urlsplit(url)
    except ValueError:  # `from_url` reports what is wrong with it
        return "@" in url
    return bool(parts.password) or "password=" in parts.query


def _connect(url: str) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
    except ImportError:
        raise ConfigError(_MISSING) from None
    try:
        # No retries in redis-py: the script's caller knows what may be retried, and when. No timeouts except for
        # connecting: the caller bounds the whole call, and redis-py's own timeouts cost 16 µs more.
        redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=None, socket_connect_timeout=TIMEOUT)
        # This opens nothing, but redis-py checks the URL's parameters only when it creates a connection.
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
