"""The names of event types that the vendor documents, and the hint for a name that the API does not know."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from isnotai_async.errors import quoted

# Source: `type` in the vendor's reference (documentation version 1.0.17.0); the full list is not public.
DOCUMENTED_NAMES: Final = ("init", "mouse_move", "keypress")


def hint_at_type(asked: str) -> str:
    """Return what to write in place of a type that the API rejected."""
    names = ", ".join(DOCUMENTED_NAMES)
    close = get_close_matches(asked.lower(), DOCUMENTED_NAMES, n=1)
    guess = f"Did you mean {close[0]} instead of {quoted(asked)}? " if close else ""
    return f"{guess}Documented names are {names}; the API knows more, and bytes from 0 to 255"
