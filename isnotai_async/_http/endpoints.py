"""Endpoints as values: path, query and answer of each operation, once. It sends nothing.

An endpoint builds requests from queries, and reads records, or the error that fits, from responses. A new endpoint is
one value here, one method in `_operations`, and one sample file of the tests. Sources: the vendor's reference pages
(documentation version 1.0.17.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import quote, urlencode

from attrs import Factory, field, frozen

from isnotai_async._http import codec
from isnotai_async._http.api_errors import check_status, find_error, read_content
from isnotai_async._http.converter import camel
from isnotai_async._http.messages import TIER_HEADER, Request, Response
from isnotai_async._models.analytics import Analytics, Usage
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.pages import Page
from isnotai_async._models.positions import Mark, mark_content, mark_event, mark_session, mark_user
from isnotai_async._models.queries import (
    AnalyticsQuery,
    CourseQuery,
    EventQuery,
    Query,
    SessionIdQuery,
    SessionQuery,
    UsageQuery,
    UserQuery,
    UserSessionQuery,
)
from isnotai_async._models.records import Event, Health, Session, SessionDetails, User
from isnotai_async._models.responses import RawResponse
from isnotai_async._models.tiers import read_tier
from isnotai_async._models.validation import check_no_key, check_path, check_text
from isnotai_async.errors import APIError, DecodeError, PaginationError

T = TypeVar("T")

ParamValue = str | int | float | bool
"""A value of a query parameter; a bool is sent as ``true`` or ``false``."""


@frozen(eq=False, repr=False)
class Endpoint(Generic[T]):
    """An endpoint that answers with one record.

    Attributes:
        operation: The vendor's operation id, in snake_case.
        path: Path; names in braces are fields of the query.
        returns: Class of the record; `dict` if it has no public schema.
        query: Class of its queries; None if it takes no parameter.
        is_enveloped: Whether the record is in an object, as ``data``.
        authenticated: Whether the key is sent.
    """

    operation: str
    path: str
    returns: type[T] = field(kw_only=True)
    query: type[Query] | None = field(default=None, kw_only=True)
    is_enveloped: bool = field(default=True, kw_only=True)
    authenticated: bool = field(default=True, kw_only=True)

    def build(self, query: Query | None = None, *, bulk: bool = False) -> Request:
        """Build the request for a query.

        Args:
            query: What to ask; an instance of `query`.
            bulk: Whether it is part of longer work.
        """
        return Request(self.operation, _target(self.path, query), authenticated=self.authenticated, bulk=bulk)

    def read(self, response: Response) -> T:
        """Read the record.

        Raises:
            APIError: The API answered with an error; the class says which. All readers raise the same.
            GatewayError: Something in front of the API answered.
            ProtocolError: A status that this API does not use.
            DecodeError: The body cannot be read.
        """
        if self.returns is dict:
            return cast(T, _read_mapping(response))
        decode = codec.decode_item if self.is_enveloped else codec.decode_bare
        return _decode(response, lambda body: decode(body, self.returns, response.deviations))


def _find_decoder(endpoint: ListEndpoint[Any]) -> Callable[..., Page[Any]]:
    return codec.decode_events if endpoint.page_of is Event else partial(codec.decode_page, record=endpoint.page_of)


@frozen(eq=False, repr=False)
class ListEndpoint(Generic[T]):
    """An endpoint that answers with pages of records.

    Attributes:
        operation: The vendor's operation id, in snake_case.
        path: Path; names in braces are fields of the query.
        page_of: Class of the records; `dict` if they have no public schema.
        query: Class of its queries.
        mark: Returns the watermark of a record; by default its content is its id.
    """

    operation: str
    path: str
    page_of: type[T] = field(kw_only=True)
    query: type[Query] = field(kw_only=True)
    mark: Mark[T] = field(default=mark_content, kw_only=True)
    _decode: Callable[..., Page[T]] = field(init=False, default=Factory(_find_decoder, takes_self=True))

    def build(self, query: Query, cursor: str | None = None, *, bulk: bool = False) -> Request:
        """Build the request for one page.

        Args:
            query: What to list. Its filters go with every page, because a cursor may be bound to them.
            cursor: Opaque cursor of the page; None for the first.
            bulk: Whether the first page is part of longer work, as all others are taken to be.
        """
        target = _target(self.path, query)
        if cursor is not None:
            target = f"{target}{'&' if '?' in target else '?'}cursor={quote(cursor, safe='')}"
        # A second page belongs to a walk: the first page alone is how a single call looks.
        return Request(self.operation, target, cursor, bulk=bulk or cursor is not None, session_id=query.session)

    def read(self, response: Response) -> Page[T]:
        """Read a page; errors as of `Endpoint.read`."""
        headers = response.headers
        tier = read_tier(headers.get(TIER_HEADER))
        region, session_id, deviations = response.region, response.request.session_id, response.deviations
        if response.status == 204:
            return _read_nothing(
                response, partial(Page, tier=tier, region=region, session_id=session_id, headers=headers)
            )
        decode = self._decode
        return _decode(
            response,
            lambda body: decode(
                body, tier=tier, region=region, session_id=session_id, headers=headers, deviations=deviations
            ),
        )


HEALTH: Final = Endpoint("health", "/health", returns=Health, is_enveloped=False, authenticated=False)
GET_INTEGRATION: Final[Endpoint[dict[str, Any]]] = Endpoint("get_integration", "/v1/integration", returns=dict)
LIST_SESSIONS: Final = ListEndpoint(
    "list_sessions", "/v1/sessions", page_of=Session, query=SessionQuery, mark=mark_session
)
GET_SESSION: Final = Endpoint("get_session", "/v1/sessions/{session_id}", returns=Session, query=SessionIdQuery)
GET_SESSION_DETAILS: Final = Endpoint(
    "get_session_details", "/v1/sessions/{session_id}/details", returns=SessionDetails, query=SessionIdQuery
)
LIST_EVENTS: Final = ListEndpoint(
    "list_events", "/v1/sessions/{session_id}/events", page_of=Event, query=EventQuery, mark=mark_event
)
LIST_USERS: Final = ListEndpoint("list_users", "/v1/users", page_of=User, query=UserQuery, mark=mark_user)
GET_USER_SESSIONS: Final = ListEndpoint(
    "get_user_sessions", "/v1/users/{user_id}/sessions", page_of=Session, query=UserSessionQuery, mark=mark_session
)
LIST_COURSES: Final[ListEndpoint[dict[str, Any]]] = ListEndpoint(
    "list_courses", "/v1/courses", page_of=dict, query=CourseQuery
)
GET_ANALYTICS: Final = Endpoint("get_analytics", "/v1/analytics", returns=Analytics, query=AnalyticsQuery)
GET_STATS: Final[Endpoint[dict[str, Any]]] = Endpoint("get_stats", "/v1/stats", returns=dict)
GET_USAGE: Final = Endpoint("get_usage", "/v1/usage", returns=Usage, query=UsageQuery, is_enveloped=False)


# The documented routes that need no key. It is not sent to them, so they answer when it is rejected too.
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
        (check_text(name, "params"), check_no_key(_text(value), f"params[{name!r}]"))
        for name, value in (params or {}).items()
        if value is not None
    ]
    if pairs:
        target = f"{target}?{urlencode(pairs, quote_via=quote, safe='')}"
    return Request("request", target, authenticated=path not in _OPEN)


def read_raw(response: Response) -> RawResponse:
    """Read a success as it came, whatever its body is; errors as of `Endpoint.read`."""
    check_status(response)
    return RawResponse(
        status=response.status,
        headers=response.headers,
        body=response.body,
        region=response.region,
        attempts=response.attempts,
        elapsed=response.elapsed,
    )


@lru_cache(maxsize=256)  # it is the same for all pages of a walk
def _target(path: str, query: Query | None) -> str:
    if query is None:
        return path
    filters = dict(query.filters)
    before, _, rest = path.partition("{")
    if rest:  # it names one field, whose value was checked when the query was created
        name, _, after = rest.partition("}")
        filters.pop(name, None)
        path = f"{before}{quote(getattr(query, name), safe='')}{after}"
    # "start_time" becomes "startTime": the filters' names are the wire's, in snake_case.
    params = [(camel(name), _text(value)) for name, value in filters.items()]
    return f"{path}?{urlencode(params, quote_via=quote, safe='')}" if params else path


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_nothing(response: Response, page: Callable[..., Page[T]]) -> Page[T]:
    """Read a 204: the empty last page of a list, unless it answers a cursor, which ends nothing."""
    if response.request.cursor is not None:
        raise PaginationError("the answer to a cursor is 204 without a page, so what follows is not known")
    _note_no_content(response)
    return page((), next_cursor=None, has_more=False, limit=None)


def _note_no_content(response: Response) -> None:
    response.deviations.append(Deviation("$", "status", "the status is 204 without a body, read as empty"))


def _read_mapping(response: Response) -> dict[str, Any]:
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
