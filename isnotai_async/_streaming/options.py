"""Options of a stream, checked when they are made."""

from __future__ import annotations

from typing import Final, Literal

from attrs import Attribute, field, frozen

from isnotai_async._models.validation import check_int
from isnotai_async.errors import ConfigError, quoted

Split = int | Literal["auto"] | None
OnError = Literal["raise", "collect"]

_MOST: Final = 100_000
_PAGES_EACH: Final = 10  # that an ordered split may hold back for each reader; its windows have 8 at most


def _check_concurrency(_: object, __: Attribute[int], value: int) -> None:
    check_int(value, "concurrency", 1, _MOST)


def _check_buffer(_: object, __: Attribute[int | None], value: int | None) -> None:
    if value is not None:
        check_int(value, "buffer", 1, _MOST)


def _check_split(_: object, __: Attribute[Split], value: Split) -> None:
    if value is not None and value != "auto":
        check_int(value, "split", 1, _MOST, kind="an int, 'auto' or None")


def _check_ordered(_: object, __: Attribute[bool], value: bool) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"ordered must be True or False, not {type(value).__name__}")


def _check_on_error(_: object, __: Attribute[OnError], value: OnError) -> None:
    if value not in {"raise", "collect"}:
        raise ConfigError(f"on_error must be 'raise' or 'collect', not {quoted(value)}")


@frozen(kw_only=True, eq=False, repr=False)
class StreamOptions:
    """Options of a stream, but for what it reads.

    Attributes:
        concurrency: Most requests in flight.
        buffer: Most pages that wait to be taken; None for enough to keep everyone busy.
        split: Windows of a session to read at once, ``"auto"``, or None for one walk each.
        ordered: Whether the windows of a session come in time order.
        on_error: Whether the first error ends the stream, or only its session.
        set_aside: Whether the caller has a store: records that could not be read are handed out in `Page.rejected`,
            whatever `on_error` says, and a saved cursor that is refused is an error, because the store knows the ids.

    Raises:
        ConfigError: An option that cannot work.
    """

    concurrency: int = field(default=16, validator=_check_concurrency)
    buffer: int | None = field(default=None, validator=_check_buffer)
    split: Split = field(default=None, validator=_check_split)
    ordered: bool = field(default=False, validator=_check_ordered)
    on_error: OnError = field(default="raise", validator=_check_on_error)
    set_aside: bool = False

    @property
    def room(self) -> int:
        """How many pages may wait."""
        if self.buffer is not None:
            return self.buffer
        if not self.ordered or self.split is None:
            return 2 * self.concurrency
        readers = self.concurrency if self.split == "auto" else min(self.split, self.concurrency)
        return max(2 * self.concurrency, _PAGES_EACH * readers)
