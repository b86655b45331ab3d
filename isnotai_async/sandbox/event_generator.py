"""The event log of one session: any event by its index, without the ones before it.

Indexes are places in time order, 0 to size - 1. Cost: a page of events is O(page), a time bound is O(log blocks), a
type filter visits one small table per block it passes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import field, frozen

from isnotai_async.sandbox.blocks import BLOCK_SIZE, Block, Library, is_page_opening
from isnotai_async.sandbox.catalogue import NAMES, EventType
from isnotai_async.sandbox.dice import scramble

# Odd, so that multiplying by it modulo 2**32 never gives two indexes the same id; ids then do not sort by time, and
# nobody learns to rely on it.
_ID_STRIDE: Final = 0x9E3779B1
_ID_MASK: Final = 2**32 - 1
_BLOCK_STRIDE: Final = 0xD1B54A32D192ED03


@frozen(eq=False)
class EventLog:
    """Events of one session.

    Args:
        library: The blocks its persona works with.
        seed: Seed of the session.
        size: How many events it has.
        start_ms: Unix milliseconds of its first event.
    """

    library: Library
    seed: int
    size: int
    start_ms: int
    _numbers: array[int] = field(init=False)  # which block of the library stands at each block index
    _starts: array[int] = field(init=False)  # Unix milliseconds of the first event of each
    _id_prefix: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        numbers, starts = array("B"), array("q")
        at, draw, blocks = self.start_ms, self.library.draw, self.library.blocks
        for index in range(-(-self.size // BLOCK_SIZE)):
            number, pause = draw(index, scramble(self.seed + index * _BLOCK_STRIDE))
            numbers.append(number)
            starts.append(at)
            at += blocks[number].offsets[-1] + pause
        # A frozen attrs class fills the fields it derives itself in this way.
        object.__setattr__(self, "_numbers", numbers)
        object.__setattr__(self, "_starts", starts)
        object.__setattr__(self, "_id_prefix", f"ev-{self.seed >> 32:08x}-")

    def _block(self, index: int) -> Block:
        return self.library.blocks[self._numbers[index]]

    def time_of(self, index: int) -> int:
        """Unix milliseconds of an event."""
        block, place = divmod(index, BLOCK_SIZE)
        return self._starts[block] + self._block(block).offsets[place]

    @property
    def end_ms(self) -> int:
        """Unix milliseconds of the last event; of the start when there is none."""
        return self.time_of(self.size - 1) if self.size else self.start_ms

    def event(self, index: int) -> dict[str, object]:
        """One event as the API shows it."""
        at, place = divmod(index, BLOCK_SIZE)
        block = self.library.blocks[self._numbers[at]]
        kind = block.kinds[place]
        return {
            "eventId": f"{self._id_prefix}{(index * _ID_STRIDE + self.seed) & _ID_MASK:08x}",
            "messageId": kind,
            "eventTypeName": NAMES[kind],
            "timestamp": self._starts[at] + block.offsets[place],
            "payloadSize": block.sizes[place],
        }

    def first_at(self, at_ms: int) -> int:
        """Index of the first event at or after this instant; `size` when there is none."""
        block = bisect_left(self._starts, at_ms)
        if block == 0:
            return 0
        place = self._block(block - 1).first_place_at(at_ms - self._starts[block - 1])
        return min((block - 1) * BLOCK_SIZE + place, self.size)

    def select(self, first: int, *, kind: int | None, start: int | None, end: int | None) -> Iterator[int]:
        """Indexes of the events that pass the filters, rising; see `data.Log`."""
        first = first if start is None else max(first, self.first_at(start))
        stop = self.size if end is None else self.first_at(end + 1)
        return iter(range(first, stop)) if kind is None else self.of_kind(kind, first, stop)

    def name_of(self, kind: int) -> str:
        """Name of a message type."""
        return NAMES[kind]

    def of_kind(self, kind: int, start: int, stop: int) -> Iterator[int]:
        """Indexes from start up to, not including, stop that have this message-type byte, rising."""
        for block in range(start // BLOCK_SIZE, -(-stop // BLOCK_SIZE)):
            base = block * BLOCK_SIZE
            for place in self._block(block).places.get(kind, ()):
                if start <= base + place < stop:
                    yield base + place

    def counts(self, start: int, stop: int) -> Counter[int]:
        """How often each message-type byte occurs from start up to, not including, stop."""
        total: Counter[int] = Counter()
        first, last = -(-start // BLOCK_SIZE), stop // BLOCK_SIZE
        if first > last:
            return Counter(self._kinds(start, stop))
        total.update(self._kinds(start, first * BLOCK_SIZE))
        for number, times in Counter(self._numbers[first:last]).items():
            for kind, count in self.library.blocks[number].counts.items():
                total[kind] += count * times
        total.update(self._kinds(last * BLOCK_SIZE, stop))
        return total

    def _kinds(self, start: int, stop: int) -> Iterator[int]:
        for index in range(start, stop):
            block, place = divmod(index, BLOCK_SIZE)
            yield self._block(block).kinds[place]

    def page_openings(self) -> Iterator[int]:
        """Indexes of the events that open a page, rising."""
        opening = [is_page_opening(block) for block in self.library.blocks]
        for block, number in enumerate(self._numbers):
            if opening[number]:
                place = self.library.blocks[number].places[EventType.NAVIGATE][0]
                if (index := block * BLOCK_SIZE + place) < self.size:
                    yield index
