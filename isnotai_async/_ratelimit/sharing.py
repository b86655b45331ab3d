"""One limiter for each key, in a process: several clients of a key share the server's window, so they share ours."""

from __future__ import annotations

import threading
from typing import Final
from weakref import WeakSet

from isnotai_async._models.regions import Region
from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.local import LocalLimiter

_shared: Final[dict[tuple[str, str], LocalLimiter]] = {}
_users: Final[dict[tuple[str, str], WeakSet[object]]] = {}
_registry: Final = threading.Lock()


def share_limiter(region: Region, fingerprint: str, user: object, *, tier: Tier | None) -> LocalLimiter:
    """Find or make the limiter that all clients of a key share in this process.

    It outlives them while its window is not drained: closing a client does not empty the server's window.

    Args:
        region: The region, and where it answers.
        fingerprint: Of the key; the key itself is not kept here.
        user: Who uses it, as long as that lives.
        tier: Tier to start with, or None.
    """
    with _registry:
        for key in [key for key, users in _users.items() if not users and _shared[key].is_idle()]:
            del _shared[key], _users[key]
        limiter = _shared.setdefault((region.base_url, fingerprint), LocalLimiter(name=f"the key of {region.name}"))
        _users.setdefault((region.base_url, fingerprint), WeakSet()).add(user)
    if tier is not None:
        limiter.expect(tier)
    return limiter
