"""The wire format: structs of the answers as documented, and reading bytes as one of them with msgspec.

It knows JSON and the API's own names, and of the records the fields of an event. msgspec's errors become a
`DecodeError` with the path of the wrong field.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from isnotai_async._models.deviations import Deviation
from isnotai_async._models.records import Event, Int32
from isnotai_async.errors import DecodeError, PaginationError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
TOO_DEEP: Final = "the body is nested too deep to be an answer of this API"
_HALF_OR_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # of the surrogates of UTF-16


class Pagination(msgspec.Struct, gc=False):
    hasMore: bool  # noqa: N815 - the wire's own name
    limit: Int32
    nextCursor: str | None = None  # noqa: N815 - the wire's own name; may be absent on the last page


class EventList(msgspec.Struct, gc=False):
    data: tuple[Event, ...]
    pagination: Pagination
    error: Any = None


class AnyList(msgspec.Struct):
    data: list[Any]
    pagination: Pagination
    error: Any = None


class RawList(msgspec.Struct):
    data: list[msgspec.Raw]
    pagination: dict[str, Any]
    error: Any = None


class _AnyPage(msgspec.Struct):
    data: list[Any]
    pagination: dict[str, Any]
    error: Any = None


class AnyItem(msgspec.Struct):
    data: Any
    error: Any = None


read_any: Final = msgspec.json.Decoder().decode
read_event: Final = msgspec.json.Decoder(Event).decode
read_events: Final = msgspec.json.Decoder(EventList).decode
read_list: Final = msgspec.json.Decoder(AnyList).decode
_read_raws: Final = msgspec.json.Decoder(RawList).decode
read_item: Final = msgspec.json.Decoder(AnyItem).decode


def read_json(read: Any, body: bytes) -> Any:  # noqa: ANN401 - typed by the decoder that is passed
    """Read a body with one of the decoders above.

    Raises:
        DecodeError: The body is no valid JSON, or not of that shape; `path` says where.
        PaginationError: The cursor has another type.
    """
    failure: DecodeError
    try:
        return read(body)
    except msgspec.ValidationError as error:
        failure = _validation_failure(str(error))
    except RecursionError:
        failure = DecodeError(TOO_DEEP)
    except ValueError as error:  # malformed JSON, or not UTF-8: damaged on its way
        failure = DecodeError(f"the body is not valid JSON: {error}")
        failure.retry_limit = None
    try:
        raise failure  # outside of the except clause: the cause may hold the whole body
    finally:
        del failure


def has_words(error: object) -> bool:
    """Return whether a value is what the API's error envelope holds: an object with a code or a message."""
    return isinstance(error, dict) and any(
        isinstance(error.get(name), str) and error[name] for name in ("code", "message")
    )


def check_no_error(error: object) -> None:
    """Check that the member ``error`` of a success is not the API's: whatever else is there, the call has failed.

    Raises:
        DecodeError: It is.
    """
    if has_words(error):
        raise DecodeError("the body holds an error envelope - at $.error", path="$.error")


def skip_mark(body: bytes, deviations: list[Deviation]) -> bytes:
    """Return a body without its byte order mark, and note the mark as a deviation."""
    if not body.startswith(BYTE_ORDER_MARK):
        return body
    deviations.append(Deviation("$", "byte order mark", "the body starts with a byte order mark"))
    return body[len(BYTE_ORDER_MARK) :]


def read_raw_list(body: bytes) -> RawList:
    """Split a page into records that are not read yet.

    Raises:
        DecodeError: The body is no page; its errors are those of `read_json`.
    """
    if _HALF_OR_PAIR.search(body):
        for read in (_read_raws, _split_by_json):
            try:
                return read(body)
            except (ValueError, RecursionError):
                continue
    found: RawList = read_json(_read_raws, body)
    return found


def _split_by_json(body: bytes) -> RawList:
    """Split a page into records, though a text in it has half a character: msgspec rejects the whole page for it."""
    found = msgspec.convert(json.loads(body.decode(errors="surrogateescape")), _AnyPage)
    pagination = read_any(json.dumps(found.pagination))
    records = [msgspec.Raw(json.dumps(record).encode()) for record in found.data]
    return RawList(records, pagination, found.error)


def _validation_failure(text: str) -> DecodeError:
    """Turn msgspec's ``Expected `int`, got `str` - at `$.data[1].timestamp``` into ours."""
    reason, _, place = text.partition(" - at `")
    path = place.rstrip("`") or "$"
    if missing := re.fullmatch(_MISSING, reason):
        reason, path = "Object missing required field", f"{path}.{missing[1]}"
    if "..." in path:  # within a value of no known type msgspec does not keep count
        path = "$"
    kind = PaginationError if path == "$.pagination.nextCursor" else DecodeError
    return kind(f"{reason} - at {path}", path=path)


_MISSING: Final = r"Object missing required field `(.*)`"  # compiled when it is needed
