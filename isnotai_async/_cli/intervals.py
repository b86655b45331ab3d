"""Intervals of time that options give, and the clock that times such as 7d count from.

The clock of `--sandbox` always shows one instant; all data of the sandbox is near it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from attrs import field, frozen

from isnotai_async._cli.output import say
from isnotai_async._cli.times import is_relative, read_time
from isnotai_async.errors import ConfigError
from isnotai_async.sandbox.seed_data import NOW_MS

SANDBOX_DAYS: Final = "2026-06-04 to 2026-06-10"
"""The days of all generated sessions and their events."""


@frozen
class Clock:
    """The clock that relative times count from.

    Attributes:
        now: What it shows.
        is_sandbox: Whether it is that of the sandbox, which stands still.
    """

    now: datetime = field(factory=lambda: datetime.now(UTC))
    is_sandbox: bool = field(default=False, kw_only=True)

    def read(self, what: str, start: tuple[str, str | None], end: tuple[str, str | None] = ("", None)) -> Interval:
        """Read an interval.

        Args:
            what: What it chooses, for people.
            start: The option of its start, and the time in it.
            end: The same of its end.
        """
        first = read_time(start[1], start[0], now=self.now)
        last = read_time(end[1], end[0], is_end=True, now=self.now)
        if first is not None and last is not None and first > last:
            raise ConfigError(f"{start[0]} {_shown(first)} is later than {end[0]} {_shown(last)}; exchange them")
        relative = next((f"{name} {text}" for name, text in (start, end) if text and is_relative(text)), "")
        return Interval(what, first, last, relative, self)


SANDBOX_CLOCK: Final = Clock(datetime.fromtimestamp(NOW_MS / 1000, UTC), is_sandbox=True)


@frozen
class Interval:
    """A start and an end in UTC, as options give them; None if they do not.

    Attributes:
        what: What it chooses, for people.
        start: Its start.
        end: Its end.
        relative: The first option whose time counts from now, as ``--since 7d``; empty if there is none.
        clock: The clock that its times count from.
    """

    what: str
    start: datetime | None
    end: datetime | None
    relative: str
    clock: Clock

    def __str__(self) -> str:
        bounds = [f"{word} {_shown(moment)}" for word, moment in (("from", self.start), ("to", self.end)) if moment]
        now = f", by the sandbox's clock, which always shows {self.clock.now:%Y-%m-%d %H:%M}"
        is_counted = self.clock.is_sandbox and self.relative
        return f"{self.what} {' '.join(bounds)} (UTC{now if is_counted else ''})" if bounds else ""

    def say(self) -> None:
        """Write the interval to stderr, if the options give one."""
        if text := str(self):
            say(text)

    @property
    def if_empty(self) -> str:
        """What to add if nothing was found: the days of the sandbox's data."""
        is_given = self.start is not None or self.end is not None
        return f"; the sandbox has only {SANDBOX_DAYS}" if self.clock.is_sandbox and is_given else ""


def _shown(moment: datetime) -> str:
    text = f"{moment:%Y-%m-%d %H:%M:%S}"
    return text if not moment.microsecond else f"{text}.{moment.microsecond // 1000:03}"
