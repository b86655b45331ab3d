"""Translates an answer that is an error (status, envelope) into the error class that fits it.

Only the error envelope shows that the API itself has answered. So a 4xx without one is a `GatewayError`, except the
statuses that ask for another attempt (408, 425, 429) and 5xx, which mean the same from the API and from a proxy.

Sources: the vendor's guide pages "Errors" and "Rate limits" (documentation version 1.0.17.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from isnotai_async._http import codec
from isnotai_async._http.messages import Request, Response, read_retry_after
from isnotai_async._http.wire_format import BYTE_ORDER_MARK, has_words
from isnotai_async._models.deviations import Deviation
from isnotai_async._models.queries import hint_at_type
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    DecodeError,
    GatewayError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    ServerError,
)

_SAMPLE_BYTES: Final = 200
_START_BYTES: Final = 4096  # searched for the first character that is not white space


def read_content(response: Response) -> bytes:
    """Return the body of an answer that is JSON.

    Raises:
        DecodeError: The body is neither JSON, nor HTML, nor text, nor empty.
        APIError: As of `check_status`, like the errors below.
        GatewayError: Also if the body is empty, HTML or text.
        ProtocolError: A status that this API does not use.
    """
    check_status(response)
    start = response.body[:_START_BYTES].removeprefix(BYTE_ORDER_MARK).lstrip()
    if start.startswith((b"{", b"[")):
        if response.status != 200:
            text = f"the status is {response.status}, where 200 is documented"
            response.deviations.append(Deviation("$", "status", text))
        return response.body
    kind = response.headers.get("content-type", "")
    if not start or start.startswith(b"<") or kind.startswith("text/"):
        raise _gateway(response, f"answered {response.status} without JSON, {_sample(response)}")
    raise DecodeError(f"the answer is {response.status} and not JSON, {_sample(response)}")


def find_error(response: Response) -> APIError | None:
    """Return the error that a success holds in its body, if its body is the error envelope."""
    envelope = codec.decode_error(response.body)
    return _api_error(response, envelope) if has_words(envelope) else None


def check_status(response: Response) -> None:
    """Check that an answer is a success (2xx).

    Raises:
        APIError: The API answered with an error; the class says which.
        GatewayError: Something in front of the API answered with a 4xx.
        ProtocolError: A status that this API does not use.
    """
    if 200 <= response.status < 300:
        return
    if not 400 <= response.status < 600:
        raise _unexpected(response)
    envelope = codec.decode_error(response.body)
    if not _is_of_the_api(response, envelope):
        raise _gateway(response, f"answered {response.status} without the API's error envelope, {_sample(response)}")
    raise _api_error(response, envelope)


def _is_of_the_api(response: Response, envelope: Mapping[str, Any]) -> bool:
    if response.status >= 500 or response.status in {408, 425, 429}:
        return True
    if response.request.operation == "health":  # the one route that never has an envelope
        return False
    return has_words(envelope)


def _gateway(response: Response, text: str) -> GatewayError:
    return GatewayError(
        f"something in front of the API {text}; check base_url and the proxies in between, or try later",
        status=response.status,
        headers=response.headers,
    )


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
    if error.status >= 600:  # to be taken for one of 5xx (RFC 9110, section 15), and so it may pass
        error.retry_limit = None
    return error


_BY_STATUS: Final[Mapping[int, type[APIError]]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: InvalidRequestError,
    429: RateLimitedError,
}


def _api_error(response: Response, envelope: Mapping[str, Any]) -> APIError:
    code, message, details = (envelope.get(name) for name in ("code", "message", "details"))
    kind = _BY_STATUS.get(response.status, ServerError if response.status >= 500 else APIError)
    if kind is InvalidRequestError and _names_cursor(response.request, envelope):
        kind = InvalidCursorError
    return kind(
        message if isinstance(message, str) and message else f"no error envelope, {_sample(response)}",
        status=response.status,
        code=code if isinstance(code, str) and code else "unknown",
        details=details if isinstance(details, dict | list | str) else None,
        retry_after=read_retry_after(response.headers),
        headers=response.headers,
        hint=_find_hint(kind, response, envelope),
    )


def _find_hint(kind: type[APIError], response: Response, envelope: Mapping[str, Any]) -> str:
    if kind is not InvalidRequestError:
        return _HINTS.get(kind, "").format(region=response.region)
    asked = parse_qs(urlsplit(response.request.target).query).get("type", ())
    is_event_type = response.request.operation == "list_events" and "type" in _named(envelope)
    return hint_at_type(asked[0]) if asked and is_event_type else ""


def _names_cursor(request: Request, envelope: Mapping[str, Any]) -> bool:
    return request.cursor is not None and any(word in _named(envelope) for word in ("cursor", "continuation"))


def _named(envelope: Mapping[str, Any]) -> str:
    # Codes are open-ended and none is documented for a parameter, so whatever names it counts.
    details = envelope.get("details")
    field_name = details.get("field") if isinstance(details, dict) else ""
    return f"{field_name} {envelope.get('code')} {envelope.get('message')}".lower()


_HINTS: Final[Mapping[type[APIError], str]] = {
    AuthenticationError: (
        "A key works only in the region it was minted in, and a key of another region gets this same answer: check "
        "that this key belongs to {region}, or choose its region (region= or ISNOTAI_REGION)"
    ),
    RateLimitedError: "The quota of this key is used up; give each program its share (quota=), or try later",
    PermissionDeniedError: "The key is valid, but this belongs to another integration",
    InvalidCursorError: "It may have expired or be of other filters; iterate again to resume after the last row",
}


def _sample(response: Response) -> str:
    """Say what an unreadable answer looked like; edges and proxies answer in HTML or not at all."""
    if not response.body:
        return "the body is empty"
    kind = response.headers.get("content-type", "no content type")
    return f"{kind} that starts with {response.body[:_SAMPLE_BYTES].decode(errors='replace')!r}"


def add_words(error: IsNotAIError, words: str) -> None:
    """Add words of ours to an error, such as the bound that ended a call; an `APIError` keeps the API's message."""
    if isinstance(error, APIError):
        error.hint = f"{error.hint}; {words}" if error.hint else words.capitalize()
        return
    error.message += f"; {words}"
    error.args = (error.message, *error.args[1:])
