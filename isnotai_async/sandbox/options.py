"""The options of a sandbox, and their checks: each raises a `ConfigError` that says what to write instead.

Annotations are evaluated here, because a subclass in another module could not resolve them as text.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import Attribute, define, field

from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox.hosts import is_loopback
from isnotai_async.sandbox.limits import BIGGEST, PLANS, REGION_NAMES, TierName

Validator = Callable[[object, "Attribute[Any]", object], None]


def must_be(expected: str, is_good: Callable[[Any], bool]) -> Validator:
    """Return a validator of an option, from what is expected in words and the check of it."""

    def check(_sandbox: object, attribute: "Attribute[Any]", value: object) -> None:
        if not is_good(value):
            raise ConfigError(f"{attribute.name} must be {expected}, not {quoted(value)}")

    return check


def whole_number(low: int, high: int, *, optional: bool = False) -> Validator:
    """Return a validator for whole numbers from low to high."""
    return must_be(
        f"a whole number from {low} to {high}",
        lambda value: (value is None and optional) or (type(value) is int and low <= value <= high),
    )


def positive_seconds(*, optional: bool = False) -> Validator:
    """Return a validator for seconds above 0."""
    return must_be(
        "seconds, more than 0",
        lambda value: (value is None and optional) or (isinstance(value, int | float) and 0 < value < math.inf),
    )


def check_name(what: str, name: object, known: Iterable[str]) -> str:
    """Check the name of a tier, a region or an operation."""
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"{what} must be one of {', '.join(known)}, not {quoted(name)}")
    return name


def check_big_sessions(given: Iterable[int]) -> tuple[int, ...]:
    """Check the sizes of the big sessions to list, and return them."""
    sizes = tuple(given)
    if any(type(size) is not int or not 0 <= size <= BIGGEST for size in sizes):
        raise ConfigError(f"big_sessions must be whole numbers from 0 to {BIGGEST}")
    if len(set(sizes)) < len(sizes):
        raise ConfigError("big_sessions must differ from one another: each size is one session")
    return sizes


def bounds_of(latency: float | tuple[float, float]) -> tuple[float, float]:
    """Return the two bounds of a latency."""
    return latency if isinstance(latency, tuple) else (latency, latency)


def is_latency(value: Any) -> bool:  # noqa: ANN401 - whatever a caller passes
    """Return whether a value is seconds, or a pair of them."""
    match bounds_of(value):
        case (int() | float() as low, int() | float() as high):
            return 0 <= low <= high < math.inf
    return False


def check_host(host: str) -> str:
    """Check that a host is this machine only, and return its address."""
    if is_loopback(host):
        return "127.0.0.1" if host.lower() == "localhost" else host
    raise ConfigError(
        f"host must be a loopback address such as 127.0.0.1, not {quoted(host)}: the sandbox's keys guard nothing"
    )


def check_tiers(given: str | Mapping[str, str]) -> dict[str, str]:
    """Spread one tier over the regions, or fill up a mapping of them with `enterprise`."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(REGION_NAMES, check_name("tier", given, PLANS))
    named = {
        check_name("region", key, REGION_NAMES): check_name("tier", value, PLANS) for key, value in given.items()
    }
    return dict.fromkeys(REGION_NAMES, "enterprise") | named


def check_keys(given: Mapping[str, str]) -> dict[str, str]:
    """Check API keys by region; the messages never show one."""
    for name, value in given.items():
        check_name("region", name, REGION_NAMES)
        # What a header can carry and a Bearer scheme can separate.
        if not value or not all("!" <= char <= "~" for char in value):
            raise ConfigError("api_keys must be printable ASCII without spaces")
    if len(set(given.values())) < len(given):
        raise ConfigError("api_keys must differ: a key works in one region only")
    return dict(given)


@define(eq=False, kw_only=True, repr=False)
class SandboxOptions:
    """The options of a sandbox. `Sandbox` explains each."""

    seed: int | str = "isnotai"
    data: str | os.PathLike[str] | None = None
    sessions: int = field(default=40, validator=whole_number(0, 1_000_000))
    big_sessions: tuple[int, ...] = field(default=(), converter=check_big_sessions)
    _tier: TierName | Mapping[str, TierName] = "enterprise"
    rate_limit: int | Literal["tier"] | None = field(
        default="tier",
        validator=must_be(
            '1 or more requests a window, None for no limit, or "tier"',
            lambda value: value in (None, "tier") or (type(value) is int and value >= 1),
        ),
    )
    window: float = field(default=60.0, validator=positive_seconds())
    counter: Literal["log", "approximate"] = field(
        default="log", validator=must_be("one of log, approximate", ("log", "approximate").__contains__)
    )
    retry_after: bool = True
    count_rejected: bool = False
    latency: float | tuple[float, float] = field(
        default=0.0, validator=must_be("seconds, 0 or more, or a pair (low, high) of such", is_latency)
    )
    cursor_ttl: float | None = field(default=None, validator=positive_seconds(optional=True))
    page_size_cap: int | None = field(default=None, validator=whole_number(1, 2**31 - 1, optional=True))
    compress: bool = True
    host: str = field(default="127.0.0.1", converter=check_host)
    port: int = field(default=0, validator=whole_number(0, 65_534))
    _given_keys: Mapping[str, str] | None = field(default=None, alias="api_keys")
