"""Generates the event log of one session: any event by its index, without the ones before it.

A persona has one tape: some thousand events in time order, made from the seed out of short scenes (typing, a click, a
swipe). A session starts with an opening, and then plays the tape of its persona from a place of its own, round and
round. So a session takes no memory of its own, a page of events takes O(page), and a time is found by bisection.

A scene is a run of steps: (milliseconds since the step before, message-type byte, payload size in bytes). A gap of
zero puts several events into one millisecond, as a browser does when one key press also changes a field.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cached_property, lru_cache
from typing import Final

from attrs import define, frozen

from isnotai_async.sandbox.columns import show_event
from isnotai_async.sandbox.seed_data import NAMES, Dice
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
    pauses: tuple[tuple[int, int], ...]  # ranges of milliseconds, each equally likely


class Persona(Enum):
    """The kind of user in a session: a person or a bot."""

    DESKTOP = _Habits(
        (_typing, _typing, _field, _field, _click, _mouse_path, _scrolling, _scrolling, _pasting, _elsewhere),
        ((100, 900),) * 9 + ((900, 12_000),) * 6 + ((20_000, 90_000),),
    )
    TOUCH = _Habits(
        (_swipe, _swipe, _swipe, _tap, _tap, _typing, _elsewhere),
        ((100, 1_200),) * 9 + ((900, 12_000),) * 6 + ((20_000, 60_000),),
    )
    BOT = _Habits((_robot_typing, _robot_typing, _robot_click, _robot_paste), ((0, 0),))


_OPENING: Final[tuple[Step, ...]] = ((0, E.INIT, 212), (0, E.NAVIGATE, 96), (2, E.FOCUS, 8))
_OPENED: Final = len(_OPENING)
_OPENED_AT: Final = (0, 0, 2)  # milliseconds of each, from the start of the session
_NEW_PAGE: Final = _OPENING[1:]
_TAPE: Final = 16_384  # events, or a few more
# Odd, so that multiplying by it modulo 2**32 never gives two indexes the same id. The ids do not sort by time, so
# that no program relies on their order.
_ID_STRIDE: Final = 0x9E3779B1
_ID_MASK: Final = 2**32 - 1


@frozen(eq=False)
class Tape:
    """What a persona does, event after event.

    Attributes:
        kinds: Message-type byte of each event.
        times: Milliseconds of each, never falling.
        sizes: Payload bytes of each.
        length_ms: Milliseconds after which the tape starts again.
        counts: How often each message-type byte occurs.
        places: Where each message-type byte occurs, rising.
    """

    kinds: bytes
    times: array[int]
    sizes: array[int]
    length_ms: int
    counts: Counter[int]
    places: dict[int, tuple[int, ...]]


@lru_cache(maxsize=16)
def make_tape(seed: int, persona: Persona) -> Tape:
    """Make the tape of a persona from the seed."""
    kinds, times, sizes, at = bytearray(), array("q"), array("i"), 0
    dice, habits = Dice(seed, persona.name), persona.value
    while len(kinds) < _TAPE:
        at += dice.between(*dice.pick(habits.pauses)) if dice.chance(0.25) else 0
        page = _NEW_PAGE if dice.chance(0.04) else ()
        for gap, kind, size in (*page, *dice.pick(habits.scenes)(dice)):
            at += gap
            kinds.append(kind)
            times.append(at)
            sizes.append(size)
    places = {kind: tuple(at for at, known in enumerate(kinds) if known == kind) for kind in sorted(set(kinds))}
    return Tape(bytes(kinds), times, sizes, at + 1, Counter(kinds), places)


@define(eq=False)
class EventLog:
    """Events of one session.

    Args:
        tape: What its persona does.
        seed: Seed of the session.
        size: How many events it has.
        start_ms: Unix milliseconds of its first event.
    """

    tape: Tape
    seed: int
    size: int
    start_ms: int

    @cached_property
    def _shift(self) -> int:
        """How much a place of the tape, laps included, is ahead of the index of its event."""
        return 1 + self.seed % (len(self.tape.kinds) - 1) - _OPENED

    @cached_property
    def _zero_ms(self) -> int:
        """Unix milliseconds at which the tape would have started."""
        return self.start_ms + _OPENED_AT[-1] - self.tape.times[self._shift + _OPENED - 1]

    @cached_property
    def _id_prefix(self) -> str:
        return f"ev-{self.seed >> 32:08x}-"

    def _look_up(self, index: int) -> tuple[int, int, int]:
        """Return message-type byte, Unix milliseconds and payload size of an event."""
        if index < _OPENED:
            _, kind, size = _OPENING[index]
            return int(kind), self.start_ms + _OPENED_AT[index], size
        tape = self.tape
        lap, place = divmod(self._shift + index, len(tape.kinds))
        return tape.kinds[place], self._zero_ms + lap * tape.length_ms + tape.times[place], tape.sizes[place]

    def time_of(self, index: int) -> int:
        """Return the Unix milliseconds of an event."""
        return self._look_up(index)[1]

    @property
    def end_ms(self) -> int:
        """Unix milliseconds of the last event; of the start when there is none."""
        return self.time_of(self.size - 1) if self.size else self.start_ms

    def event(self, index: int) -> dict[str, object]:
        """Return one event as the API shows it."""
        kind, at_ms, size = self._look_up(index)
        event_id = f"{self._id_prefix}{(index * _ID_STRIDE + self.seed) & _ID_MASK:08x}"
        return show_event(event_id, kind, NAMES[kind], timestamp=at_ms, payload_size=size)

    def first_at(self, at_ms: int) -> int:
        """Return the index of the first event at or after this instant; `size` if there is none."""
        index = bisect_left(_OPENED_AT, at_ms - self.start_ms)
        if index == _OPENED:
            laps, rest = divmod(at_ms - self._zero_ms, self.tape.length_ms)
            place = laps * len(self.tape.kinds) + bisect_left(self.tape.times, rest)
            index = max(index, place - self._shift)
        return min(index, self.size)

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
        for index in range(start, min(stop, _OPENED)):
            if _OPENING[index][1] == kind:
                yield index
        start, places, length = max(start, _OPENED), self.tape.places.get(kind, ()), len(self.tape.kinds)
        for lap_start in range((self._shift + start) // length * length - self._shift, stop, length):
            for place in places[bisect_left(places, start - lap_start) :]:
                if lap_start + place >= stop:
                    return
                yield lap_start + place

    def counts(self, start: int, stop: int) -> Counter[int]:
        """Count each message-type byte from index `start` up to, not including, `stop`."""
        total = Counter[int](kind for _, kind, _ in _OPENING[start:stop])
        kinds, length = self.tape.kinds, len(self.tape.kinds)
        start, stop = (self._shift + max(index, _OPENED) for index in (start, stop))
        laps, rest = divmod(stop - start, length)
        for kind, count in self.tape.counts.items() if laps else ():
            total[kind] += count * laps
        first = start % length
        total.update(kinds[first : first + rest])
        total.update(kinds[: max(0, first + rest - length)])
        return total
