"""The tree of all errors, and how a message is made safe to print. This module imports nothing of ours.

The branches show what failed::

    IsNotAIError
    ├── ConfigError              the call was wrong; nothing was sent
    ├── TransportError           the API did not answer
    │   ├── ConnectError           refused, DNS, TLS
    │   ├── TransportTimeoutError  nothing in time (also a builtin TimeoutError)
    │   ├── ProtocolError          not HTTP as agreed: parse failure, redirect, truncated or oversized body
    │   ├── LimiterError           the Redis that keeps the shared limit did not answer; nothing was sent
    │   └── GatewayError           a proxy or edge in front of the API answered instead of it
    ├── APIError                 the API answered with an error
    │   ├── InvalidRequestError    400, 422
    │   │   └── InvalidCursorError   the cursor was rejected
    │   ├── AuthenticationError    401
    │   ├── PermissionDeniedError  403
    │   ├── NotFoundError          404
    │   ├── RateLimitedError       429
    │   └── ServerError            5xx
    ├── DecodeError              the answer cannot be read
    │   └── PaginationError        a cursor that repeats, is missing or cannot be one
    └── ExportError              an export could not be written
        ├── SinkError              the target cannot be written
        ├── StoreError             the work store is damaged, or of another export
        └── ExportLockedError      another export of the same target is running

Every error can be pickled, and no error holds the API key. Text from the server is escaped in ``str(error)``, because
it may be shown in a terminal; the attributes hold the text unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol


class ResumePosition(Protocol):
    """The part of a `Position` that an error shows; pass it as ``resume=``."""

    @property
    def operation(self) -> str:
        """The operation that is walked, such as ``"list_events"``."""

    @property
    def region(self) -> str:
        """Name of the region."""

    @property
    def session_id(self) -> str | None:
        """Session whose events are walked; None for other lists."""

    @property
    def filters(self) -> Mapping[str, str | int | bool]:
        """The filters of the walk."""

    @property
    def cursor(self) -> str | None:
        """Cursor of the page that the walk has reached; None for the first page."""

    @property
    def index(self) -> int:
        """Number of records of that page that were given."""

    @property
    def watermark(self) -> tuple[int, str] | None:
        """Unix milliseconds and id of the last record that was given; None before the first."""

    def to_json(self) -> str:
        """Write the position as one line of JSON, which ``Position.from_json`` reads."""


KEY_PREFIX: Final = "aik_v1_"
"""How the documented form of an API key begins."""

# To the end of the word, not only of the key's alphabet: a stray character in the middle must not show the rest.
_KEY: Final = re.compile(KEY_PREFIX + r"""[^\s"'`<>(){},;|]*""", re.IGNORECASE)


def masked(text: str) -> str:
    """Replace everything that looks like an API key: a user may have passed the key as another value by mistake."""
    return _KEY.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    # The API's `apiKeyMasked` is masked already, and shows which key it is.
    return found[0] if re.search(r"\*\*|…|•|\.\.\.", found[0]) else "aik_v1_***"


def has_key(text: str) -> bool:
    """Return whether something in a text looks like an API key."""
    return KEY_PREFIX in text.lower()


def printable(text: str, limit: int = 500) -> str:
    """Escape text for a terminal or a log, mask API keys, and cut text that is too long to read.

    Control characters, escape sequences and bidirectional marks become backslash escapes (all that
    `str.isprintable` rejects).

    Args:
        text: Any text, also a hostile one.
        limit: Characters of it to show; an ellipsis stands for the rest.
    """
    text = masked(text)
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return shown if len(text) <= limit else f"{shown}…"


def quoted(value: object) -> str:
    """Return the repr of a caller's value, short and printable."""
    return printable(repr(value), limit=80)


