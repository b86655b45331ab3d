"""Rewrites a message of the package for the command line: an option instead of an argument of a Python function."""

from __future__ import annotations

import re
from typing import Final

# Arguments whose option has another name. Every other argument has the name of its option, with underscores.
_OTHER_NAMES: Final = {
    "max_items": "--limit",
    "start_time": "--start",
    "end_time": "--end",
    "start_date": "--since",
    "end_date": "--until",
    "user_id": "--user",
    "session_id": "the session id",
    "ssl": "SSL_CERT_FILE",
}
_SAME_NAMES: Final = (
    *("base_url", "bom", "bot_only", "concurrency", "deadline", "format", "group_by", "if_exists", "metric"),
    *("page_size", "period", "port", "proxy", "quota", "region", "search", "segments", "shard", "split", "status"),
    *("timeout", "type"),
)
_OPTIONS: Final = _OTHER_NAMES | {name: f"--{name.replace('_', '-')}" for name in _SAME_NAMES}
_NAMES: Final = "|".join(_OPTIONS)

_BOTH: Final = re.compile(r"\b\w+=\S* \((--[a-z-]+[^)]*)\)")  # resume=False (--no-resume)
_ASSIGNED: Final = re.compile(rf"\b({_NAMES})=(?=(\S?))")  # region=
_SUBJECT: Final = re.compile(rf"^({_NAMES})(?= (?:is|are|must)\b| ['\d])")  # at the start: timeout is 0.0
# Anywhere, unless it is also the name of a field of the data, such as session_id.
_INSIDE: Final = re.compile(rf"(?<![-\w])({'|'.join(n for n in _OPTIONS if '_' in n and not n.endswith('_id'))})\b")
_NO_LIMIT: Final = re.compile(r"\bNone (?=for )")


def in_options(text: str) -> str:
    """Return a message with the options of the command in place of Python arguments.

    Args:
        text: A message of this package, such as ``page_size must be an int of at least 1``. A message of the API is
            not for it, because that names the parameters of the API.
    """
    text = _BOTH.sub(r"\1", text)
    text = _ASSIGNED.sub(lambda found: f"{_OPTIONS[found[1]]}{' ' if found[2].isalnum() else ''}", text)
    text = _SUBJECT.sub(lambda found: _OPTIONS[found[1]], text)
    text = _INSIDE.sub(lambda found: _OPTIONS[found[1]], text)
    return _NO_LIMIT.sub("none ", text)
