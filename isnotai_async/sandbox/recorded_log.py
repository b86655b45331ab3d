"""The events of a recorded session, in columns.

In memory an event takes the length of its id and 24 bytes: about 45 MB for a million events whose ids have 20
characters, and 60 MB if they have 36.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from isnotai_async.sandbox.columns import show_event
from isnotai_async.sandbox.seed_data import BYTES

EventType = tuple[int, str | None]


class Types:
    """The event types of a file: each pair of byte and name once."""

    def __init__(self) -> None:
        self.pairs: list[EventType] = []
        self.by_name: dict[str, int] = dict(BYTES)
        self._codes: dict[EventType, int] = {}

    def code(self, kind: int, name: str | None) -> int:
        """Return the number of a type; a new number if it has none yet."""
        code = self._codes.setdefault((kind, name), len(self.pairs))
        if code == len(self.pairs):
            self.pairs.append((kind, name))
            # The file's own names go before the catalogue's, which the real API need not share.
            if name is not None:
                self.by_name[name] = kind
        return code


class RecordedLog:
    """The events of a session, in columns. In time order it can be summed up.

    Args:
        types: The file's event types.
        created_ms: When the session was created, in Unix milliseconds; for one without events.
    """

    def __init__(self, types: Types, created_ms: int = 0) -> None:
        self._types = types
        self._created_ms = created_ms
        self._ids = bytearray()  # all ids in a row, in UTF-8
        self._ends = array("Q")  # where each of them ends
        self._codes = array("I")
        self._times = array("q")
        self._sizes = array("i")

    def append(self, event_id: str, code: int, timestamp: int, payload_size: int) -> None:
        """Add an event.

        Raises:
            UnicodeEncodeError: The id is no text.
        """
        encoded = event_id.encode()
        self._times.append(timestamp)
        self._sizes.append(payload_size)
        self._codes.append(code)
        self._ids += encoded
        self._ends.append(len(self._ids))

    @property
    def size(self) -> int:
        """Number of its events."""
        return len(self._times)

    @cached_property
    def is_in_time_order(self) -> bool:
        """Whether no event is earlier than the one before."""
        return all(before <= after for before, after in pairwise(self._times))

    @cached_property
    def start_ms(self) -> int:
        """Unix milliseconds of the earliest event; of the creation if there is none."""
        return min(self._times, default=self._created_ms)

    @cached_property
    def end_ms(self) -> int:
        """Unix milliseconds of the latest event; of the creation if there is none."""
        return max(self._times, default=self._created_ms)

    def event(self, index: int) -> dict[str, object]:
        """Return one event as the API shows it."""
        kind, name = self._types.pairs[self._codes[index]]
        begin = self._ends[index - 1] if index else 0
        event_id = self._ids[begin : self._ends[index]].decode()
        return show_event(event_id, kind, name, timestamp=self._times[index], payload_size=self._sizes[index])

    def select(self, first: int, *, kind: int | None, start: int | None, end: int | None) -> Iterator[int]:
        """Yield the indexes of the events that pass the filters, in rising order."""
        stop = self.size
        if self.is_in_time_order:  # then the times are a stretch, and need not be looked at
            first = first if start is None else max(first, self.first_at(start))
            stop = stop if end is None else self.first_at(end + 1)
            start = end = None
        pairs, codes, times = self._types.pairs, self._codes, self._times
        for index in range(first, stop):
            if (
                (kind is None or pairs[codes[index]][0] == kind)
                and (start is None or times[index] >= start)
                and (end is None or times[index] <= end)
            ):
                yield index

    def first_at(self, at_ms: int) -> int:
        """Return the index of the first event at or after this instant; `size` if there is none."""
        return bisect_left(self._times, at_ms)

    def counts(self, start: int, stop: int) -> Counter[int]:
        """Count each message type from index `start` up to, not including, `stop`."""
        total: Counter[int] = Counter()
        for code, times in Counter(self._codes[start:stop]).items():
            total[self._types.pairs[code][0]] += times
        return total

    def name_of(self, kind: int) -> str:
        """Return the first name that the file gives to a message type; empty if it gives none."""
        return next((name for known, name in self._types.pairs if known == kind and name is not None), "")

    def in_time_order(self) -> RecordedLog:
        """Return the log itself if it is in time order, else a sorted copy without event ids."""
        if self.is_in_time_order:
            return self
        copy = RecordedLog(self._types)
        order = sorted(range(self.size), key=self._times.__getitem__)
        copy._times = array("q", map(self._times.__getitem__, order))
        copy._codes = array("I", map(self._codes.__getitem__, order))
        return copy
