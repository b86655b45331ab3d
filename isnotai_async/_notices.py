"""Notices: what the client reports about its own work, to the log and to a callback.

The log is ``isnotai_async``: debug for each attempt, info for each retry and for waits of more than a second for
the limiter. Neither ever has the key.
"""

from __future__ import annotations

import inspect
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import define, field, frozen

from isnotai_async._models.deviations import Deviation, DeviationKind
from isnotai_async._models.tiers import Tier
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import ConfigError, IsNotAIWarning, printable


class _SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """The log of this package. Handlers and filters belong to the program; an error in one of them ends no call."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:  # noqa: ANN401
        """Return message and fields unchanged. The adapter's own method would replace ``extra=``."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, stacklevel: int = 1, **options: Any) -> None:  # noqa: ANN401
        """Log a message; print the error of a handler or filter to stderr, as `logging` does for its own handlers."""
        try:
            super().log(level, msg, *args, stacklevel=stacklevel + 1, **options)
        except Exception:  # noqa: BLE001 - a full disk under a log must not break the export that it is about
            if logging.raiseExceptions:
                traceback.print_exc()


logger: Final = _SafeLogger(logging.getLogger("isnotai_async"), None)
logger.logger.addHandler(logging.NullHandler())  # the program decides whether to log

TOLD_SECONDS: Final = 1.0
"""Waits for the limiter that are longer than this are logged at level info."""


@frozen(kw_only=True)
class AttemptNotice:
    """One request was answered, or failed.

    Example:
        >>> def show(notice: isnotai.Notice) -> None:
        ...     if isinstance(notice, isnotai.AttemptNotice):
        ...         print(notice.operation, notice.attempt, notice.status)
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, on_notice=show) as client:
        ...     page = await client.list_events("big-3")
        list_events 1 200

    Attributes:
        region: Name of the region.
        operation: The operation, such as ``"list_events"``.
        attempt: Number of the attempt within its call, from 1.
        status: HTTP status, or None if there was no answer.
        error: Name of the error's class if there was no answer, else None.
        elapsed: Seconds, the wait for a permit included.
    """

    region: str
    operation: str
    attempt: int
    status: int | None
    error: str | None
    elapsed: float

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class DeviationNotice:
    """An answer differs from the documentation, but was read. Once for each operation and path of a client.

    Example:
        >>> def show(notice: isnotai.Notice) -> None:
        ...     if isinstance(notice, isnotai.DeviationNotice):
        ...         print(notice.path, notice.kind)
        >>> sandbox.inject(isnotai.sandbox.Fault.absent_field("data[*].eventTypeName"))
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, on_notice=show) as client:
        ...     page = await client.list_events("big-3")
        $.data[*].eventTypeName absent

    Attributes:
        region: Name of the region.
        operation: The operation.
        path: JSON path of the place without indexes, such as ``$.data[*].payloadSize``; ``$`` for the whole answer.
        kind: What differs, as a stable word: ``"absent"``, ``"null"``, ``"number"``, ``"date-time"``, ``"status"`` or
            ``"byte order mark"``.
        text: The same in words.
    """

    region: str
    operation: str
    path: str
    kind: DeviationKind
    text: str

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class RetryNotice:
    """One more attempt will be made.

    Example:
        >>> def show(notice: isnotai.Notice) -> None:
        ...     if isinstance(notice, isnotai.RetryNotice):
        ...         print(notice.attempt, notice.kind)
        >>> sandbox.inject(isnotai.sandbox.Fault.status(503))
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, on_notice=show) as client:
        ...     page = await client.list_events("big-3")
        2 status

    Attributes:
        region: Name of the region.
        operation: The operation.
        attempt: Number of the next attempt, from 2.
        wait: Seconds until then; a wait for the limiter may follow.
        reason: Why the last attempt failed, in words.
        kind: The same as a stable word, for a metric's label: ``"rate limited"``, ``"status"``, ``"gateway"``,
            ``"connect"``, ``"timeout"``, ``"protocol"``, ``"connection lost"``, ``"limiter"`` or ``"unreadable"``.
    """

    region: str
    operation: str
    attempt: int
    wait: float
    reason: str
    kind: str = ""

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class WaitNotice:
    """A request waits for the limiter.

    Example:
        >>> limiter = isnotai.LocalLimiter(window=1)
        >>> for permit in [limiter.acquire_nowait(bulk=False) for _ in range(60)]:
        ...     await limiter.release(permit, isnotai.RequestOutcome(200))
        >>> def show(notice: isnotai.Notice) -> None:
        ...     if isinstance(notice, isnotai.WaitNotice):
        ...         print(notice.reason, notice.wait > 0.1)
        >>> settings = {"base_url": sandbox.base_url, "limiter": limiter, "on_notice": show}
        >>> async with isnotai.Client(sandbox.api_key, **settings) as client:
        ...     page = await client.list_events("big-3")
        the window is full True

    Attributes:
        region: Name of the region.
        operation: The operation.
        wait: Minimum number of seconds; infinite if it is not known.
        reason: Why it waits, in words.
    """

    region: str
    operation: str
    wait: float
    reason: str

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class TierNotice:
    """An answer named another tier than the one before it.

    Example:
        >>> def show(notice: isnotai.Notice) -> None:
        ...     if isinstance(notice, isnotai.TierNotice):
        ...         print(notice.previous, notice.tier)
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, on_notice=show) as client:
        ...     page = await client.list_events("big-3")
        None enterprise

    Attributes:
        region: Name of the region.
        tier: The tier.
        previous: The one before, or None.
    """

    region: str
    tier: Tier
    previous: Tier | None

    __repr__, __eq__, __hash__ = show, equals, hashed


