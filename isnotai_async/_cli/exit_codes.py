"""Exit codes of the commands, and the message that an error gets on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final

from isnotai_async._cli.option_names import in_options
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    ConfigError,
    ExportError,
    IsNotAIError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    TransportError,
    quoted,
)

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3  # the key
UNFINISHED: Final = 4  # the same command can succeed later
INCOMPLETE: Final = 5  # finished, but sessions failed, records were set aside, or the API differs from its contract
INTERRUPTED: Final = 130  # 128 + SIGINT
TERMINATED: Final = 143  # 128 + SIGTERM

has_said_why: Final = Event()
"""Whether this command has said that it was interrupted, so that Ctrl-C during its end adds no second line."""

_NO_KEY: Final = (
    "no API key. Set ISNOTAI_API_KEY, or pass --api-key-file FILE (never the key itself: arguments are visible to "
    "every user of the machine). To try without a key, add --sandbox"
)


def exit_code(error: IsNotAIError) -> int:
    """Return the exit code for an error."""
    match error:
        case ConfigError():
            return USAGE
        case AuthenticationError():
            return REFUSED
        case _:
            return UNFINISHED if _can_pass(error) else FAILED


def _can_pass(error: IsNotAIError) -> bool:
    match error:
        case RateLimitedError() | ServerError():
            return True
        case ProtocolError():  # a bound means that the server does not speak as agreed, and will not later
            return error.retry_limit is None
        case TransportError():
            return error.retry_limit != 0  # 0: the certificate, or the proxy's rules
        case ExportError():
            return error.is_temporary
        case _:
            return False


def explain(error: IsNotAIError) -> str:
    """Return the message for an error on stderr, with the heading of docs/errors.md that explains it.

    The error itself escapes any text of the server in it.
    """
    if isinstance(error, ConfigError):
        return _NO_KEY if error.is_key_missing else in_options(str(error))
    notes = [*_session_of(error), *getattr(error, "__notes__", ())]
    if error.attempts > 1:
        notes.append(f"{error.attempts} attempts")
    more = f" ({', '.join(notes)})" if notes else ""
    return f"{_words_of(error)}{more} [{type(error).__name__}]"


def _words_of(error: IsNotAIError) -> str:
    if not isinstance(error, APIError):
        return in_options(str(error))
    text = str(error)  # the API's own words, then our hint
    return f"{text.removesuffix(error.hint)}{in_options(error.hint)}"


def _session_of(error: IsNotAIError) -> tuple[str, ...]:
    if error.position is None or error.position.session_id is None:
        return ()
    return (f"session {quoted(error.position.session_id)}",)


@contextmanager
def about_session(session_id: str) -> Iterator[None]:
    """Let the message of an error in this block name the session."""
    try:
        yield
    except IsNotAIError as error:
        if not _session_of(error):
            error.add_note(f"session {quoted(session_id)}")
        raise
