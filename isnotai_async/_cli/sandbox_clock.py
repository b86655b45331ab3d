"""The clock of `--sandbox`, which always shows one instant. Times such as 7d count from it; all data is near it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from isnotai_async._cli.output import say
from isnotai_async._cli.times import describe_interval, is_relative
from isnotai_async.sandbox.seed_data import NOW_MS

SANDBOX_DAYS: Final = "2026-06-04 to 2026-06-10"
"""The days of all generated sessions and their events."""

_SANDBOX_NOW: Final = datetime.fromtimestamp(NOW_MS / 1000, UTC)


def read_clock(*, is_sandbox: bool) -> datetime:
    """Return the time that relative times count from."""
    return _SANDBOX_NOW if is_sandbox else datetime.now(UTC)


def say_interval(
    what: str, interval: tuple[datetime | None, datetime | None], texts: tuple[str | None, ...], *, is_sandbox: bool
) -> None:
    """Write to stderr the interval that options choose, and the clock that their times, as written, count from."""
    is_counted = is_sandbox and any(text and is_relative(text) for text in texts)
    clock = f", by the sandbox's clock, which always shows {_SANDBOX_NOW:%Y-%m-%d %H:%M}" if is_counted else ""
    if words := describe_interval(what, *interval, clock):
        say(words)


def explain_empty(*texts: str | None, is_sandbox: bool) -> str:
    """Return what to add if nothing was found: with times, as written in `texts`, the days of the sandbox's data."""
    return f"; the sandbox has only {SANDBOX_DAYS}" if is_sandbox and any(texts) else ""
