"""A page is a frozen value; its headers do not count."""

from __future__ import annotations

import attrs
import pytest

import isnotai_async as isnotai
from isnotai_async._models.pages import Headers

PAGE = isnotai.Page(("a", "b"), "c1", True, 2, isnotai.Tier.PRO, "eu", headers=Headers.of({"Date": "today"}))


def test_it_is_named_after_its_region_unless_it_has_another_name() -> None:
    assert PAGE.name == "eu"
    named = attrs.evolve(PAGE, name="customer")
    assert (named.name, named.region, named.data) == ("customer", "eu", PAGE.data)


def test_its_headers_do_not_count_in_comparisons() -> None:
    other = attrs.evolve(PAGE, headers=Headers())
    assert (other, hash(other)) == (PAGE, hash(PAGE))
    assert not other != PAGE  # noqa: SIM202 - a class made in C may have a method of its own for it
    assert attrs.evolve(PAGE, has_more=False) != PAGE


@pytest.mark.parametrize("name", ["data", "name", "another"])
def test_it_cannot_be_changed(name: str) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(PAGE, name, "x")
    assert not hasattr(PAGE, "__dict__")
    assert repr(PAGE) == "<Page of 2 records from eu, more follow>"
