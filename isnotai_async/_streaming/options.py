"""Options of a stream, checked when they are made."""

from __future__ import annotations

from typing import Final, Literal

from attrs import field, frozen

from isnotai_async._models.validation import in_range, is_flag, is_one_of

Split = int | Literal["auto"] | None
OnError = Literal["raise", "collect"]

_MOST: Final = 100_000


@frozen(kw_only=True, eq=False, repr=False)
class StreamOptions:
    """Options of a stream, except its sessions and filters.

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

    concurrency: int = field(default=16, validator=in_range(1, _MOST))
    buffer: int | None = field(default=None, validator=in_range(1, _MOST, also=(None,)))
    split: Split = field(
        default=None, validator=in_range(1, _MOST, also=(None, "auto"), kind="an int, 'auto' or None")
    )
    ordered: bool = field(default=False, validator=is_flag)
    on_error: OnError = field(default="raise", validator=is_one_of("raise", "collect"))
    set_aside: bool = False
