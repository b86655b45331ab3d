"""Messages for an invalid command line: one line, with the right name of a mistaken option."""

from __future__ import annotations

from typing import Final

from cyclopts import CycloptsError, MissingArgumentError, UnknownOptionError, UnusedCliTokensError

from isnotai_async.errors import quoted

# Names from other tools and from this package's methods, and the option that has this meaning here.
_CALLED_HERE: Final = {
    "--api-key": "--api-key-file FILE, or ISNOTAI_API_KEY",
    "--key": "--api-key-file FILE, or ISNOTAI_API_KEY",
    "--token": "--api-key-file FILE, or ISNOTAI_API_KEY",
    "--max-items": "--limit",
    "--max": "--limit",
    "--per-page": "--page-size",
    "--output": "--out FILE for files, --format for the form of what is listed",
    "--output-format": "--format",
    "--file": "--out FILE for what is written, --sessions-file FILE for ids",
    "--from": "--since for sessions, --start for events",
    "--to": "--until for sessions, --end for events",
    "--start-date": "--since",
    "--end-date": "--until",
    "--start-time": "--start",
    "--end-time": "--end",
    "--event-type": "--type",
    "--columns": "--fields",
    "--url": "--base-url",
    "--deadline": "`timeout -s INT 3600 isnotai …`, which ends the whole command so that it can resume",
    "--max-retries": "--deadline SECONDS, which covers all attempts; export and sync need none",
    "--retries": "--deadline SECONDS, which covers all attempts; export and sync need none",
    "--log-level": "-v or -vv, or ISNOTAI_LOG",
    "--debug": "-vv",
}


def explain_usage(error: CycloptsError) -> str:
    """Return what is wrong with the command line, and where to look."""
    command = " ".join(("isnotai", *(error.command_chain or ())))
    text = str(error).partition(" Available commands:")[0].strip().removesuffix(".")
    if isinstance(error, MissingArgumentError):
        is_given = error.keyword is not None or (error.argument is not None and error.argument.tokens)
        text = (text.partition('" parameter ')[2] or text).replace(
            "requires an argument", "needs a value" if is_given else "is missing"
        )
    if isinstance(error, UnusedCliTokensError):
        text = f"too many arguments: {', '.join(map(quoted, error.unused_tokens or ()))}"
    if isinstance(error, UnknownOptionError):
        option = error.token.keyword or error.token.value.partition("=")[0]
        if option in _CALLED_HERE:
            text = f"there is no {option} here; it is {_CALLED_HERE[option]}"
    return f"{text} ({command} --help)"