class IsNotAIError(Exception):
    """Base of every error this package raises.

    Example:
        >>> try:
        ...     await client.list_events("no-such-session").to_list()
        ... except isnotai.IsNotAIError as error:
        ...     print(type(error).__name__, error.region, error.attempts)
        NotFoundError us 1

    Attributes:
        message: What went wrong, in words.
        region: Name of the region that was asked; None if there was none.
        attempts: How often the request was sent; 0 if it was not sent.
        elapsed: Seconds from the start of the call to this error.
        deadline_exceeded: Whether the deadline over all attempts ended the call, so that no further attempt was made.
        position: Position to resume from, if a walk raised the error; pass it as ``resume=``.
    """

    region: str | None = None
    attempts: int = 0
    elapsed: float = 0.0
    deadline_exceeded: bool = False
    position: ResumePosition | None = None

    def __init__(self, message: str) -> None:
        self.message: str = masked(message)
        super().__init__(self.message)

    def __str__(self) -> str:
        return printable(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with `args` only, but subclasses need more than a message.
        return _revive, (type(self), self.args, self.__dict__.copy())


def _revive(cls: type[IsNotAIError], args: tuple[object, ...], state: dict[str, object]) -> IsNotAIError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(IsNotAIError):
    """The call or the client was set up wrongly; nothing was sent.

    Attributes:
        is_key_missing: Whether there is no API key, which the call needs. Default False.
    """

    def __init__(self, message: str, *, is_key_missing: bool = False) -> None:
        super().__init__(message)
        self.is_key_missing = is_key_missing


class TransportError(IsNotAIError):
    """No answer of the API: none came, the connection broke, or something in front of the API answered.

    Attributes:
        retry_limit: Maximum number of retries for this kind of failure: 0 if a retry cannot help, None for no limit
            of its own.
    """

    retry_limit: int | None = None


class ConnectError(TransportError):
    """No connection: refused, name not found, or the TLS handshake failed.

    Attributes:
        tls: Whether the certificate or the handshake failed; a retry does not help then.
    """

    tls: bool = False


class TransportTimeoutError(TransportError, TimeoutError):
    """No complete answer in time: of one attempt, or of all (`deadline_exceeded`). Also a builtin `TimeoutError`."""


class ProtocolError(TransportError):
    """What came back is not HTTP as agreed: unparsable, redirected, truncated or too large.

    Attributes:
        status: The HTTP status, or None if none could be read.
    """

    status: int | None = None
    retry_limit: int | None = 0


class LimiterError(TransportError):
    """The Redis or file that keeps the shared limit did not answer (`reason`); nothing was sent."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class GatewayError(TransportError):
    """A proxy, edge or captive portal answered instead of the API, so the answer says nothing about the resource.

    It is raised for a 4xx without the API's error envelope (except 408, 425 and 429), for any 2xx that is HTML or
    text, and for a 200 without a body. It is retried like a lost connection.

    Attributes:
        status: HTTP status.
        headers: Headers of the answer, read by name in any case; the API key is taken out.
    """

    def __init__(self, message: str, *, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = {} if headers is None else headers


class APIError(IsNotAIError):
    """The API answered with an error.

    Attributes:
        status: HTTP status.
        code: Stable, open-ended error code of the envelope; ``"unknown"`` if the answer had none.
        details: The envelope's details as they came: mostly a mapping, which often names the offending ``field``;
            some APIs give a list or a text. Empty if there are none.
        retry_after: Seconds the server asked to wait, or None.
        headers: Headers of the answer, read by name in any case; the API key is taken out.
        hint: What to try; empty if this client has no advice.
    """

    def __init__(  # one argument for each part of the envelope
        self,
        message: str,
        *,
        status: int,
        code: str = "unknown",
        details: Any = None,  # noqa: ANN401 - whatever JSON the API put there
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details: Any = details or {}
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.hint = hint

    def __str__(self) -> str:
        where = f" from region {self.region}" if self.region else ""
        text = f"{self.status} {printable(self.code)}{where}: {printable(self.message)}"
        if isinstance(self.details, Mapping):
            if field := self.details.get("field"):
                text += f" (field: {printable(str(field))})"
        else:
            text += f" (details: {printable(str(self.details), 200)})"
        if self.retry_after is not None:
            text += f" (retry after {self.retry_after:g} s)"
        return f"{text.rstrip('.')}. {self.hint}" if self.hint else text


class InvalidRequestError(APIError):
    """400 or 422: the API rejected the request as malformed."""


class InvalidCursorError(InvalidRequestError):
    """The API rejected the cursor: it is expired, altered, or of another query.

    Start the walk again without it; `position` holds the watermark of the last record that was given.
    """


class AuthenticationError(APIError):
    """401: the key is missing, malformed, unknown, or of the other region."""


class PermissionDeniedError(APIError):
    """403: the key is valid, but the resource belongs to another integration."""


class NotFoundError(APIError):
    """404: no such resource."""


class RateLimitedError(APIError):
    """429: the per-minute window of this key is used up."""


class ServerError(APIError):
    """5xx: the API, or a server in front of it, failed."""


class DecodeError(IsNotAIError):
    """The answer cannot be read, because it does not follow the contract.

    If a walk raises it for one record, its position is after that record: iterate again to read the others.

    Attributes:
        path: JSON path of the wrong value, such as ``$.data[3].timestamp``; ``$`` for the whole body.
        record: The record that could not be read, as plain JSON values; None if it was not one record.
        body: The bytes that were received, cut at 64 KiB, without the API key; for a record, only its part.
        retry_limit: Maximum number of retries: 1, or None for no limit of its own if the body was damaged.
    """

    retry_limit: int | None = 1

    def __init__(self, message: str, *, path: str = "$", record: object = None, body: bytes = b"") -> None:
        super().__init__(message)
        self.path = path
        self.record = record
        self.body = body


class PaginationError(DecodeError):
    """The chain of cursors is broken or the order of the rows has changed, so rows could be lost or repeated."""


class ExportError(IsNotAIError):
    """An export could not be written or published.

    Attributes:
        is_temporary: Whether the same call can succeed later, unchanged, because another program was in the way.
            False for `ExportLockedError`, because the other process may do the same work.
    """

    is_temporary: bool = False


class SinkError(ExportError):
    """The output could not be written."""


class StoreError(ExportError):
    """The work store is damaged, was removed, or belongs to another export."""


class ExportLockedError(ExportError):
    """Another process is exporting to the same target."""


class IsNotAIWarning(UserWarning):
    """An answer was read, but it differs from the contract; or the request is probably a mistake."""
