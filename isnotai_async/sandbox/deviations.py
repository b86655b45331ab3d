"""Changes of an answer. Each makes a documented answer differ from the documentation in one way.

A path names fields of the body as the client's errors do: ``data[*].payloadSize``, ``data[0].userName``,
``pagination.limit``. A missing field is not changed.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from email.utils import formatdate
from time import time
from typing import Any, Final, Literal

from attrs import evolve

from isnotai_async.errors import ConfigError, quoted
from isnotai_async.sandbox.responses import SandboxReply, json_body

Change = Callable[[SandboxReply], SandboxReply]
Way = tuple[str | int, ...]
DateTimeForm = Literal[
    "no offset", "space", "short offset", "no seconds", "nine digits", "year one", "leap second", "date only"
]

_PATH: Final = re.compile(r"(?:\$\.)?\w+(?:\.\w+|\[(?:\*|[0-9]{1,6})\])*", re.ASCII)
_STEP: Final = re.compile(r"\[(\*|[0-9]+)\]|(\w+)", re.ASCII)
# A string, which is left alone, or a whole number with what would make it another number.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+[0-9.eE+-]*')
_DATE_TIME: Final = re.compile(r'"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):(\d\d)(\.\d+)?(?:Z|\+00:00)"', re.ASCII)
_DATE_TIMES: Final[dict[str, str]] = {
    "no offset": r'"\1T\2:\3\4"',
    "space": r'"\1 \2:\3\4+00:00"',
    "short offset": r'"\1T\2:\3\4+0000"',
    "no seconds": r'"\1T\2+00:00"',
    "nine digits": r'"\1T\2:\3.123456789+00:00"',
    "year one": r'"0001-01-01T00:00:00+00:00"',
    "leap second": r'"\1T\2:60\4+00:00"',
    "date only": r'"\1"',
}


def set_field(path: str, value: object) -> Change:
    """Put another value into a field.

    Raises:
        ConfigError: The path is not valid.
    """
    return _edit(path, lambda container, key: operator.setitem(container, key, value))


def remove_field(path: str) -> Change:
    """Leave a field out.

    Raises:
        ConfigError: The path is not valid.
    """
    return _edit(path, operator.delitem)


def _edit(path: str, edit: Callable[[Any, str | int], None]) -> Change:
    if not _PATH.fullmatch(path):
        raise ConfigError(f"invalid path {quoted(path)}; expected a path of fields such as data[*].payloadSize")
    steps = _STEP.findall(path.removeprefix("$."))
    way = tuple(name or ("*" if index == "*" else int(index)) for index, name in steps)

    def change(answer: SandboxReply) -> SandboxReply:
        if not answer.body:
            return answer
        body = json.loads(answer.body)
        for container, key in list(_places(body, way)):
            edit(container, key)
        return evolve(answer, body=json_body(body))

    return change


def _places(value: Any, way: Way) -> Iterator[tuple[Any, str | int]]:  # noqa: ANN401 - any JSON
    step, rest = way[0], way[1:]
    for key in _keys(value, step):
        if rest:
            yield from _places(value[key], rest)
        else:
            yield value, key


def _keys(value: object, step: str | int) -> list[Any]:
    if isinstance(value, list):
        return [index for index in range(len(value)) if step in ("*", index)]
    return [step] if isinstance(value, dict) and step in value else []


def set_status(status: int) -> Change:
    """Give another status to a success; 204 has no body."""

    def change(answer: SandboxReply) -> SandboxReply:
        if answer.status != 200:
            return answer
        if status != 204:
            return evolve(answer, status=status)
        headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
        return SandboxReply(204, headers=headers)

    return change


def write_decimals(*, exponent: bool) -> Change:
    """Write whole numbers as ``7.0``, or with an exponent as ``7e0``."""

    def rewrite(match: re.Match[str]) -> str:
        text = match[0]
        if not text.lstrip("-").isdigit():
            return text
        digits = text.rstrip("0")
        if not exponent or digits in {"", "-"}:
            return f"{text}.0"
        return f"{digits}e{len(text) - len(digits)}"

    return _rewrite(_TOKEN, rewrite)


def write_date_times(form: DateTimeForm) -> Change:
    """Write date-times in another form.

    Raises:
        ConfigError: There is no such form.
    """
    if form not in _DATE_TIMES:
        raise ConfigError(f"form must be one of {', '.join(_DATE_TIMES)}, not {quoted(form)}")
    return _rewrite(_DATE_TIME, _DATE_TIMES[form])


def _rewrite(pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str]) -> Change:
    def change(answer: SandboxReply) -> SandboxReply:
        return evolve(answer, body=pattern.sub(replacement, answer.body.decode()).encode())

    return change


def add_byte_order_mark(answer: SandboxReply) -> SandboxReply:
    """Put a byte order mark before the body."""
    return evolve(answer, body=b"\xef\xbb\xbf" + answer.body)


def use_x_gzip(answer: SandboxReply) -> SandboxReply:
    """Compress with gzip and call it ``x-gzip``, which RFC 9110 (section 8.4.1.3) takes for the same."""
    return answer.compressed("gzip").with_headers(Content_Encoding="x-gzip")


def set_tier_name(name: str | None) -> Change:
    """Name another tier in ``x-isnotai-tier``; None leaves the header out."""

    def change(answer: SandboxReply) -> SandboxReply:
        headers = {key: value for key, value in answer.headers.items() if key != "x-isnotai-tier"}
        if name is not None and len(headers) < len(answer.headers):
            headers["x-isnotai-tier"] = name
        return evolve(answer, headers=headers)

    return change


def shift_clock(seconds: float) -> Change:
    """Send a ``Date`` that differs from this machine's clock by a number of seconds; earlier if negative."""

    def change(answer: SandboxReply) -> SandboxReply:
        return answer.with_headers(Date=formatdate(time() + seconds, usegmt=True))

    return change
