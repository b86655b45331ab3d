"""The check of --type before a long run: a misspelt name costs one request."""

from __future__ import annotations

from collections.abc import Iterable

from isnotai_async._client import Client
from isnotai_async._models.queries import EVENT_TYPES
from isnotai_async._models.records import Session
from isnotai_async._streaming.paginator import Paginator, from_start
from isnotai_async.errors import ConfigError, InvalidRequestError, IsNotAIError


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
    if asked is None or asked in EVENT_TYPES or asked[:1].isdigit():
        return
    try:
        first = await _find_first(sessions)
        if first is not None:
            await client.list_events(first, type=asked, page_size=1)
    except InvalidRequestError as error:
        if error.hint:  # it is about the type
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
