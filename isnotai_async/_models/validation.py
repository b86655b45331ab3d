"""Checks what a caller passes: names of arguments, ids, texts, numbers, durations.

A check returns the value, or raises an error that says what is wrong with it and what to write instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from functools import wraps
from math import inf
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from attrs import Attribute

from isnotai_async.errors import KEY_PREFIX, ConfigError, quoted

Validator = Callable[[object, "Attribute[Any]", object], object]
"""Checks a value for a field of an attrs class."""

MAX_ID_BYTES: Final = 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_id(value: str, name: str = "session_id") -> str:
    """Check an id that becomes one path segment.

    Anything else than the cases below is allowed, whatever its alphabet: it is percent-encoded as a whole.

    Args:
        value: The id.
        name: What to call it in the message.

    Raises:
        ConfigError: It is no string, empty, ``.`` or ``..`` (which no encoding can neutralise), longer than
            1 KiB, or has control characters or lone surrogates.
    """
    check_text(value, name)
    if value in {".", ".."}:
        raise ConfigError(f"{name} {value!r} would point at another path; pass the id as the API gave it")
    if len(value.encode()) > MAX_ID_BYTES:
        raise ConfigError(f"{name} is longer than {MAX_ID_BYTES} bytes; pass one id as the API gave it")
    return value


def check_path(value: str) -> str:
    """Check the path of a request, without its query.

    Raises:
        ConfigError: It does not start with one slash, has a query, a fragment or a dot segment, or a character that
            a URL parser could take for another.
    """
    check_text(value, "path")
    if not value.startswith("/") or value.startswith("//"):
        raise ConfigError(f"path {quoted(value)} must start with one slash, like /v1/sessions")
    if "?" in value or "#" in value:
        raise ConfigError(f"path {quoted(value)} has a query or a fragment; pass the query as params=")
    plain = unquote(value)
    if "\\" in plain or not {".", ".."}.isdisjoint(plain.split("/")):
        raise ConfigError(f"path {quoted(value)} could lead to another path; write it without '.', '..' and '\\'")
    return value


def check_text(value: object, name: str) -> str:
    """Check a text that is not empty and can be sent.

    Raises:
        ConfigError: It is no string, empty, or has an API key, control characters or lone surrogates.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, not {type(value).__name__}")
    if not value:
        raise ConfigError(f"{name} is empty; give a value")
    check_no_key(value, name)
    if value.isascii() and value.isprintable():  # as ids are: there is nothing else to look for
        return value
    if _CONTROL.search(value):
        raise ConfigError(f"{name} {quoted(value)} has control characters; remove them")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name} has a lone surrogate and is not valid text; decode it properly first") from None
    return value


def check_no_key(value: str, name: str) -> str:
    """Check that a text holds no API key: one that was passed by mistake must not be sent or stored.

    Raises:
        ConfigError: It holds one.
    """
    if KEY_PREFIX in value.lower():  # not the regular expression: a list may have a million ids
        raise ConfigError(
            f"{name} is or contains an API key (aik_v1_***), so it was neither sent nor stored; pass the key as "
            "ISNOTAI_API_KEY, and here what it stands for"
        )
    return value


def check_int(value: object, name: str, low: int, high: int | None = None, *, kind: str = "an int") -> int:
    """Check a whole number, which a bool or a float is not.

    Raises:
        ConfigError: It is no int, or outside the range from `low` to `high`; None for no upper bound.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{name} must be {kind}, not {type(value).__name__}")
    if value < low or (high is not None and value > high):
        # Python refuses to print integers of thousands of digits.
        shown = value if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        wanted = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"{name} is {shown}; it must be {wanted}")
    return value


def in_range(low: int, high: int, *, also: tuple[object, ...] = (), kind: str = "an int") -> Validator:
    """Return a validator of a field that is a whole number from `low` to `high`, or one of the values in `also`."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value not in also:
            check_int(value, attribute.name, low, high, kind=kind)

    return check


def is_one_of(*choices: str) -> Validator:
    """Return a validator of a field that is one of these texts; errors as of `one_of`."""
    return lambda _, attribute, value: one_of(value, attribute.name, choices)


