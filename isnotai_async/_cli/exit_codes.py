"""Exit codes of the commands, and the message that an error gets on stderr."""

from __future__ import annotations

from typing import Final

from isnotai_async.errors import AuthenticationError, ConfigError, IsNotAIError, RateLimitedError, quoted

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3  # the key
UNFINISHED: Final = 4
INCOMPLETE: Final = 5  # finished, but sessions failed, records were set aside, or the API differs from its contract
INTERRUPTED: Final = 130  # 128 + SIGINT
TERMINATED: Final = 143  # 128 + SIGTERM

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
        case RateLimitedError():
            return UNFINISHED
        case _:
            return FAILED


def explain(error: IsNotAIError) -> str:
    """Return the message for an error on stderr. The error itself escapes any text of the server in it."""
    if isinstance(error, ConfigError) and error.message.startswith("no API key"):
        return _NO_KEY
    session_id = None if error.position is None else error.position.session_id
    where = "" if session_id is None else f" (session {quoted(session_id)})"
    tries = f" ({error.attempts} attempts)" if error.attempts > 1 else ""
    return f"{error}{where}{tries}"
