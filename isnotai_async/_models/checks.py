"""Checks of what a caller passes. Each returns the value, or says what is wrong with it and what to write instead."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from isnotai_async.errors import ConfigError, quoted

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


def check_text(value: object, name: str) -> str:
    """Check a text that is not empty and can be sent.

    Raises:
        ConfigError: It is no string, empty, or has control characters or lone surrogates.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string, not {type(value).__name__}")
    if not value:
        raise ConfigError(f"{name} is empty")
    if value.isascii() and value.isprintable():  # as ids are: there is nothing else to look for
        return value
    if _CONTROL.search(value):
        raise ConfigError(f"{name} {quoted(value)} has control characters; remove them")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name} has a lone surrogate and is not valid text; decode it properly first") from None
    return value


def check_int(value: object, name: str, low: int, high: int, *, kind: str = "an int") -> int:
    """Check a whole number, which a bool or a float is not.

    Raises:
        ConfigError: It is no int, or outside the range from `low` to `high`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{name} must be {kind}, not {type(value).__name__}")
    if not low <= value <= high:
        # Python refuses to print integers of thousands of digits.
        shown = value if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        raise ConfigError(f"{name} is {shown}; it must be from {low} to {high}")
    return value


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
    return proxy