def is_flag(_: object, attribute: Attribute[Any], value: object) -> None:
    """Validate a field that is a switch; errors as of `check_flag`."""
    check_flag(value, attribute.name)


def check_flag(value: object, name: str) -> bool:
    """Check a boolean; numbers and words are rejected.

    Raises:
        ConfigError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def check_quota(value: object, name: str = "quota") -> float:
    """Check a share of the key's rate.

    Raises:
        ConfigError: It is no number, or not above 0 and at most 1.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    shown = f"{value!r:.50}" if isinstance(value, int | float) else type(value).__name__
    raise ConfigError(
        f"{name} must be a number above 0 and at most 1, not {shown}; with four processes on one key it is 0.25"
    )


def read_share(text: str, name: str) -> float:
    """Read a share of the key's rate, written as a fraction (1/8) or a number (0.125).

    Raises:
        ConfigError: It is neither, or not above 0 and at most 1.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        share = float(numerator) / float(denominator if slash else 1)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"{name} {quoted(text)} is no share; write 1/8 or 0.125") from None
    return check_quota(share, f"{name} {quoted(text)}")


def check_seconds(value: float | None, name: str) -> float | None:
    """Check a duration; None is no limit.

    Raises:
        ConfigError: It is no number, or not more than 0.
    """
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} must be seconds or None for no limit, not {type(value).__name__}")
    if not value > 0:
        raise ConfigError(f"{name} is {value!r} seconds, so nothing could be sent; use None for no limit")
    return float(value)


def check_duration(value: float, name: str) -> float:
    """Check a duration that must be finite.

    Raises:
        ConfigError: It is None or infinite, or as of `check_seconds`.
    """
    seconds = check_seconds(value, name)
    if seconds is None or seconds == inf:
        raise ConfigError(f"{name} must be seconds, not {value!r}")
    return seconds


def check_proxy(proxy: str | None) -> str | None:
    """Check the URL of a proxy.

    Raises:
        ConfigError: It is none. The message shows nothing of it: it may hold a password.
    """
    if proxy is None:
        return None
    try:
        parts = urlsplit(proxy)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ConfigError("proxy is not the URL of an HTTP proxy; write it like http://proxy.example:3128")
    return check_no_key(proxy, "proxy")


FilterValue = str | int | bool


class Milliseconds(int):
    """A time in Unix milliseconds that needs no check: it comes from a datetime, or from the server."""

    __slots__ = ()


def one_of(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Check a value of a list that the contract closes.

    Raises:
        ConfigError: It is none of the choices.
    """
    if isinstance(value, str) and value in choices:
        return value
    shown = quoted(value) if isinstance(value, str) else type(value).__name__
    raise ConfigError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {shown}")


P = ParamSpec("P")
R = TypeVar("R")

_MEANT: Final = (  # what other packages and the API itself call it, and what it can be here
    (("limit", "size", "count", "per_page", "max_results", "pageSize"), ("page_size", "max_items")),
    (("max_retries", "retries", "max_attempts", "attempts"), ("retry", "attempts")),
    (("backoff", "delay", "wait", "backoff_factor"), ("base", "factor")),
    (("max_delay", "max_wait", "max_backoff"), ("cap",)),
    (("path", "out", "output", "file", "filename"), ("to",)),
    (("force", "overwrite"), ("if_exists",)),
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
            return function(*args, **kwargs)
        except TypeError:
            wrong = kwargs.keys() - known
            if not wrong:
                raise
        finally:
            del args, kwargs  # a traceback with locals must not show the key
        raise TypeError(_explain(function.__qualname__, min(wrong), known))

    if not inspect.iscoroutinefunction(function):
        return call

    @wraps(function)
    async def call_later(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - typed by the function
        try:
            result: Any = call(*args, **kwargs)
        finally:
            del args, kwargs  # as above
        return await result

    return call_later  # type: ignore[return-value]


C = TypeVar("C", bound=type)


def explain_options(options: C) -> C:
    """Let a class whose ``__init__`` is made by attrs explain names as `explain_names` does."""
    options.__init__ = explain_names(options.__init__)  # type: ignore[misc] # it is the class's own
    return options


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
