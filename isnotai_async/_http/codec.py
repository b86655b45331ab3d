"""Decodes JSON bodies (camelCase names) into records and pages (snake_case). It knows no HTTP.

Theory of operation:

1. msgspec reads the bytes: strict (no ``"7"`` for 7, no NaN, no BOM, no lone surrogates, no integer that would
   become a float), and it gives the path of a wrong field.
2. One cattrs converter structures every record, with hooks as strict as that.
3. The event page, nearly all of the traffic, takes a way of its own: msgspec decodes it straight into structs of
   the documented types. A loop makes frozen records of those when they are first asked for, which an Arrow table
   never does. The values are checked by then, so the loop fills plain slots and freezes at the end: 34 µs for 100
   events, against 65 through the frozen ``__init__`` and 63 for `json.loads` to dicts (Python 3.11,
   benchmarks/bench_codec.py).

Whatever is wrong becomes a `DecodeError`, before the first record of a page is handed out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from attrs import define

from isnotai_async._http.converter import structure
from isnotai_async._models.headers import Headers
from isnotai_async._models.mappings import ReadOnlyMapping
from isnotai_async._models.pages import MAX_CURSOR_BYTES, Page, Unbuilt
from isnotai_async._models.records import Event
from isnotai_async._models.tiers import Tier
from isnotai_async.errors import DecodeError, PaginationError

T = TypeVar("T")

NO_HEADERS: Final = Headers()

_TOO_DEEP: Final = "the body is nested too deep to be an answer of this API"

_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Pagination(msgspec.Struct, gc=False):
    hasMore: bool  # noqa: N815 - the wire's own name
    limit: _Int32
    nextCursor: str | None = None  # noqa: N815 - the wire's own name; may be absent on the last page


class _EventRow(msgspec.Struct, gc=False, rename="camel"):
    """A checked event, with the attributes of one: it will do for all that needs no record."""

    event_id: str
    message_id: _Int32
    event_type_name: str
    timestamp: _Int64
    payload_size: _Int32


class _EventList(msgspec.Struct, gc=False):
    data: list[_EventRow]
    pagination: _Pagination


class _AnyList(msgspec.Struct):
    data: list[Any]
    pagination: _Pagination


class _AnyItem(msgspec.Struct):
    data: Any


_read_any: Final = msgspec.json.Decoder().decode
_read_events: Final = msgspec.json.Decoder(_EventList).decode
_read_list: Final = msgspec.json.Decoder(_AnyList).decode
_read_item: Final = msgspec.json.Decoder(_AnyItem).decode


def decode_events(
    body: bytes,
    *,
    tier: Tier | None,
    region: str,
    session_id: str | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Page[Event]:
    """Decode a page of events.

    Raises:
        DecodeError: The body is not what the contract promises; `path` tells where.
        PaginationError: More pages follow and there is no usable cursor to them.
    """
    listing = _read(_read_events, body)
    rows: Any = Unbuilt(listing.data, _build_events)
    return Page(rows, *_ways(listing.pagination), tier, region, session_id, headers=headers)


def decode_page(
    body: bytes, record: type[T], *, tier: Tier | None, region: str, headers: Mapping[str, str] = NO_HEADERS
) -> Page[T]:
    """Decode a page of any other list; errors as of `decode_events`."""
    listing = _read(_read_list, body)
    rows = tuple(structure(row, record, f"$.data[{index}]") for index, row in enumerate(listing.data))
    return Page(rows, *_ways(listing.pagination), tier, region, headers=headers)


def decode_mappings(
    body: bytes, *, tier: Tier | None, region: str, headers: Mapping[str, str] = NO_HEADERS
) -> Page[Mapping[str, Any]]:
    """Decode a page of objects without a public schema; errors as of `decode_events`."""
    listing = _read(_read_list, body)
    rows = tuple(_open_object(row, f"$.data[{index}]") for index, row in enumerate(listing.data))
    return Page(rows, *_ways(listing.pagination), tier, region, headers=headers)


def decode_item(body: bytes, record: type[T]) -> T:
    """Decode one record in its ``{"data": …}`` envelope.

    Raises:
        DecodeError: The body is not what the contract promises.
    """
    return structure(_read(_read_item, body).data, record, "$.data")


def decode_bare(body: bytes, record: type[T]) -> T:
    """Decode one record that comes without an envelope; errors as of `decode_item`."""
    return structure(_read(_read_any, body), record, "$")


def decode_mapping(body: bytes) -> Mapping[str, Any]:
    """Decode an object without a public schema, as a read-only mapping.

    Raises:
        DecodeError: The body is no JSON object.
    """
    return _open_object(_read(_read_any, body), "$")


def _open_object(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(f"expected a JSON object, got {type(value).__name__} - at {path}", path=path)
    if not _is_shallow(value):
        raise DecodeError(f"{_TOO_DEEP} - at {path}", path=path)
    frozen: Mapping[str, Any] = _freeze(value)
    return frozen


def decode_error(body: bytes) -> Mapping[str, Any]:
    """Read what there is of an error envelope; empty where the body is none. It never raises."""
    try:
        envelope = _read_any(body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return {}
    error = envelope.get("error") if isinstance(envelope, dict) else None
    if not isinstance(error, dict):
        return {}
    return {name: value for name, value in error.items() if _is_shallow(value)}


def _read(read: Any, body: bytes) -> Any:  # noqa: ANN401 - typed by the decoder that is passed
    failure: DecodeError
    try:
        return read(body)
    except msgspec.ValidationError as error:
        failure = _validation_failure(str(error))
    except RecursionError:
        failure = DecodeError(_TOO_DEEP)
    except ValueError as error:  # malformed JSON, or not UTF-8
        failure = DecodeError(f"the body is not valid JSON: {error}")
    raise failure  # outside of the except clause: the cause may hold the whole body


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


@define(eq=False, repr=False, init=False, weakref_slot=False)
class _Draft:
    """An event that is not frozen yet. It has the slots of one, so it can become one without being copied.

    Without an ``__init__`` it is made in C: 20 µs a page of 100 for making, filling and freezing, 24 with one.
    """

    event_id: str
    message_id: int
    event_type_name: str
    timestamp: int
    payload_size: int


def _build_events(rows: Sequence[_EventRow]) -> tuple[Event, ...]:
    events = list[Any]()
    for row in rows:
        event = _Draft()
        event.event_id = row.event_id
        event.message_id = row.message_id
        event.event_type_name = row.event_type_name
        event.timestamp = row.timestamp
        event.payload_size = row.payload_size
        event.__class__ = Event  # type: ignore[assignment] # the layouts are the same
        events.append(event)
    return tuple(events)


def _ways(pagination: _Pagination) -> tuple[str | None, bool, int]:
    cursor = pagination.nextCursor if pagination.hasMore else None
    if pagination.hasMore:
        _check_cursor(cursor)
    return cursor, pagination.hasMore, pagination.limit


def _check_cursor(cursor: str | None) -> None:
    if not cursor:
        text = "hasMore is true and there is no cursor to go on with - at $.pagination.nextCursor"
        raise PaginationError(text, path="$.pagination.nextCursor")
    if len(cursor) > MAX_CURSOR_BYTES or len(cursor.encode()) > MAX_CURSOR_BYTES:
        text = f"the cursor is longer than {MAX_CURSOR_BYTES} bytes - at $.pagination.nextCursor"
        raise PaginationError(text, path="$.pagination.nextCursor")


def _is_shallow(value: object, levels: int = 64) -> bool:
    """Tell whether what walks through a value (freezing, `repr`, pickle) stays clear of Python's recursion limit."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in inside)


def _freeze(value: Any) -> Any:  # noqa: ANN401 - JSON of no known schema
    if isinstance(value, dict):
        return ReadOnlyMapping({key: _freeze(item) for key, item in value.items()})
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value
