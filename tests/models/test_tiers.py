"""Tiers, as the vendor's guide has them."""

import pytest

from isnotai_async._models.tiers import Tier, read_tier


@pytest.mark.parametrize(
    ("tier", "requests", "page_size", "days"),
    [(Tier.FREE, 60, 50, 7), (Tier.PRO, 600, 100, 30), (Tier.ENTERPRISE, 6_000, 100, 7 * 365)],
)
def test_the_limits_are_the_documented_ones(tier: Tier, requests: int, page_size: int, days: int) -> None:
    assert (tier.requests_per_minute, tier.max_page_size, tier.history.days) == (requests, page_size, days)


def test_a_tier_equals_its_name() -> None:
    assert (read_tier("pro"), str(Tier.PRO)) == ("pro", "pro")


@pytest.mark.parametrize("name", ["pro", "Pro", "PRO"])
def test_a_tier_is_read_in_any_case(name: str) -> None:
    assert read_tier(name) is Tier.PRO


@pytest.mark.parametrize("value", [None, "", "platinum", "pro\udcff", "pro, free", "x" * 10_000])
def test_an_unknown_tier_is_none(value: str | None) -> None:
    assert read_tier(value) is None
