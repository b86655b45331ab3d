"""Regions, operations and tiers of the sandbox, written a second time on purpose: it must not vouch for the client.

Source: the vendor's reference and the "Rate limits" of its guide (documentation version 1.0.17.0).
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

TierName = Literal["free", "pro", "enterprise"]


REGION_NAMES: Final = ("us", "eu")

# Operations that are served, named as the client's methods are (the contract's ids in snake case), and those of
# them that answer with pages.
LIST_OPERATIONS: Final = ("list_events", "list_sessions", "list_users", "get_user_sessions", "list_courses")
OPERATION_NAMES: Final = (
    "health",
    "openapi",  # the document of the API itself, which is no operation of it
    "get_integration",
    "get_session",
    "get_session_details",
    "get_analytics",
    "get_stats",
    "get_usage",
    *LIST_OPERATIONS,
)

# The largest session that can be asked for.
BIGGEST: Final = 1_000_000


@frozen
class Plan:
    """What a tier allows.

    Attributes:
        name: Value of ``x-isnotai-tier``.
        requests: Requests within one window.
        page_size: Largest page.
        history_days: How far back a `startDate` may reach.
    """

    name: str
    requests: int
    page_size: int
    history_days: int


PLANS: Final = {
    "free": Plan("free", 60, 50, 7),
    "pro": Plan("pro", 600, 100, 30),
    "enterprise": Plan("enterprise", 6_000, 100, 7 * 365),
}
