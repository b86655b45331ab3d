"""Reads query parameters strictly: what the contract does not allow is a 400 with the field's name.

Real servers may be more lenient. A strict one finds the client's mistakes. Two lists have no 400 in the contract and
pass over a malformed parameter (see `dispatch`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from isnotai_async.sandbox.responses import SandboxReply, envelope
from isnotai_async.sandbox.seed_data import BYTES, to_ms

_INT32: Final = 2**31
_INT64: Final = 2**63
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_BYTE: Final = re.compile(r"0[xX]0*([0-9a-fA-F]{1,2})|0*([0-9]{1,3})", re.ASCII)
# RFC 3339, in which the offset is required; a date without a time means its midnight in UTC.
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}([Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2}))?", re.ASCII
)

Query = Mapping[str, str]


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        answer: The answer.
        parameter: Name of the wrong query parameter, or None if the error has another cause.
    """

    def __init__(self, answer: SandboxReply, parameter: str | None = None) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.parameter = parameter


def bad_value(name: str, problem: str, code: str = "SANDBOX_INVALID_PARAMETER") -> RefusedError:
    """Return the error for a 400 that names the field."""
    return RefusedError(envelope(400, code, f"{name} {problem}.", details={"field": name}), name)


def page_size(query: Query, *, default: int, cap: int) -> int:
    """Read ``pageSize``: at least 1, clamped to the cap, which also clamps the default."""
    size = whole(query, "pageSize", _INT32)
    if size is None:
        return min(default, cap)
    if size < 1:
        raise bad_value("pageSize", "must be at least 1")
    return min(size, cap)


def whole(query: Query, name: str, bound: int = _INT64) -> int | None:
    """Read a whole number, such as Unix milliseconds."""
    if (text := query.get(name)) is None:
        return None
    if not _WHOLE.fullmatch(text) or not -bound <= int(text) < bound:
        raise bad_value(name, "must be a whole number in range")
    return int(text)


def event_type(query: Query, types: Mapping[str, int] = BYTES) -> int | None:
    """Read ``type``: a byte in decimal or hex, or one of the known short names. A byte that no event has is fine."""
    if (text := query.get("type")) is None:
        return None
    if matched := _BYTE.fullmatch(text):
        byte = int(matched[1], 16) if matched[1] else int(matched[2])
        if byte <= 255:
            return byte
    if text not in types:
        raise bad_value("type", "must be a byte in decimal or hex, or a known short name")
    return types[text]


def boolean(query: Query, name: str) -> bool:
    """Read ``true`` or ``false``, whatever their case; absent is false."""
    text = query.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise bad_value(name, "must be true or false")
    return text == "true"


def choice(query: Query, name: str, options: tuple[str, ...], *, any_case: bool = False) -> str | None:
    """Read one of several words; empty is absent."""
    if not (text := query.get(name)):
        return None
    for option in options:
        if text == option or (any_case and text.lower() == option.lower()):
            return option
    raise bad_value(name, f"must be one of {', '.join(options)}")


def instant(query: Query, name: str) -> int | None:
    """Read an ISO 8601 date, or date-time with an offset, as Unix milliseconds."""
    if (text := query.get(name)) is None:
        return None
    try:
        # Uppercased, because RFC 3339 allows "t" and "z" and Python's parser does not.
        moment = datetime.fromisoformat(text.upper()) if _DATE_TIME.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise bad_value(name, "must be an ISO 8601 date, or date-time with an offset (whose + is sent as %2B)")
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def in_order(start: int | None, end: int | None, *, name: str, end_is: str = "the end") -> None:
    """Reject a start after its end.

    One millisecond after is no mistake but an empty window: two instants within one millisecond, of which the earlier
    was rounded up and the later down.
    """
    if start is not None and end is not None and start > end + 1:
        raise bad_value(name, f"must not be after {end_is}")
