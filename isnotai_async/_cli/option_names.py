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
    *("job", "max_open", "page_size", "period", "port", "proxy", "quota", "region", "search", "segments", "settle"),
    *("shard", "split", "status", "timeout", "type", "watch"),
)
_OPTIONS: Final = _OTHER_NAMES | {name: f"--{name.replace('_', '-')}" for name in _SAME_NAMES}
_NAMES: Final = "|".join(_OPTIONS)

# What to do in Python, and what to do in a shell, if that is not an option of the same name.
_ADVICE: Final = {
    'pass on_outage="local_share" to continue with a share of the limit': "use --quota 1/N without --redis",
    "give the client a shorter timeout, or the limiter a longer lease=": "choose a shorter --timeout",
    "(quota=1/n, --quota), or one limiter (limiter=RedisLimiter…, --redis)": "(--quota 1/N), or one Redis (--redis)",
    "iterate again to resume after the last row": "run the same command again",
    "start over without resume=": "start over with --no-resume",
    "start without resume=": "start over with --no-resume",
}
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
    for in_python, in_shell in _ADVICE.items():
        text = text.replace(in_python, in_shell)
    text = _BOTH.sub(r"\1", text)
    text = _ASSIGNED.sub(lambda found: f"{_OPTIONS[found[1]]}{' ' if found[2].isalnum() else ''}", text)
    text = _SUBJECT.sub(lambda found: _OPTIONS[found[1]], text)
    text = _INSIDE.sub(lambda found: _OPTIONS[found[1]], text)
    return _NO_LIMIT.sub("none ", text)
