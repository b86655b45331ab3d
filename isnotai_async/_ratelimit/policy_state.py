"""What the rate limit policy of one key remembers. Processes of one machine share it through a file."""

from __future__ import annotations

from math import inf

import msgspec

from isnotai_async._models.tiers import Tier
from isnotai_async._ratelimit.pacer import Pacer


class PolicyState(msgspec.Struct, eq=False):
    """What the policy of one key remembers besides the occupied slots. Processes share it through a file.

    Attributes:
        tier: The tier whose limit is in use.
        is_tier_known: Whether a response or another process named the tier.
        rising_tier: A higher tier that was seen once, or None.
        number: Number of the last permit.
        was_held_up: Whether the last request that had to wait waited for a full window or a pause, not for spacing.
        is_bursting: Whether bulk work uses the half of the window of an idle key.
        idle_from: Time from which the key can count as idle.
        is_paused: Whether the key is not open.
        paused_until: End of the pause.
        paused_after: Number of the last permit before the pause.
        rejections: How often the key was paused since it was last open.
        probe: Number of the probe that is under way, or 0.
        pacer: The spacing.
    """

    tier: Tier = Tier.FREE
    is_tier_known: bool = False
    rising_tier: Tier | None = None
    number: int = 0
    was_held_up: bool = False
    is_bursting: bool = True
    idle_from: float = -inf
    is_paused: bool = False
    paused_until: float = -inf
    paused_after: int = 0
    rejections: int = 0
    probe: int = 0
    pacer: Pacer = msgspec.field(default_factory=Pacer)
