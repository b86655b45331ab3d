"""HTTP to meaning and back, without sending anything.

`build_*` makes requests from queries, `read_*` makes records, or the error that fits, from responses. This is the
one place that says path, parameter, status or header. Sources: the vendor's reference pages and the guide pages
"Errors" and "Rate limits" (documentation version 1.0.17.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from isnotai_async import codec
from isnotai_async.checks import check_id
from isnotai_async.converter import camel
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    DecodeError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    ServerError,
)
from isnotai_async.headers import TIER_HEADER, read_retry_after
from isnotai_async.messages import Request, Response
from isnotai_async.pages import Page
from isnotai_async.queries import EventQuery, ListQuery, SessionQuery
from isnotai_async.records import Event, Health, Session, SessionDetails
from isnotai_async.tiers import Tier, read_tier

T = TypeVar("T")

_SAMPLE_BYTES: Final = 200


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
    match query:
        case EventQuery():
            path = f"/v1/sessions/{_segment(query.session_id)}/events"
        case SessionQuery():
            path = "/v1/sessions"
    # "start_time" becomes "startTime": the filters' names are the wire's, in snake_case.
    params = [(camel(name), _text(value)) for name, value in query.filters.items()]
    if cursor is not None:
        params.append(("cursor", cursor))
    target = f"{path}?{urlencode(params, quote_via=quote, safe='')}" if params else path
    # Who goes on to a second page is on a walk: the first page alone is how a single call looks.
    return Request(query.operation, target, cursor, bulk=bulk or cursor is not None)


def _segment(value: str) -> str:
    return quote(check_id(value), safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_response(response: Response, read: Callable[[Response], T]) -> T:
    """Read an answer, and tell its errors where they come from.

    Args:
        response: The answer.
        read: One of the `read_*` functions below.

    Raises:
        APIError: The API refused; the class tells why.
        ProtocolError: A status that this API does not use.
        DecodeError: The body is not what the contract promises.
    """
    try:
        return read(response)
    except IsNotAIError as error:
        error.region, error.attempts, error.elapsed = response.region, response.attempts, response.elapsed
        error.deadline_exceeded = response.deadline_exceeded
        raise


def read_events(response: Response, session_id: str | None = None) -> Page[Event]:
    """Read a page of events, of the session with this id; errors as of `read_response`."""
    tier, region = read_response_tier(response), response.region
    return codec.decode_events(_content(response), tier=tier, region=region, session_id=session_id)


def read_sessions(response: Response) -> Page[Session]:
    """Read a page of sessions; errors as of `read_response`."""
    return codec.decode_page(_content(response), Session, tier=read_response_tier(response), region=response.region)


def read_session(response: Response) -> Session:
    """Read one session; errors as of `read_response`."""
    return codec.decode_item(_content(response), Session)


def read_session_details(response: Response) -> SessionDetails:
    """Read the details of one session; errors as of `read_response`."""
    return codec.decode_item(_content(response), SessionDetails)


def read_health(response: Response) -> Health:
    """Read the health answer, which has no envelope; errors as of `read_response`."""
    return codec.decode_bare(_content(response), Health)


def read_mapping(response: Response) -> Mapping[str, Any]:
    """Read an object without a public schema; errors as of `read_response`."""
    return codec.decode_mapping(_content(response))


def read_response_tier(response: Response) -> Tier | None:
    """Read the tier that the key resolved to, where the answer names a documented one."""
    return read_tier(response.headers.get(TIER_HEADER))


def _content(response: Response) -> bytes:
    if 400 <= response.status < 600:
        raise _refusal(response)
    if response.status not in {200, 204}:
        raise _unexpected(response)
    if not response.body:
        raise DecodeError(f"the answer is {response.status} with an empty body where JSON was expected")
    if not response.body.lstrip().startswith((b"{", b"[")):  # a proxy's page or a captive portal's, not the API's
        raise DecodeError(f"the answer is {response.status} and not JSON, {_sample(response)}")
    return response.body


def _unexpected(response: Response) -> ProtocolError:
    if 300 <= response.status < 400 and response.status != 304:
        text = (
            f"the answer is a redirect ({response.status}), which this API does not use and the client does not "
            "follow, so that the key stays here; check base_url and any proxy in between"
        )
    else:
        text = f"the answer has status {response.status}, which this API does not use"
    error = ProtocolError(text)
    error.status = response.status
    return error


_BY_STATUS: Final[Mapping[int, type[APIError]]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: InvalidRequestError,
    429: RateLimitedError,
}


def _refusal(response: Response) -> APIError:
    envelope = codec.decode_error(response.body)
    code, message, details = (envelope.get(name) for name in ("code", "message", "details"))
    kind = _BY_STATUS.get(response.status, ServerError if response.status >= 500 else APIError)
    if kind is InvalidRequestError and _names_cursor(response.request, envelope):
        kind = InvalidCursorError
    return kind(
        message if isinstance(message, str) and message else f"no error envelope, {_sample(response)}",
        status=response.status,
        code=code if isinstance(code, str) and code else "unknown",
        details=details if isinstance(details, dict) else None,
        retry_after=read_retry_after(response.headers),
        hint=_HINTS.get(kind, "").format(region=response.region),
    )


def _names_cursor(request: Request, envelope: Mapping[str, Any]) -> bool:
    # Codes are open-ended and none is documented for this, so whatever names the cursor counts.
    details = envelope.get("details")
    field_name = details.get("field") if isinstance(details, dict) else ""
    named = f"{field_name} {envelope.get('code')} {envelope.get('message')}"
    return request.cursor is not None and "cursor" in named.lower()


_HINTS: Final[Mapping[type[APIError], str]] = {
    AuthenticationError: (
        "A key works only in the region it was minted in, and a key of another region gets this same answer: check "
        "that this key belongs to {region}, or choose its region (region= or ISNOTAI_REGION)"
    ),
    PermissionDeniedError: "The key is valid, but this belongs to another integration",
    InvalidCursorError: "It may have expired or belong to other filters; walk again without it",
}


def _sample(response: Response) -> str:
    """Say what an unreadable answer looked like; edges and proxies answer in HTML or not at all."""
    if not response.body:
        return "the body is empty"
    kind = response.headers.get("content-type", "no content type")
    return f"{kind} that begins with {response.body[:_SAMPLE_BYTES].decode(errors='replace')!r}"
