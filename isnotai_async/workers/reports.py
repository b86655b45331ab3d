"""What is told of parts: that they are finished, and what was wrong where they are not."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Final

from attrs import asdict, frozen

from isnotai_async.errors import (
    ConnectError,
    IsNotAIError,
    LimiterError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SinkError,
    TransportError,
    TransportTimeoutError,
    printable,
)
from isnotai_async.export.report import SessionFailure

# What another attempt may mend; anything else ends the job at once.
_PASSING: Final = frozenset(
    kind.__name__
    for kind in (
        ConnectError,
        LimiterError,
        ProtocolError,
        RateLimitedError,
        ServerError,
        SinkError,
        TransportError,
        TransportTimeoutError,
    )
)


@frozen(kw_only=True)
class PartReport:
    """A finished part.

    Attributes:
        name: Its name.
        job: Id of its job.
        index: Its number.
        rows: Rows in it.
        sessions: Sessions that were read, those without events too.
        failures: Sessions that are not in it, or not whole.
        size: Bytes in it.
        sha256: Its SHA-256, in hexadecimal digits.
        requests: Requests that the last attempt at it sent.
        waited: Seconds in which those waited, for the quota or before trying again.
        elapsed: Seconds of the last attempt.
    """

    name: str
    job: str
    index: int
    rows: int
    sessions: int
    failures: tuple[SessionFailure, ...]
    size: int
    sha256: str
    requests: int
    waited: float
    elapsed: float

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PartReport:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
            TypeError: Likewise.
            KeyError: Likewise.
        """
        values: dict[str, Any] = json.loads(text)
        failures = tuple(SessionFailure(**failure) for failure in values["failures"])
        return cls(**{**values, "failures": failures})


@frozen(kw_only=True)
class Trouble:
    """Why an attempt at a part has failed.

    Attributes:
        name: Name of the part.
        error: Name of the error's class, as in `isnotai_async.errors`.
        message: What was wrong, printable.
    """

    name: str
    error: str
    message: str

    @property
    def is_passing(self) -> bool:
        """Whether another attempt may mend it."""
        return self.error in _PASSING

    @classmethod
    def of(cls, name: str, error: Exception) -> Trouble:
        """Make one of an error."""
        if isinstance(error, IsNotAIError):
            return cls(name=name, error=type(error).__name__, message=printable(str(error)))
        return cls(name=name, error=SinkError.__name__, message=printable(f"the disk failed: {error}"))

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Trouble:
        """Read what `to_json` wrote; errors as of `PartReport.from_json`."""
        return cls(**json.loads(text))


class Outcome(StrEnum):
    """What became of an attempt at a part."""

    DONE = "done"
    """It was exported."""
    FOUND = "found"
    """It was finished before, and nothing was asked."""
    BUSY = "busy"
    """Another process is at it."""
    UNFINISHED = "unfinished"
    """Sessions have failed that are worth another attempt, which goes on from here."""


@frozen
class PartResult:
    """How an attempt at a part has ended.

    Attributes:
        outcome: How.
        report: Of the finished part, or None.
        failures: Of an unfinished part: which sessions, and why.
    """

    outcome: Outcome
    report: PartReport | None = None
    failures: tuple[SessionFailure, ...] = ()
