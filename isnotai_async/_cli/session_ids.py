"""Reads session ids from a file or stdin: ids, JSON objects with an ``id``, or a CSV with the one column ``id``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

from isnotai_async._models.validation import check_no_key
from isnotai_async.errors import ConfigError, quoted


@frozen
class SessionsFile:
    """The session ids in a file, one a line. Each iteration reads the file again.

    Attributes:
        path: The file.

    Raises:
        ConfigError: During the iteration: the file cannot be read, is not text, or holds an API key.
    """

    path: Path

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as lines:
                yield from _ids(lines)
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable_ids(self.path, error) from None


def read_ids(lines: Iterable[bytes], name: str) -> tuple[str, ...]:
    """Read session ids, one a line, from a stream that can be read only once.

    Raises:
        ConfigError: The stream cannot be read, is not text, or holds an API key.
    """
    try:
        return tuple(_ids(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable_ids(name, error) from None


def _ids(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        text = line.decode("utf-8-sig" if number == 0 else "utf-8").strip()
        if text and not (number == 0 and text == "id"):  # the header of a CSV
            yield check_no_key(_read_id(text, number + 1), f"line {number + 1} of the session ids")


def _read_id(text: str, number: int) -> str:
    """Return the id in a line: the line itself, or the field ``id`` of a JSON object."""
    if text.startswith("{"):
        try:
            found = json.loads(text)["id"]
        except (ValueError, KeyError):
            found = None
        if not isinstance(found, str) or not found:
            raise ConfigError(f"line {number} of the session ids is no JSON object with an id: {quoted(text)}")
        return found
    if "," in text:
        raise ConfigError(
            f"line {number} of the session ids holds a comma: {quoted(text)}; write one id a line, as "
            "`isnotai sessions --fields id --format csv` does"
        )
    return text


def _unreadable_ids(place: Path | str, error: OSError | UnicodeDecodeError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
    return ConfigError(f"cannot read the session ids in {place}: {reason}")
