"""Says what an argument is called here, if a call has it under another package's name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from isnotai_async.errors import quoted

P = ParamSpec("P")
R = TypeVar("R")

_MEANT: Final = (  # what other packages and the API itself call it, and what it can be here
    (("limit", "size", "count", "per_page", "max_results", "pageSize"), ("page_size", "max_items")),
    (("max_retries", "retries", "max_attempts", "attempts"), ("retry",)),
    (("key", "token", "access_token", "auth"), ("api_key",)),
    (("session", "http_client", "client_session", "connector"), ("http_session",)),
    (("url", "host", "endpoint"), ("base_url",)),
    (("cursor", "after", "next_cursor", "position"), ("resume",)),
    (("start", "since", "start_time", "start_date"), ("start_time", "start_date")),
    (("end", "until", "end_time", "end_date"), ("end_time", "end_date")),
    (("event_type", "message_type", "kind"), ("type",)),
    (("workers", "max_workers", "concurrency", "max_concurrency"), ("concurrency", "max_concurrency")),
    (("callback", "on_event"), ("on_notice", "on_progress")),
    (("query", "filter"), ("search",)),
)
_OTHER_NAMES: Final = {name: meant for names, meant in _MEANT for name in names}
_MEANINGS: Final = {
    "page_size": "page_size= (records a page)",
    "max_items": "max_items= (records in all)",
    "retry": "retry=Retry(attempts=…)",
    "resume": "resume= (a Position)",
}
_ELSEWHERE: Final = {
    "retry": "client.with_options(retry=Retry(attempts=…))",
    "timeout": "client.with_options(timeout=…)",
    "deadline": "client.with_options(deadline=…)",
    "max_items": "a list, such as list_events(…, max_items=…), or leave the block of a stream to end it",
    "api_key": "Client(api_key=…)",
    "region": "Client(region=…)",
    "concurrency": "stream_events(…, concurrency=…)",
}


def explain_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let the `TypeError` for an argument that a function does not have say what it is called here.

    Args:
        function: A function that takes its options by name.
    """
    known = inspect.signature(function).parameters.keys() - {"self"}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if wrong := kwargs.keys() - known:
                raise TypeError(_explain(function.__qualname__, min(wrong), known))
            return function(*args, **kwargs)
        finally:
            del args, kwargs  # a traceback with locals must not show the key

    return call


def _explain(function: str, name: str, known: Collection[str]) -> str:
    text = f"{function.removesuffix('.__init__').rpartition('.')[2]}() has no argument {quoted(name)}"
    meant = _OTHER_NAMES.get(name, (name,))
    if found := [_MEANINGS.get(each, f"{each}=") for each in meant if each in known]:
        return f"{text}; here it is {' or '.join(found)}"
    if elsewhere := next((_ELSEWHERE[each] for each in meant if each in _ELSEWHERE), None):
        return f"{text}; pass it to {elsewhere}"
    snake = re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)
    if close := get_close_matches(snake, known, n=1):
        return f"{text}; did you mean {close[0]}=?"
    return f"{text}; it takes {', '.join(sorted(known))}"