@frozen(kw_only=True)
class PageNotice:
    """A page was read.

    Example:
        >>> def show(notice: isnotai.Notice) -> None:
        ...     if isinstance(notice, isnotai.PageNotice):
        ...         print(notice.records, notice.has_more)
        >>> async with isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, on_notice=show) as client:
        ...     page = await client.list_events("big-3")
        3 False

    Attributes:
        region: Name of the region.
        operation: The operation that lists.
        records: Number of its records.
        has_more: Whether more pages follow.
    """

    region: str
    operation: str
    records: int
    has_more: bool

    __repr__, __eq__, __hash__ = show, equals, hashed


Notice = AttemptNotice | RetryNotice | WaitNotice | TierNotice | PageNotice | DeviationNotice
OnNotice = Callable[[Notice], None]


captured_by: Final[ContextVar[OnNotice | None]] = ContextVar("isnotai_captured_by", default=None)
"""The callback of the `capture_notices` block that the running task is in."""


@contextmanager
def capture_notices(on_notice: OnNotice) -> Iterator[None]:
    """Capture the notices about the requests of this block, and of no others, of any client.

    Tasks that are started in the block belong to it, so all notices of a stream that is opened there are captured.

    Args:
        on_notice: Called with each notice, in addition to the client's own callback.
    """
    token = captured_by.set(on_notice)
    try:
        yield
    finally:
        captured_by.reset(token)


def check_on_notice(value: OnNotice | None) -> OnNotice | None:
    """Check a callback.

    Raises:
        ConfigError: It cannot be called, or would have to be awaited.
    """
    if value is None:
        return None
    if not callable(value):
        raise ConfigError(f"on_notice must be a function of one notice, not {type(value).__name__}")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__):
        raise ConfigError("on_notice must be a plain function; to await in it, put the notice into a queue")
    return value


@define(eq=False, repr=False)
class Notifier:
    """Emits the notices of one client; its copies share it.

    Args:
        region: Name of the region.
        on_notice: The user's callback, or None.

    Attributes:
        tier: The last known tier that an answer named.
    """

    region: str
    on_notice: OnNotice | None = None
    tier: Tier | None = field(default=None, init=False)
    _met_unknown_tier: bool = field(default=False, init=False)
    _met_deviations: set[tuple[str, str]] = field(factory=set, init=False)

    def emit(self, notice: Notice) -> None:
        """Call the callbacks with a notice. An error that they raise is logged and ends nothing."""
        for listener in (self.on_notice, captured_by.get()):
            if listener is None:
                continue
            try:
                listener(notice)
            except Exception:  # a broken progress bar must not break the export that it shows
                logger.exception("on_notice raised an error on a %s; the call continues", type(notice).__name__)

    def see_tier(self, tier: Tier | None, name: str) -> None:
        """Note the tier of an answer.

        Args:
            tier: The tier, or None if its name is not documented.
            name: Its name in the header.
        """
        if tier is None:
            if not self._met_unknown_tier:
                self._met_unknown_tier = True
                logger.warning("the API named an unknown tier, %s; the limit is unchanged", printable(repr(name)))
        elif tier is not self.tier:
            previous, self.tier = self.tier, tier
            self.emit(TierNotice(region=self.region, tier=tier, previous=previous))

    def see_deviations(self, operation: str, deviations: Iterable[Deviation]) -> None:
        """Report the deviations of an answer, each place of an operation once.

        Warns:
            IsNotAIWarning: For each.
        """
        for deviation in deviations:
            seen = (operation, deviation.place)
            if seen in self._met_deviations:
                continue
            self._met_deviations.add(seen)
            notice = DeviationNotice(
                region=self.region,
                operation=operation,
                path=deviation.place,
                kind=deviation.kind,
                text=deviation.text,
            )
            self.emit(notice)
            text = (
                f"{operation} of region {self.region} is not as documented: {deviation.text} - at {deviation.place}"
            )
            warnings.warn(text, IsNotAIWarning, stacklevel=count_own_frames())


def count_own_frames() -> int:
    """Count the frames from the caller up to the program, so that a warning names a line of the program."""
    package = __name__.partition(".")[0]
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - `inspect` reads source files for the same
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    return level


def log_fields(event: str, **values: object) -> dict[str, object]:
    """Return the fields of a log record, for ``extra=``. Each name starts with ``isnotai_``.

    Args:
        event: What happened, as a stable word.
        values: The values that the record's text contains, by name.
    """
    return {f"isnotai_{name}": value for name, value in {"event": event, **values}.items()}


def until(seconds: float) -> str:
    """Return the length of a wait and the time of its end, for the log."""
    # The wall clock, because a person reads it; nothing is computed with it.
    end = datetime.now(UTC) + timedelta(seconds=min(seconds, 1e9))
    return f"{seconds:.1f} s, until {end:%H:%M:%SZ}"
