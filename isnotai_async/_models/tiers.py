"""Tiers: requests a minute, largest page and history window of each contract.

Source: "Rate limits" of the vendor's guide (documentation version 1.0.17.0).
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final, Literal, NamedTuple

from isnotai_async.errors import ConfigError

UTILISATION: Final = 0.98
"""Share of the rate that bulk work uses: the limiter spaces it so, and plans and estimates count with it."""


class _Limits(NamedTuple):
    requests_per_minute: int
    max_page_size: int
    history: timedelta


class Tier(StrEnum):
    """A plan tier, equal to its name: ``Tier.PRO == "pro"``.

    Example:
        >>> page = await client.list_sessions(page_size=1)
        >>> page.tier == "enterprise", page.tier.requests_per_minute
        (True, 6000)
    """

    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"

    @cached_property
    def requests_per_minute(self) -> int:
        """Requests that one key may make within any minute."""
        return _LIMITS[self].requests_per_minute

    @cached_property
    def max_page_size(self) -> int:
        """Largest page; a larger `page_size` is clamped by the server, not refused."""
        return _LIMITS[self].max_page_size

    @cached_property
    def history(self) -> timedelta:
        """How far back the API looks; what is older comes back as an empty page.

        The documented default for free and pro, the documented maximum for enterprise.
        """
        return _LIMITS[self].history


_LIMITS: Final = {
    Tier.FREE: _Limits(60, 50, timedelta(days=7)),
    Tier.PRO: _Limits(600, 100, timedelta(days=30)),
    Tier.ENTERPRISE: _Limits(6_000, 100, timedelta(days=7 * 365)),
}

_BY_NAME: Final = {tier.value: tier for tier in Tier}


TierName = Literal["free", "pro", "enterprise"]
"""Names of the documented tiers, for annotations."""


@lru_cache(maxsize=16)  # each answer of a key says the same
def read_tier(name: str | None) -> Tier | None:
    """Read the value of an ``x-isnotai-tier`` header, in any case; None if it is absent or no documented tier."""
    return _BY_NAME.get(name.lower()) if name is not None else None


def check_tier(value: Tier | str | None) -> Tier:
    """Check the tier to start with; None is the lowest.

    Raises:
        ConfigError: There is no such tier.
    """
    try:
        return Tier.FREE if value is None else Tier(value)
    except ValueError:
        raise ConfigError(f"tier must be {', '.join(Tier)} or None for finding out, not {value!r:.50}") from None
