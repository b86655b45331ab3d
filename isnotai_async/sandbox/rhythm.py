"""What people and bots do, as short scenes of events.

A scene is a run of steps: (milliseconds since the step before, message-type byte, payload size in bytes). A gap of
zero puts several events into one millisecond, as a browser does when one key press also changes a field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from attrs import frozen

from isnotai_async.sandbox.catalogue import EventType as E
from isnotai_async.sandbox.dice import Dice

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
    # One gap for the whole run: nobody types like this.
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
    """Who is at work."""

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
