"""Generates the event log of one session: any event by its index, without the ones before it.

Indexes are places in time order, 0 to size - 1. Cost: a page of events is O(page), a time bound is O(log blocks), a
type filter visits one small table per block it passes.

Blocks: the fixed-size pieces that every session is put together from.

Rules:

1. A block is `BLOCK_SIZE` events; times inside it are relative to its first event, which is at 0.
2. A `Library` holds the blocks of one persona: some that open a session, some that open a new page, and many in
   the middle. It is made once from the seed.
3. A session is a sequence of block numbers drawn from (session seed, block index). So a session of a million
   events is 15,625 small numbers, any event is found without making those before it, and counting means adding up
   the counts of whole blocks.

What people and bots do, as short scenes of events.

A scene is a run of steps: (milliseconds since the step before, message-type byte, payload size in bytes). A gap of
zero puts several events into one millisecond, as a browser does when one key press also changes a field.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from attrs import field, frozen

from isnotai_async.sandbox.columns import show_event
from isnotai_async.sandbox.seed_data import NAMES, Dice, EventType, scramble
from isnotai_async.sandbox.seed_data import EventType as E

Step = tuple[int, int, int]
Scene = Callable[[Dice], Iterator[Step]]


def _typing(dice: Dice) -> Iterator[Step]:
    for _ in range(dice.between(5, 18)):
        yield dice.between(60, 210), E.KEYPRESS, dice.between(11, 16)
        if dice.chance(0.5):
            yield 0, E.INPUT, dice.between(18, 40)
        if dice.chance(0.3):
            yield dice.between(15, 60), E.KEY_UP, 9
    # A thought before the next word.
    yield dice.between(300, 1_800), E.KEYPRESS, 12


def _mouse_path(dice: Dice) -> Iterator[Step]:
    yield dice.between(120, 900), E.MOUSE_MOVE, 14
    for _ in range(dice.between(6, 22)):
        yield dice.between(6, 24), E.MOUSE_MOVE, dice.between(13, 17)


def _click(dice: Dice) -> Iterator[Step]:
    yield from _mouse_path(dice)
    yield dice.between(40, 160), E.MOUSE_DOWN, 13
    yield dice.between(50, 130), E.MOUSE_UP, 13
    yield 0, E.CLICK, dice.between(20, 44)


def _field(dice: Dice) -> Iterator[Step]:
    yield from _click(dice)
    yield 0, E.FOCUS, 10
    yield from _typing(dice)
    if dice.chance(0.2):
        yield dice.between(200, 900), E.SUBMIT, dice.between(60, 180)
        yield 0, E.BLUR, 8


def _scrolling(dice: Dice) -> Iterator[Step]:
    for _ in range(dice.between(5, 16)):
        yield dice.between(14, 70), E.SCROLL, dice.between(10, 12)


def _pasting(dice: Dice) -> Iterator[Step]:
    yield dice.between(200, 1_400), E.KEYPRESS, 12
    yield 0, E.PASTE, dice.between(80, 4_000)
    yield 0, E.INPUT, dice.between(30, 60)


def _elsewhere(dice: Dice) -> Iterator[Step]:
    yield dice.between(100, 800), E.BLUR, 8
    yield dice.between(1_500, 9_000), E.FOCUS, 8


def _swipe(dice: Dice) -> Iterator[Step]:
    yield dice.between(200, 1_500), E.TOUCH_START, 16
    for _ in range(dice.between(4, 14)):
        yield dice.between(14, 19), E.TOUCH_MOVE, 16
        if dice.chance(0.4):
            yield 0, E.SCROLL, 11
    yield dice.between(8, 20), E.TOUCH_END, 12


def _tap(dice: Dice) -> Iterator[Step]:
    yield dice.between(300, 1_600), E.TOUCH_START, 16
    yield dice.between(50, 110), E.TOUCH_END, 12
    yield 0, E.CLICK, dice.between(20, 44)


def _robot_typing(dice: Dice) -> Iterator[Step]:
    # One gap for the whole run, because no person types like this.
    gap = dice.pick((20, 25, 40, 50))
    for _ in range(dice.between(12, 30)):
        yield gap, E.KEYPRESS, 12
        yield 0, E.INPUT, 24


def _robot_click(dice: Dice) -> Iterator[Step]:
    # The pointer jumps: one move, then press and release in the same millisecond.
    yield 250, E.MOUSE_MOVE, 14
    yield 0, E.MOUSE_DOWN, 13
    yield 0, E.MOUSE_UP, 13
    yield 0, E.CLICK, dice.between(20, 44)


def _robot_paste(_dice: Dice) -> Iterator[Step]:
    yield 100, E.FOCUS, 10
    yield 0, E.PASTE, 2_048
    yield 0, E.INPUT, 40


@frozen
class _Habits:
    scenes: tuple[Scene, ...]  # a scene named twice happens twice as often
    pauses: tuple[tuple[int, int], ...]  # ranges of milliseconds between two blocks, each equally likely


class Persona(Enum):
    """The kind of user in a session: a person or a bot."""

    DESKTOP = _Habits(
        (_typing, _typing, _field, _field, _click, _mouse_path, _scrolling, _scrolling, _pasting, _elsewhere),
        ((100, 900),) * 10 + ((900, 6_000),) * 5 + ((20_000, 90_000),),
    )
    TOUCH = _Habits(
        (_swipe, _swipe, _swipe, _tap, _tap, _typing, _elsewhere),
        ((100, 1_200),) * 10 + ((900, 9_000),) * 5 + ((20_000, 60_000),),
    )
    BOT = _Habits((_robot_typing, _robot_typing, _robot_click, _robot_paste), ((250, 250),))


OPENING: Final[tuple[Step, ...]] = ((0, E.INIT, 212), (0, E.NAVIGATE, 96), (2, E.FOCUS, 8))
NEW_PAGE: Final[tuple[Step, ...]] = ((0, E.NAVIGATE, 96), (1, E.FOCUS, 8))


BLOCK_SIZE: Final = 64
_OPENINGS: Final = 8
_NEW_PAGES: Final = 8
_MIDDLES: Final = 64
_PAUSES: Final = 256
# One block in sixteen opens a page: often enough for a history, and 977 entries for a million events.
_BLOCKS_PER_PAGE: Final = 16


@frozen(eq=False)
class Block:
    """Sixty-four consecutive events, which sessions of a persona are made of.

    Attributes:
        kinds: Message-type byte of each.
        offsets: Milliseconds from the first event, never falling.
        sizes: Payload bytes of each.
        counts: How often each message-type byte occurs.
        places: Where each message-type byte occurs, rising.
    """

    kinds: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    counts: Counter[int]
    places: dict[int, tuple[int, ...]]

    @classmethod
    def of(cls, steps: list[Step]) -> Block:
        """Create a block from the first `BLOCK_SIZE` steps of a rhythm."""
        steps = steps[:BLOCK_SIZE]
        kinds = tuple(int(kind) for _, kind, _ in steps)
        offsets, at = [], 0
        for place, (gap, _, _) in enumerate(steps):
            at += gap if place else 0
            offsets.append(at)
        places = {kind: tuple(i for i, k in enumerate(kinds) if k == kind) for kind in sorted(set(kinds))}
        return cls(kinds, tuple(offsets), tuple(size for *_, size in steps), Counter(kinds), places)

    def first_place_at(self, offset: int) -> int:
        """Return the place of the first event at or after a number of milliseconds, else `BLOCK_SIZE`."""
        return bisect_left(self.offsets, offset)


@frozen(eq=False)
class Library:
    """The blocks of one persona and the pauses between them.

    Attributes:
        blocks: Openings, then page openings, then middles.
        pauses: Milliseconds, drawn from by eight bits.
    """

    blocks: tuple[Block, ...]
    pauses: tuple[int, ...]

    @classmethod
    def of(cls, seed: int, persona: Persona) -> Library:
        """Make the library of a persona from the seed."""
        openings = (OPENING,) * _OPENINGS + (NEW_PAGE,) * _NEW_PAGES + ((),) * _MIDDLES
        blocks = tuple(
            _make_block(Dice(seed, persona.name, number), opening, persona) for number, opening in enumerate(openings)
        )
        dice = Dice(seed, persona.name, "pauses")
        return cls(blocks, tuple(dice.between(*dice.pick(persona.value.pauses)) for _ in range(_PAUSES)))

    def draw(self, index: int, roll: int) -> tuple[int, int]:
        """Choose the block at an index of the session.

        Args:
            index: Index of the block in its session.
            roll: 64 random bits of this session and index.

        Returns:
            The number of the block, and the milliseconds from its last event to the next block.
        """
        pause = self.pauses[roll >> 56]
        if index == 0:
            return roll % _OPENINGS, pause
        if roll % _BLOCKS_PER_PAGE == 0:
            return _OPENINGS + (roll >> 8) % _NEW_PAGES, pause
        return _OPENINGS + _NEW_PAGES + (roll >> 8) % _MIDDLES, pause


def _make_block(dice: Dice, opening: tuple[Step, ...], persona: Persona) -> Block:
    steps = list(opening)
    while len(steps) < BLOCK_SIZE:
        steps.extend(dice.pick(persona.value.scenes)(dice))
    return Block.of(steps)


def is_page_opening(block: Block) -> bool:
    """Return whether a page starts in this block (in its first millisecond)."""
    return EventType.NAVIGATE in block.places


# Odd, so that multiplying by it modulo 2**32 never gives two indexes the same id. The ids do not sort by time, so
# that no program relies on their order.
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
        """Return the Unix milliseconds of an event."""
        block, place = divmod(index, BLOCK_SIZE)
        return self._starts[block] + self._block(block).offsets[place]

    @property
    def end_ms(self) -> int:
        """Unix milliseconds of the last event; of the start when there is none."""
        return self.time_of(self.size - 1) if self.size else self.start_ms

    def event(self, index: int) -> dict[str, object]:
        """Return one event as the API shows it."""
        at, place = divmod(index, BLOCK_SIZE)
        block = self.library.blocks[self._numbers[at]]
        kind = block.kinds[place]
        event_id = f"{self._id_prefix}{(index * _ID_STRIDE + self.seed) & _ID_MASK:08x}"
        return show_event(event_id, kind, NAMES[kind], self._starts[at] + block.offsets[place], block.sizes[place])

    def first_at(self, at_ms: int) -> int:
        """Return the index of the first event at or after this instant; `size` if there is none."""
        block = bisect_left(self._starts, at_ms)
        if block == 0:
            return 0
        place = self._block(block - 1).first_place_at(at_ms - self._starts[block - 1])
        return min((block - 1) * BLOCK_SIZE + place, self.size)

    def select(self, first: int, *, kind: int | None, start: int | None, end: int | None) -> Iterator[int]:
        """Yield the indexes of the events that pass the filters, in rising order."""
        first = first if start is None else max(first, self.first_at(start))
        stop = self.size if end is None else self.first_at(end + 1)
        return iter(range(first, stop)) if kind is None else self.of_kind(kind, first, stop)

    def name_of(self, kind: int) -> str:
        """Return the name of a message type."""
        return NAMES[kind]

    def of_kind(self, kind: int, start: int, stop: int) -> Iterator[int]:
        """Yield the indexes from `start` up to, not including, `stop` with a message-type byte."""
        for block in range(start // BLOCK_SIZE, -(-stop // BLOCK_SIZE)):
            base = block * BLOCK_SIZE
            for place in self._block(block).places.get(kind, ()):
                if start <= base + place < stop:
                    yield base + place

    def counts(self, start: int, stop: int) -> Counter[int]:
        """Count each message-type byte from index `start` up to, not including, `stop`."""
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
        """Yield the indexes of the events that open a page, in rising order."""
        opening = [is_page_opening(block) for block in self.library.blocks]
        for block, number in enumerate(self._numbers):
            if opening[number]:
                place = self.library.blocks[number].places[EventType.NAVIGATE][0]
                if (index := block * BLOCK_SIZE + place) < self.size:
                    yield index
