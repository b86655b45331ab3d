"""Decodes JSON bodies (camelCase names) into records and pages (snake_case). It knows no HTTP.

Theory of operation: strict first, tolerant only if that fails.

1. msgspec reads the bytes (`wire_format`): strict (no ``"7"`` for 7, no NaN, no lone surrogates, no integer that
   would become a float), and it gives the path of a wrong field.
2. One cattrs converter structures every record, with hooks as strict as that (`converter`).
3. The event page, nearly all of the traffic, takes a way of its own: msgspec reads it straight into frozen records.
   It lets an event have no name, as the record does. The contract does not, so such a page is read by the next rule.
4. What fails is read a second time, record by record, by `tolerant`: it lists each deviation. A record that does not
   fit even so is set aside in `Page.rejected`, and the rest of its page is good.

Whatever is wrong beyond that becomes a `DecodeError`, before the first record of a page is handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from attrs import frozen

from isnotai_async._http.converter import structure
from isnotai_async._http.tolerant import TolerantReader, Unreadable
from isnotai_async._http.wire_format import (
    TOO_DEEP,
    Pagination,
    check_no_error,
    read_any,
    read_event,
    read_events,
    read_item,
    read_json,
    read_list,
    read_raw_list,
    skip_mark,
)
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import MAX_RECORD_BYTES, Headers, Page, RejectedRecord
from isnotai_async._models.positions import MAX_CURSOR_BYTES
from isnotai_async._models.records import Event, Int32
from isnotai_async._models.tiers import Tier
from isnotai_async.errors import DecodeError, PaginationError

T = TypeVar("T")

NO_HEADERS: Final = Headers()
_MOST_VALUES: Final = 200_000
_UNCOUNTED_BYTES: Final = 256 * 2**10  # a smaller body cannot have as many


@frozen(eq=False, repr=False)
class _TolerantPagination:
    has_more: bool
    limit: Int32 | None
    next_cursor: str | None = None


class _Listing(NamedTuple, Generic[T]):
    rows: tuple[T, ...]
    pagination: tuple[str | None, bool, int | None]
    rejected: tuple[RejectedRecord, ...] = ()


ReadRow = Callable[[msgspec.Raw, str, list[Deviation]], T]
"""Reads one record of a list, at a path; raises `ValueError` if it cannot."""


def decode_events(
    body: bytes,
    *,
    tier: Tier | None,
    region: str,
    session_id: str | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
    deviations: list[Deviation] | None = None,
) -> Page[Event]:
    """Decode a page of events.

    Args:
        body: The JSON.
        tier: What the page says of itself, as the next three.
        region: Name of the region.
        session_id: Session of the events.
        headers: Headers of the answer.
        deviations: Where to add what is not as documented and was read all the same.

    Raises:
        DecodeError: The body is not a page; `path` says where.
        PaginationError: More pages follow and there is no usable cursor to them.
    """
    try:
        found = read_events(body)
    except (ValueError, RecursionError):
        found = None
    if found is None or [event for event in found.data if event.event_type_name is None]:
        rows, pagination, rejected = _decode_tolerantly(body, _read_event_row, deviations)
    else:
        if found.error is not None:
            check_no_error(found.error)
        rows, pagination, rejected = found.data, _ways(found.pagination), ()
    return Page(rows, *pagination, tier, region, session_id, headers=headers, rejected=rejected)


def decode_page(
    body: bytes,
    record: type[T],
    *,
    tier: Tier | None,
    region: str,
    session_id: str | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
    deviations: list[Deviation] | None = None,
) -> Page[T]:
    """Decode a page of records, or of objects without a public schema (`dict`); else as `decode_events`."""

    def read_strictly(value: object, path: str) -> Any:  # noqa: ANN401 - a dict or a record, as `record` says
        return _open_object(value, path) if record is dict else structure(value, record, path)

    def read_row(raw: msgspec.Raw, path: str, found: list[Deviation]) -> Any:  # noqa: ANN401
        value = read_any(raw)
        return _open_object(value, path) if record is dict else _structure(value, record, path, found)

    rows, pagination, rejected = _decode_list(body, read_strictly, read_row, deviations)
    return Page(rows, *pagination, tier, region, session_id, headers=headers, rejected=rejected)


def decode_item(body: bytes, record: type[T], deviations: list[Deviation] | None = None) -> T:
    """Decode one record in its ``{"data": …}`` envelope.

    Raises:
        DecodeError: The body holds no such record.
    """
    found = [] if deviations is None else deviations
    item = read_json(read_item, skip_mark(body, found))
    check_no_error(item.error)
    return _structure(item.data, record, "$.data", found)


def decode_bare(body: bytes, record: type[T], deviations: list[Deviation] | None = None) -> T:
    """Decode one record that comes without an envelope; errors as of `decode_item`."""
    found = [] if deviations is None else deviations
    value = read_json(read_any, skip_mark(body, found))
    if isinstance(value, dict):
        check_no_error(value.get("error"))
    return _structure(value, record, "$", found)


def decode_mapping(body: bytes, deviations: list[Deviation] | None = None) -> dict[str, Any]:
    """Decode an object without a public schema.

    Raises:
        DecodeError: The body is no JSON object.
    """
    return _open_object(read_json(read_any, skip_mark(body, [] if deviations is None else deviations)), "$")


def check_size(body: bytes) -> None:
    """Check that a body has no more values than an answer can have.

    No other thread runs while msgspec decodes: more than 200,000 values would hold the event loop for over 60 ms.

    Raises:
        DecodeError: It has more than 200,000 values.
    """
    if len(body) <= _UNCOUNTED_BYTES:
        return
    count = 0
    for start in range(0, len(body), _UNCOUNTED_BYTES):  # in pieces, for the same reason
        count += sum(body.count(sign, start, start + _UNCOUNTED_BYTES) for sign in (b",", b"[", b"{"))
    if count > _MOST_VALUES:
        raise DecodeError(f"the body has more than {_MOST_VALUES:,} values, which no answer of this API has")


def decode_error(body: bytes) -> Mapping[str, Any]:
    """Read what there is of an error envelope; empty if the body is none. It never raises."""
    try:
        envelope = read_any(body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return {}
    error = envelope.get("error") if isinstance(envelope, dict) else None
    if not isinstance(error, dict):
        return {}
    return {name: value for name, value in error.items() if _is_shallow(value)}


def _decode_list(
    body: bytes,
    read_strictly: Callable[[Any, str], T],
    read_row: ReadRow[T],
    deviations: list[Deviation] | None,
) -> _Listing[T]:
    try:
        found = read_list(body)
        rows = tuple(read_strictly(row, f"$.data[{index}]") for index, row in enumerate(found.data))
    except (DecodeError, ValueError, RecursionError):
        found = None
    if found is None:
        return _decode_tolerantly(body, read_row, deviations)
    check_no_error(found.error)
    return _Listing(rows, _ways(found.pagination))


def _decode_tolerantly(body: bytes, read_row: ReadRow[T], deviations: list[Deviation] | None) -> _Listing[T]:
    noted: list[Deviation] = []
    found = read_raw_list(skip_mark(body, noted))
    check_no_error(found.error)
    pagination = _read_pagination(found.pagination, noted)
    rows, rejected = list[T](), list[RejectedRecord]()
    for index, raw in enumerate(found.data):
        path, of_record = f"$.data[{index}]", list[Deviation]()
        try:
            rows.append(read_row(raw, path, of_record))
        except (Unreadable, DecodeError) as error:
            rejected.append(RejectedRecord(index, str(error), bytes(raw)[:MAX_RECORD_BYTES], error.path))
        except (ValueError, RecursionError) as error:
            words = str(error).partition(" - at `")[0] or type(error).__name__
            reason = f"{words} - at {path}"
            rejected.append(RejectedRecord(index, reason, bytes(raw)[:MAX_RECORD_BYTES], path))
        else:
            noted += of_record
    if deviations is not None:
        deviations += noted
    return _Listing(tuple(rows), pagination, tuple(rejected))


def _read_event_row(raw: msgspec.Raw, path: str, deviations: list[Deviation]) -> Event:
    with suppress(ValueError, RecursionError):
        event = read_event(raw)
        if event.event_type_name is not None:
            return event
    return TolerantReader(deviations).read_record(read_any(raw), Event, path)


def _structure(value: object, record: type[T], path: str, deviations: list[Deviation]) -> T:
    try:
        return structure(value, record, path)
    except DecodeError:
        pass
    failure: DecodeError
    try:
        return TolerantReader(deviations).read_record(value, record, path)
    except Unreadable as error:
        failure = DecodeError(str(error), path=error.path, record=value)
    try:
        raise failure
    finally:
        del failure  # or error, traceback and this frame would keep one another alive


def _read_pagination(value: dict[str, Any], deviations: list[Deviation]) -> tuple[str | None, bool, int | None]:
    failure: DecodeError
    try:
        found = TolerantReader(deviations).read_record(value, _TolerantPagination, "$.pagination")
    except Unreadable as error:
        kind = PaginationError if error.path == "$.pagination.nextCursor" else DecodeError
        failure = kind(str(error), path=error.path)
    else:
        if found.has_more:
            _check_cursor(found.next_cursor)
        return found.next_cursor if found.has_more else None, found.has_more, found.limit
    try:
        raise failure
    finally:
        del failure


def _open_object(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(f"expected a JSON object, got {type(value).__name__} - at {path}", path=path)
    if not _is_shallow(value):
        raise DecodeError(f"{TOO_DEEP} - at {path}", path=path)
    return value


def _ways(pagination: Pagination) -> tuple[str | None, bool, int]:
    cursor = pagination.nextCursor if pagination.hasMore else None
    if pagination.hasMore:
        _check_cursor(cursor)
    return cursor, pagination.hasMore, pagination.limit


def _check_cursor(cursor: str | None) -> None:
    if not cursor:
        path = "$.pagination.nextCursor"
        raise PaginationError(
            f"hasMore is true and there is no cursor to continue with; try later - at {path}", path=path
        )
    if len(cursor) > MAX_CURSOR_BYTES or len(cursor.encode()) > MAX_CURSOR_BYTES:
        text = f"the cursor is longer than {MAX_CURSOR_BYTES} bytes - at $.pagination.nextCursor"
        raise PaginationError(text, path="$.pagination.nextCursor")


def _is_shallow(value: object, levels: int = 64) -> bool:
    """Whether what walks through a value (`repr`, pickle) stays clear of Python's recursion limit."""
    found = [value]
    for _ in range(levels):
        insides = [
            each.values() if isinstance(each, dict) else each for each in found if isinstance(each, dict | list)
        ]
        found = [item for inside in insides for item in inside if isinstance(item, dict | list)]
        if not found:
            return True
    return False
