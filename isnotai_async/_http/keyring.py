"""Keys of several regions, each with what belongs to it."""

from __future__ import annotations

from typing import NoReturn

from isnotai_async._http.credentials import ApiKey, Hidden
from isnotai_async._models.regions import REGIONS, resolve_region
from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.limiter import Limiter, SharedLimiter
from isnotai_async.errors import ConfigError, quoted


class Credential:
    """A key, and where it works. Its repr does not show the key, and it does not pickle.

    Args:
        api_key: The key.
        region: The region it was minted in.
        base_url: Where that region answers; default the vendor's address.
        tier: The key's tier, where you know it.
        limiter: Paces the requests of this key; default one that all clients of the key share in this process.

    Raises:
        ConfigError: The key cannot be one, the region is unknown, or the base URL cannot carry a key safely.
    """

    __slots__ = ("api_key", "base_url", "limiter", "region", "tier")

    def __init__(
        self,
        api_key: str,
        *,
        region: str = "us",
        base_url: str | None = None,
        tier: Tier | str | None = None,
        limiter: Limiter | SharedLimiter | None = None,
    ) -> None:
        try:
            ApiKey(api_key)
            self.api_key = Hidden(api_key)
        finally:
            del api_key  # tracebacks with locals must not show it
        where = resolve_region(region, base_url)
        self.region, self.base_url, self.tier, self.limiter = where.name, where.base_url, tier, limiter

    def __repr__(self) -> str:
        return f"Credential('***', region={self.region!r}, base_url={self.base_url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; build the credential where it is used")


def read_credential(name: object, value: object) -> Credential:
    """Read what stands under a name: a credential, or a key whose region is the name.

    Raises:
        ConfigError: It is neither, or the name is no region.
    """
    try:
        if not isinstance(name, str):
            raise ConfigError(f"names of credentials are strings, not {quoted(name)}")
        if isinstance(value, Credential):
            return value
        if name not in REGIONS:
            raise ConfigError(
                f"{quoted(name)} is no region, so a key alone is not enough under this name; "
                "pass Credential(key, region=…)"
            )
        return Credential(value, region=name)  # type: ignore[arg-type]  # it is checked there
    finally:
        del value
