"""The interface of the data that a region serves, whether generated or recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar


class SandboxSession(Protocol):
    """The properties of a session, without its events."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def size(self) -> int:
        """Number of its events."""
        ...

    @property
    def start_ms(self) -> int:
        """Unix milliseconds of its creation."""
        ...

    @property
    def status(self) -> str:
        """Such as `active` or `closed`."""
        ...

    @property
    def bot_score(self) -> float | None:
        """0 to 1, or None if the session has no score."""
        ...


class Log(Protocol):
    """The events of one session, each by its index: its place in the order in which they are listed."""

    @property
    def size(self) -> int:
        """Number of sessions."""
        ...

    def event(self, index: int) -> dict[str, object]:
        """Return one event as the API shows it."""
        ...

    def select(self, first: int, *, kind: int | None, start: int | None, end: int | None) -> Iterator[int]:
        """Yield the indexes of the events that pass the filters, in rising order.

        Args:
            first: Index to start at.
            kind: Message-type byte, or None for any.
            start: Earliest Unix milliseconds, inclusive, or None.
            end: Latest Unix milliseconds, inclusive, or None.
        """
        ...


class TimedLog(Protocol):
    """A log whose indexes are places in time order, so that it can be summed up."""

    @property
    def size(self) -> int:
        """Number of events."""
        ...

    @property
    def start_ms(self) -> int:
        """Unix milliseconds of the first event."""
        ...

    @property
    def end_ms(self) -> int:
        """Unix milliseconds of the last event; of the start when there is none."""
        ...

    def first_at(self, at_ms: int) -> int:
        """Return the index of the first event at or after this instant; `size` if there is none."""
        ...

    def counts(self, start: int, stop: int) -> Counter[int]:
        """Count each message type from index `start` up to, not including, `stop`."""
        ...

    def name_of(self, kind: int) -> str:
        """Return the name of a message type."""
        ...


S = TypeVar("S", bound=SandboxSession)


class Data(Protocol[S]):
    """The sessions of one region."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the sessions that are listed, in their order."""
        ...

    @property
    def types(self) -> Mapping[str, int]:
        """Message type of each known name."""
        ...

    def find(self, session_id: str) -> S | None:
        """Return the session with this id, or None."""
        ...

    def log(self, session: S) -> Log:
        """Return the events of a session."""
        ...

    def details(self, session: S) -> dict[str, object]:
        """Return the details of a session as the API shows them."""
        ...

    def show(self, session: S) -> dict[str, object]:
        """Return a session as the API shows it."""
        ...
