"""Reads the values of the sandbox's options --fault and --latency."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox import Fault, Sandbox
from isnotai_async.sandbox.limits import OPERATION_NAMES

_SLOW: Final = 5.0  # seconds
_KINDS: Final[dict[str, Callable[..., Fault]]] = {
    "cut": Fault.cut_body,
    "reset": Fault.reset,
    "html": Fault.html,
    "slow": partial(Fault.slow_headers, _SLOW),
    "garbage": Fault.garbage,
    "empty": Fault.empty_page,
    "cursor": Fault.repeated_cursor,
}
_FAULT: Final = re.compile(r"([a-z]+|[0-9]{3})(?::([0-9]{1,6})(%)?)?(?:@(.+))?", re.ASCII)


def inject_fault(sandbox: Sandbox, text: str) -> None:
    """Inject the fault that the value of an option --fault describes."""
    found = _FAULT.fullmatch(text)
    if found is None or not (found[1] in _KINDS or (found[1].isdigit() and 400 <= int(found[1]) <= 599)):
        raise ConfigError(
            f"--fault {quoted(text)} is not a fault; write a status from 400 to 599 or {', '.join(_KINDS)}, with :5 "
            "for the next five requests or :10% for one in ten, and @list_events for one operation"
        )
    number, is_share, operation = int(found[2] or 1), found[3] is not None, found[4]
    if number < 1 or (is_share and number > 100):
        raise ConfigError(f"--fault {quoted(text)} would meet no request; write :5, or :1% to :100%")
    if operation is not None and operation not in OPERATION_NAMES:
        raise ConfigError(
            f"--fault {quoted(text)}: there is no operation {quoted(operation)}; the operations are: "
            f"{', '.join(sorted(OPERATION_NAMES))}"
        )
    make = partial(Fault.status, int(found[1])) if found[1].isdigit() else _KINDS[found[1]]
    fault, share = make(times=1 if is_share else number), number / 100 if is_share else None
    sandbox.inject(fault, operation=operation, probability=share)


def read_latency(text: str) -> tuple[float, float]:
    """Read a latency in seconds, one number or two."""
    first, _, second = text.partition("-")
    try:
        low, high = float(first), float(second or first)
    except ValueError:
        low = high = inf
    if not 0 <= low <= high < inf:
        raise ConfigError(f"--latency {quoted(text)} is not a latency; write seconds (0.2), or two of them (0.1-0.4)")
    return low, high
