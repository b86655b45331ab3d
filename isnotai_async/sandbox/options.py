"""Checks of `Sandbox`'s options. Each raises a `ConfigError` that says what to write instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from attrs import Attribute

from isnotai_async.errors import ConfigError
from isnotai_async.sandbox.limits import BIGGEST, OPERATION_NAMES, PLANS, REGION_NAMES

Validator = Callable[[object, "Attribute[Any]", object], None]


def whole(low: int, high: int, *, optional: bool = False) -> Validator:
    """A validator for whole numbers from low to high."""

    def check(_sandbox: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(f"{attribute.name} must be a whole number from {low} to {high}")

    return check


def seconds(*, optional: bool = False) -> Validator:
    """A validator for seconds above 0."""

    def check(_sandbox: object, attribute: Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigError(f"{attribute.name} must be seconds, more than 0")

    return check


def one_of(*allowed: str) -> Validator:
    """A validator for a choice of words."""

    def check(_sandbox: object, attribute: Attribute[Any], value: object) -> None:
        if value not in allowed:
            raise ConfigError(f"{attribute.name} must be one of {', '.join(allowed)}")

    return check


def big_sessions(given: Iterable[int]) -> tuple[int, ...]:
    """Check the sizes of the big sessions to list, and return them."""
    sizes = tuple(given)
    if any(type(size) is not int or not 0 <= size <= BIGGEST for size in sizes):
        raise ConfigError(f"big_sessions must be whole numbers from 0 to {BIGGEST}")
    if len(set(sizes)) < len(sizes):
        raise ConfigError("big_sessions must differ from one another: each size is one session")
    return sizes


def rate_limit(_sandbox: object, _attribute: object, value: object) -> None:
    """Check the rate limit."""
    if value not in (None, "tier") and (type(value) is not int or value < 1):
        raise ConfigError('rate_limit must be 1 or more requests a window, None for no limit, or "tier"')


def latency_range(value: object) -> tuple[float, float]:
    """Turn a latency into its two bounds."""
    match value if isinstance(value, tuple) else (value, value):
        case (int() | float() as low, int() | float() as high) if 0 <= low <= high < math.inf:
            return float(low), float(high)
    raise ConfigError("latency must be seconds, 0 or more, or a pair (low, high) of such")


def loopback(host: str) -> str:
    """Check that a host is this machine only, and return its address."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise ConfigError("host must be a loopback address such as 127.0.0.1: the sandbox's keys guard nothing")


def tier(name: object) -> str:
    """Check the name of a tier."""
    if not isinstance(name, str) or name not in PLANS:
        raise ConfigError(f"tier must be one of {', '.join(PLANS)}")
    return name


def region(name: str) -> str:
    """Check the name of a region."""
    if name not in REGION_NAMES:
        raise ConfigError(f"region must be one of {', '.join(REGION_NAMES)}")
    return name


def operation(name: str) -> str:
    """Check the name of an operation."""
    if name not in OPERATION_NAMES:
        raise ConfigError(f"operation must be one of {', '.join(sorted(OPERATION_NAMES))}")
    return name


def tiers(given: str | Mapping[str, str]) -> dict[str, str]:
    """Spread one tier over the regions, or fill up a mapping of them with `enterprise`."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(REGION_NAMES, tier(given))
    named = {region(name): tier(value) for name, value in given.items()}
    return dict.fromkeys(REGION_NAMES, "enterprise") | named


def keys(given: Mapping[str, str]) -> dict[str, str]:
    """Check API keys by region; the messages never show one."""
    for name, value in given.items():
        region(name)
        # What a header can carry and a Bearer scheme can separate.
        if not value or not all("!" <= char <= "~" for char in value):
            raise ConfigError("api_keys must be printable ASCII without spaces")
    if len(set(given.values())) < len(given):
        raise ConfigError("api_keys must differ: a key works in one region only")
    return dict(given)
