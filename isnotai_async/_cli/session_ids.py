"""Reads session ids from a file or stdin: one a line, as a JSON string or object or plain; or one JSON array of them.

A plain id has no comma and no white space, and does not start like JSON or a comment. So a table, a CSV of other
columns or half a JSON document is an error with its line, and never a list of ids that the API does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from isnotai_async._models.validation import check_no_key
from isnotai_async.errors import ConfigError, quoted

_NO_PLAIN_ID: Final = ("[", "]", "{", "}", '"', "#")  # how a line starts that is JSON, or a comment


@frozen
class SessionsFile:
    """The session ids in a file. Each iteration reads the file again.

    Attributes:
        path: The file.
    """

    path: Path

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as lines:
                yield from _ids(lines, str(self.path))
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable_ids(self.path, error) from None


def read_ids(lines: Iterable[bytes], name: str) -> tuple[str, ...]:
    """Read session ids from a stream that can be read only once."""
    try:
        return tuple(_ids(lines, name))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable_ids(name, error) from None


def _ids(lines: Iterable[bytes], name: str) -> Iterator[str]:
    is_empty = True
    for session_id in _read(_numbered(lines)):
        is_empty = False
        yield session_id
    if is_empty:
        # As a rule the command in front of a pipe failed, and an empty export would look like a complete one.
        raise ConfigError(
            f"there is no session id in {name}, so nothing was exported; see what should have written them"
        )


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Return the lines that are not empty, with their numbers."""
    for number, line in enumerate(lines, 1):
        if text := line.decode("utf-8-sig" if number == 1 else "utf-8").strip():
            yield number, text


def _read(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    number, first = next(lines, (0, "id"))
    if first.startswith("["):
        yield from _read_document("\n".join((first, *(text for _, text in lines))))
        return
    if first not in {"id", '"id"'}:  # the header of a CSV
        yield _read_line(first, number)
    for number, text in lines:
        yield _read_line(text, number)


def _read_document(text: str) -> Iterator[str]:
    """Return the ids in a JSON array, as `--format json` writes it."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the session ids are a JSON document that is broken or not complete: {error}") from None
    for number, item in enumerate(items, 1):
        yield _take_id(item, f"item {number}", item)


def _read_line(text: str, number: int) -> str:
    place = f"line {number}"
    if text.startswith(("{", '"')):
        try:
            return _take_id(json.loads(text), place, text)
        except (ValueError, RecursionError):
            raise ConfigError(
                f"{place} of the session ids is no JSON: {quoted(text)}; write each object on one line, as "
                "--format jsonl and jq -c do"
            ) from None
    if text.startswith(_NO_PLAIN_ID) or "," in text or len(text.split()) > 1:
        raise ConfigError(
            f"{place} of the session ids is no id: {quoted(text)}; write one id a line, as "
            "`isnotai sessions --fields id --format csv` does (an unusual one in quotes, as JSON)"
        )
    return check_no_key(text, f"{place} of the session ids")


def _take_id(value: Any, place: str, shown: object) -> str:  # noqa: ANN401 - any JSON
    """Return the id that a JSON value is, or that an object has."""
    found = value.get("id") if isinstance(value, dict) else value
    if not isinstance(found, str) or not found:
        raise ConfigError(
            f"{place} of the session ids is neither an id nor an object with an id: {quoted(str(shown))}"
        )
    return check_no_key(found, f"{place} of the session ids")


def _unreadable_ids(place: Path | str, error: OSError | UnicodeDecodeError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
    return ConfigError(f"cannot read the session ids in {place}: {reason}")
