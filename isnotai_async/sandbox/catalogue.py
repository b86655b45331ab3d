"""The event types of the sandbox.

Documented are three short names (`init`, `mouse_move`, `keypress`) and that a type is one byte. All the other names
here, every byte, and the sorting into categories are the sandbox's own: code that depends on them will not work
against the real API.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


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

# The five counters beside `total` in the contract's `eventCounts`. Init, focus, blur and navigation count in none,
# so that nobody learns to expect the five to add up to the total.
CATEGORIES: Final[dict[str, tuple[EventType, ...]]] = {
    "mouse": (EventType.MOUSE_MOVE, EventType.MOUSE_DOWN, EventType.MOUSE_UP, EventType.CLICK),
    "scroll": (EventType.SCROLL,),
    "keyboard": (EventType.KEYPRESS, EventType.KEY_UP),
    "touch": (EventType.TOUCH_START, EventType.TOUCH_MOVE, EventType.TOUCH_END),
    "form": (EventType.PASTE, EventType.INPUT, EventType.SUBMIT),
}
