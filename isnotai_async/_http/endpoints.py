"""Endpoints: builds the request of each operation (path, query) and reads its answer. It sends nothing.

`build_*` makes requests from queries, `read_*` makes records, or the error that fits, from responses. This is the
one place that says path, parameter, status or header. Sources: the vendor's reference pages
(documentation version 1.0.17.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from isnotai_async._http import codec
from isnotai_async._http.api_errors import check_status, find_error, read_content
from isnotai_async._http.converter import camel
from isnotai_async._http.messages import TIER_HEADER, Request, Response
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import Page
from isnotai_async._models.queries import (
    AnalyticsQuery,
    CourseQuery,
    EventQuery,
    ListQuery,
    ReportQuery,
    SessionQuery,
    UsageQuery,
    UserQuery,
    UserSessionQuery,
)
from isnotai_async._models.records import Event, Health, Session, SessionDetails, User
from isnotai_async._models.responses import Headers, RawResponse
from isnotai_async._models.tiers import read_tier
from isnotai_async._models.validation import check_id, check_path, check_text
from isnotai_async.errors import APIError, DecodeError, PaginationError

T = TypeVar("T")

ParamValue = str | int | float | bool
"""A value of a query parameter; a bool is sent as ``true`` or ``false``."""


def build_health() -> Request:
    """Build the request for "Health check", the one that needs no key."""
    return Request("health", "/health", authenticated=False)


def build_integration() -> Request:
    """Build the request for "Get the current integration"."""
    return Request("get_integration", "/v1/integration")


def build_session(session_id: str) -> Request:
    """Build the request for "Get a session"; raises `ConfigError` for an id that cannot be one segment."""
    return Request("get_session", f"/v1/sessions/{_segment(session_id)}")


def build_session_details(session_id: str, *, bulk: bool = False) -> Request:
    """Build the request for "Get session details"; raises `ConfigError` as `build_session` does."""
    return Request("get_session_details", f"/v1/sessions/{_segment(session_id)}/details", bulk=bulk)


def build_list(query: ListQuery, cursor: str | None, *, bulk: bool = False) -> Request:
    """Build the request for one page of a list.

    Args:
        query: What to list. Its filters go with every page, because a cursor may be bound to them.
        cursor: Opaque cursor of the page; None for the first.
        bulk: Whether the first page is part of a longer work, as all others are taken to be.
    """
    target = _list_target(query)
    if cursor is not None:
        target = f"{target}{'&' if '?' in target else '?'}cursor={quote(cursor, safe='')}"
    # Who goes on to a second page is on a walk: the first page alone is how a single call looks.
    return Request(query.operation, target, cursor, bulk=bulk or cursor is not None)


@lru_cache(maxsize=256)  # it is the same for all pages of a walk
def _list_target(query: ListQuery) -> str:
    match query:
        case EventQuery():
            path = f"/v1/sessions/{_segment(query.session_id)}/events"
        case SessionQuery():
            path = "/v1/sessions"
        case UserQuery():
            path = "/v1/users"
        case UserSessionQuery():
            path = f"/v1/users/{_segment(query.user_id, 'user_id')}/sessions"
        case CourseQuery():
            path = "/v1/courses"
    return _target(path, query)


def build_report(query: ReportQuery) -> Request:
    """Build the request for analytics or usage."""
    match query:
        case AnalyticsQuery():
            path = "/v1/analytics"
        case UsageQuery():
            path = "/v1/usage"
    return Request(query.operation, _target(path, query))


def build_stats() -> Request:
    """Build the request for the counters."""
    return Request("get_stats", "/v1/stats")


# The documented routes that need no key. It is not sent to them, so they answer when it is refused too.
_OPEN: Final = frozenset({"/health", "/openapi/v3.json", "/swagger"})


def build_request(path: str, params: Mapping[str, ParamValue | None] | None = None) -> Request:
    """Build the request for any path of the API.

    Args:
        path: Absolute path without a query, such as ``"/v1/sessions"``.
        params: Parameters of the query by the API's names; None values are left out.

    Raises:
        ConfigError: The path is not absolute, or could leave the API's base URL; or a value that cannot be sent.
    """
    target = quote(check_path(path), safe="/%:@!$&'()*+,;=~")
    pairs = [
        (check_text(name, "params"), _text(value)) for name, value in (params or {}).items() if value is not None
    ]
    if pairs:
        target = f"{target}?{urlencode(pairs, quote_via=quote, safe='')}"
    return Request("request", target, authenticated=path not in _OPEN)


def _target(path: str, query: ListQuery | ReportQuery) -> str:
    # "start_time" becomes "startTime": the filters' names are the wire's, in snake_case.
    params = [(camel(name), _text(value)) for name, value in query.filters.items() if name not in query.in_path]
    return f"{path}?{urlencode(params, quote_via=quote, safe='')}" if params else path


def _segment(value: str, name: str = "session_id") -> str:
    return quote(check_id(value, name), safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_events(response: Response, session_id: str | None = None) -> Page[Event]:
    """Read a page of events, of the session with this id.

    Raises:
        APIError: The API answered with an error; the class says which. All readers raise the same.
        GatewayError: Something in front of the API answered.
        ProtocolError: A status that this API does not use.
        DecodeError: The body cannot be read.
    """
    facts = _facts_of(response)
    if response.status == 204:
        return _read_nothing(response, session_id)
    return _decode(response, lambda body: codec.decode_events(body, session_id=session_id, **facts))


def read_sessions(response: Response) -> Page[Session]:
    """Read a page of sessions; errors as of `read_events`."""
    return _read_page(response, Session)


def read_users(response: Response) -> Page[User]:
    """Read a page of users; errors as of `read_events`."""
    return _read_page(response, User)


def _read_page(response: Response, record: type[T]) -> Page[T]:
    facts = _facts_of(response)
    if response.status == 204:
        return _read_nothing(response)
    return _decode(response, lambda body: codec.decode_page(body, record, **facts))


def read_mappings(response: Response) -> Page[dict[str, Any]]:
    """Read a page of objects without a public schema; errors as of `read_events`."""
    facts = _facts_of(response)
    if response.status == 204:
        return _read_nothing(response)
    return _decode(response, lambda body: codec.decode_mappings(body, **facts))


def _facts_of(response: Response) -> dict[str, Any]:
    tier = read_tier(response.headers.get(TIER_HEADER))
    return {
        "tier": tier,
        "region": response.region,
        "headers": Headers(response.headers),
        "deviations": response.deviations,
    }


def _read_nothing(response: Response, session_id: str | None = None) -> Page[Any]:
    """Read a 204: the empty last page of a list, unless it answers a cursor, which ends nothing."""
    if response.request.cursor is not None:
        raise PaginationError("the answer to a cursor is 204 without a page, so what follows is not known")
    _note_no_content(response)
    facts = _facts_of(response)
    return Page((), None, False, None, facts["tier"], response.region, session_id, headers=facts["headers"])


def _note_no_content(response: Response) -> None:
    response.deviations.append(Deviation("$", "status", "the status is 204 without a body, read as empty"))


def read_session(response: Response) -> Session:
    """Read one session; errors as of `read_events`."""
    return _decode(response, lambda body: codec.decode_item(body, Session, response.deviations))


def read_session_details(response: Response) -> SessionDetails:
    """Read the details of one session; errors as of `read_events`."""
    return _decode(response, lambda body: codec.decode_item(body, SessionDetails, response.deviations))


def read_health(response: Response) -> Health:
    """Read the health answer, which has no envelope; errors as of `read_events`."""
    return _decode(response, lambda body: codec.decode_bare(body, Health, response.deviations))


def read_analytics(response: Response) -> Analytics:
    """Read analytics; errors as of `read_events`."""
    return _decode(response, lambda body: codec.decode_item(body, Analytics, response.deviations))


def read_usage(response: Response) -> Usage:
    """Read the usage answer, which has no envelope; errors as of `read_events`."""
    return _decode(response, lambda body: codec.decode_bare(body, Usage, response.deviations))


def read_mapping(response: Response) -> dict[str, Any]:
    """Read an object without a public schema; errors as of `read_events`."""
    if response.status == 204:
        _note_no_content(response)
        return {}
    failure: APIError | None = None
    found = _decode(response, lambda body: codec.decode_mapping(body, response.deviations))
    if "error" in found:  # without a schema, an envelope is a mapping like any other
        failure = find_error(response)
    if failure is not None:
        raise failure
    return found


def _decode(response: Response, decode: Callable[[bytes], T]) -> T:
    if response.status == 204:
        raise DecodeError("the answer is 204 without a body where a record was expected")
    body = response.body
    if response.status != 200 or not body.startswith((b"{", b"[")):
        body = read_content(response)
    codec.check_size(body)
    failure: APIError | DecodeError
    try:
        return decode(body)
    except DecodeError as error:
        failure = find_error(response) or error
    try:
        raise failure
    finally:
        del failure  # or error, traceback and this frame would keep one another alive


def read_raw(response: Response) -> RawResponse:
    """Read a success as it came, whatever its body is; errors as of `read_events`."""
    check_status(response)
    return RawResponse(
        status=response.status,
        headers=Headers(response.headers),
        body=response.body,
        region=response.region,
        attempts=response.attempts,
        elapsed=response.elapsed,
    )
