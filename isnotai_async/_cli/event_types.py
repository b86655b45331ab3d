"""The names of event types that the vendor documents, and the hint for a name that the API does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Final

from isnotai_async.errors import InvalidCursorError, InvalidRequestError, quoted

# Source: `type` in the vendor's reference (documentation version 1.0.17.0); the full list is not public.
DOCUMENTED_NAMES: Final = ("init", "mouse_move", "keypress")


@contextmanager
def explain_type(asked: str | None) -> Iterator[None]:
    """Add to the API's refusal of a type, within this block, which names are documented.

    Args:
        asked: The type that was asked for, if any.
    """
    try:
        yield
    except InvalidRequestError as error:
        if asked is not None and not isinstance(error, InvalidCursorError) and "type" in _named(error):
            error.hint = _hint(asked)
        raise


def _named(error: InvalidRequestError) -> str:
    return f"{error.details.get('field', '')} {error.message}"


def _hint(asked: str) -> str:
    names = ", ".join(DOCUMENTED_NAMES)
    close = get_close_matches(asked.lower(), DOCUMENTED_NAMES, n=1)
    guess = f"Did you mean {close[0]} instead of {quoted(asked)}? " if close else ""
    return f"{guess}Documented names are {names}; the API knows more, and bytes from 0 to 255"
