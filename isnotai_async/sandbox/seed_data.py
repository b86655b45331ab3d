"""Names, event types and random numbers from which sessions are generated, and the API's time format.

Documented are three short names of types (`init`, `mouse_move`, `keypress`) and that a type is one byte. All other
names, every byte, and the sorting into categories are the sandbox's own: code that depends on them will not work
against the real API. Chance never changes: the same names give the same numbers on every run, machine and Python.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from hashlib import sha256
from typing import Final, TypeVar


class EventType(IntEnum):
    """A message-type byte; its lower-case name is the short name."""

    INIT = 0x01
    MOUSE_MOVE = 0x02
    MOUSE_DOWN = 0x03
    MOUSE_UP = 0x04
    CLICK = 0x05
    SCROLL = 0x06
    KEYPRESS = 0x07
    KEY_UP = 0x08
    PASTE = 0x09
    FOCUS = 0x0A
    BLUR = 0x0B
    INPUT = 0x0C
    SUBMIT = 0x0D
    NAVIGATE = 0x0E
    TOUCH_START = 0x10
    TOUCH_MOVE = 0x11
    TOUCH_END = 0x12


NAMES: Final[dict[int, str]] = {kind.value: kind.name.lower() for kind in EventType}
BYTES: Final[dict[str, int]] = {name: byte for byte, name in NAMES.items()}

# The five counters next to `total` in the contract's `eventCounts`. Init, focus, blur and navigation count in none of
# them, so that no program expects the five to add up to the total.
CATEGORIES: Final[dict[str, tuple[EventType, ...]]] = {
    "mouse": (EventType.MOUSE_MOVE, EventType.MOUSE_DOWN, EventType.MOUSE_UP, EventType.CLICK),
    "scroll": (EventType.SCROLL,),
    "keyboard": (EventType.KEYPRESS, EventType.KEY_UP),
    "touch": (EventType.TOUCH_START, EventType.TOUCH_MOVE, EventType.TOUCH_END),
    "form": (EventType.PASTE, EventType.INPUT, EventType.SUBMIT),
}


T = TypeVar("T")

_MASK: Final = 2**64 - 1


def seed_of(*names: object) -> int:
    """Turn names into a 64-bit seed. Not `hash()`, which differs from process to process."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def scramble(value: int) -> int:
    """Mix 64 bits thoroughly and cheaply: neighbouring inputs give unrelated outputs.

    The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014, https://doi.org/10.1145/2660193.2660195).
    It is used if a `Dice` for each item would cost too much, as for the blocks of events.
    """
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31


class Dice:
    """A stream of random choices named by what it is for.

    Only `random.Random.random` is used: the one method whose sequence Python promises to keep for a given seed
    (https://docs.python.org/3/library/random.html#notes-on-reproducibility).
    """

    def __init__(self, *names: object) -> None:
        self._next = random.Random(seed_of(*names)).random  # noqa: S311 - made-up data, not secrets

    def fraction(self) -> float:
        """Return a number from 0 up to, not including, 1."""
        return self._next()

    def between(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(self._next() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True in that share of the calls."""
        return self._next() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options, each equally likely."""
        return options[int(self._next() * len(options))]


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

DAY_MS: Final = 86_400_000
_FIRST_MS: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LAST_MS: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND

# The instant of the contract's own example. A wall clock would make two runs differ.
NOW_MS: Final = 1_781_092_800_000


def to_ms(moment: datetime) -> int:
    """Return the Unix milliseconds of an aware datetime, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def iso(at_ms: int) -> str:
    """Write Unix milliseconds as the API does: seven decimals and an offset, ``…T12:00:00.0000000+00:00``.

    This form has the years 1 to 9999 only. A time before or after them becomes their first or last instant.
    """
    moment = _EPOCH + timedelta(milliseconds=min(max(at_ms, _FIRST_MS), _LAST_MS))
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}0000+00:00"


# Names in several scripts, so that programs that store or print them meet non-ASCII text early.
USER_NAMES: Final = (
    "Ana Souza",
    "Béatrice Lefèvre",
    "Chinedu Okafor",
    "Zoë Brontë",
    "Дарья Кузнецова",
    "Σοφία Παπαδοπούλου",
    "Jürgen Müßig",
    "山田 花子",
    "김민준",
    "李小龍",
    "नेहा शर्मा",
    "نور حداد",
    "Łukasz Żak",
    "Þóra Jónsdóttir",
    "O'Neil, Sam",
    "Nguyễn Thị Hồng",
)

PAGES: Final = (
    "https://learn.example.edu/courses/bio-101/essays/3/edit",
    "https://learn.example.edu/courses/bio-101/quiz/7",
    "https://learn.example.edu/courses/hist-204/forum",
    "https://learn.example.edu/courses/hist-204/essays/1/edit",
    "https://learn.example.edu/courses/física-2/tarea?paso=2",
    "https://learn.example.edu/dashboard",
)

USER_AGENTS: Final[dict[str, tuple[str, ...]]] = {
    "DESKTOP": ("Chrome 137 on Windows", "Firefox 139 on Linux", "Safari 18 on macOS", "Edge 137 on Windows"),
    "TOUCH": ("Safari 18 on iOS", "Chrome 137 on Android"),
    "BOT": ("HeadlessChrome 137 on Linux", "Chrome 137 on Windows"),
}

BOT_FLAGS: Final = ("regular_rhythm", "pointer_jumps", "large_pastes", "headless_browser")
