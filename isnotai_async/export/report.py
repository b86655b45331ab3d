"""What an export tells: how far it is, and in the end what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attrs import frozen

from isnotai_async.errors import (
    AuthenticationError,
    ConfigError,
    GatewayError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    LimiterError,
    NotFoundError,
    PermissionDeniedError,
)

_FOR_GOOD: Final = (InvalidRequestError, NotFoundError, PermissionDeniedError)


def is_for_good(error: IsNotAIError) -> bool:
    """Tell whether a session that failed with this would fail with it again: it is not there, or not allowed.

    What is said of a cursor says nothing about the session: the code of a refused cursor is not documented.
    """
    return isinstance(error, _FOR_GOOD) and not _is_of_a_cursor(error)


def _is_of_a_cursor(error: IsNotAIError) -> bool:
    had_one = error.position is not None and error.position.cursor is not None
    may_mean_it = isinstance(error, InvalidRequestError | NotFoundError)
    return isinstance(error, InvalidCursorError) or (had_one and may_mean_it)


def is_its_fault(error: IsNotAIError) -> bool:
    """Tell whether it is the session that failed, and not a key, a saved cursor, a limiter or the client."""
    none_of_its = (AuthenticationError, ConfigError, GatewayError, LimiterError)
    return not isinstance(error, none_of_its) and not _is_of_a_cursor(error)


@frozen
class SessionFailure:
    """A session that could not be exported, or not whole.

    Attributes:
        name: Name of its region, or of its credential.
        session_id: Its id.
        error: Name of the error's class, as in `isnotai_async.errors`.
        message: What was wrong, printable.
    """

    name: str
    session_id: str
    error: str
    message: str

    @classmethod
    def describe(cls, name: str, session_id: str, error: IsNotAIError) -> SessionFailure:
        """Put an error into words."""
        return cls(name, session_id, type(error).__name__, str(error))


@frozen(kw_only=True)
class ExportProgress:
    """How far an export is.

    Attributes:
        rows: Rows written, those of earlier runs too.
        size: Bytes written, likewise.
        sessions_taken: Sessions that were begun, likewise.
        sessions_done: Those of them that are through, as of the last commit.
        sessions_failed: Those that have failed, likewise.
        sessions: How many there are in all, or None where only the end will tell.
        requests: Requests sent in this run.
        rate: Requests sent within the last minute.
        quota: Requests that the tiers of the keys allow within a minute, or None while that is not known.
        waited: Seconds of this run in which requests waited, for the quota or before trying again.
        waiting: Seconds that the present wait still takes; 0 where there is none.
        reason: Why.
        elapsed: Seconds of this run.
    """

    rows: int
    size: int
    sessions_taken: int
    sessions_done: int
    sessions_failed: int
    sessions: int | None
    requests: int
    rate: int
    quota: int | None
    waited: float
    waiting: float
    reason: str
    elapsed: float


@frozen(kw_only=True)
class ExportReport:
    """What an export did.

    Attributes:
        path: The target.
        format: ``"jsonl"``, ``"jsonl.gz"``, ``"csv"`` or ``"parquet"``.
        rows: Rows in it.
        size: Bytes in it.
        sessions: Sessions that were read, those without events too.
        failures: Sessions that failed.
        resumed_rows: Rows that an earlier run had written already.
        requests: Requests that this run sent.
        waited: Seconds of this run in which requests waited, for the quota or before trying again.
        elapsed: Seconds of this run.
        is_complete: Whether the target is there. Otherwise sessions have failed that are worth another try, and the
            same call tries just them again.
    """

    path: Path
    format: str
    rows: int
    size: int
    sessions: int
    failures: tuple[SessionFailure, ...]
    resumed_rows: int
    requests: int
    waited: float
    elapsed: float
    is_complete: bool
