"""The names of event types that the vendor documents, and the hint for a name that the API does not know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Final

from isnotai_async._client import Client
from isnotai_async._models.records import Session
from isnotai_async._streaming.paginator import Paginator, from_start
from isnotai_async.errors import ConfigError, InvalidCursorError, InvalidRequestError, IsNotAIError, quoted

# Source: `type` in the vendor's reference (documentation version 1.0.17.0); the full list is not public.
DOCUMENTED_NAMES: Final = ("init", "mouse_move", "keypress")


async def check_type(client: Client, asked: str | None, sessions: Paginator[Session] | Iterable[str]) -> None:
    """Ask the first session for one event of a type, so that a misspelt name costs one refused request.

    The list of names is not public, so only the API can say whether a name exists. Any other error is left to the
    work itself.

    Args:
        client: The open client.
        asked: The type; documented names and numbers are not checked.
        sessions: The sessions of which the work will read the events.

    Raises:
        InvalidRequestError: The API refuses the type.
    """
    if asked is None or asked in DOCUMENTED_NAMES or asked[:1].isdigit():
        return
    try:
        first = await _find_first(sessions)
        if first is not None:
            with explain_type(asked):
                await client.list_events(first, type=asked, page_size=1)
    except InvalidRequestError as error:
        if _is_about_type(error):
            raise
    except ConfigError:
        raise
    except IsNotAIError:
        return


async def _find_first(sessions: Paginator[Session] | Iterable[str]) -> str | None:
    if not isinstance(sessions, Paginator):
        return next(iter(sessions), None)
    first = await from_start(sessions).first()
    return None if first is None else first.id


@contextmanager
def explain_type(asked: str | None) -> Iterator[None]:
    """Add to the API's refusal of a type, within this block, which names are documented.

    Args:
        asked: The type that was asked for, if any.
    """
    try:
        yield
    except InvalidRequestError as error:
        if asked is not None and _is_about_type(error):
            error.hint = _hint(asked)
        raise


def _is_about_type(error: InvalidRequestError) -> bool:
    named = f"{error.details.get('field', '')} {error.message}"
    return "type" in named and not isinstance(error, InvalidCursorError)


def _hint(asked: str) -> str:
    names = ", ".join(DOCUMENTED_NAMES)
    close = get_close_matches(asked.lower(), DOCUMENTED_NAMES, n=1)
    guess = f"Did you mean {close[0]} instead of {quoted(asked)}? " if close else ""
    return f"{guess}Documented names are {names}; the API knows more, and bytes from 0 to 255"
