"""Reads an API key from a file, as container secrets, editors and PowerShell write them."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import BinaryIO, Final

from isnotai_async.errors import ConfigError, printable

_MOST_BYTES: Final = 4_096  # a key has 47 characters; more is another file, or one without an end


def read_key_file(path: Path | str, name: str) -> str:
    """Read an API key from a file.

    Args:
        path: The file.
        name: What to call the option or variable that named it.

    Raises:
        ConfigError: The file cannot be read, is empty, or is too large to hold just a key.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:
            return read_key(file, name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot read the key file {printable(str(path))} of {name}: {reason}") from None
    except ValueError:  # a NUL in the path
        raise ConfigError(f"{name} is not the path of a file") from None


def read_key(file: BinaryIO, name: str) -> str:
    """Read an API key from a binary stream, up to its end.

    Args:
        file: The stream.
        name: What to call it in messages.

    Raises:
        ConfigError: There is no key in it, or too much to be one.
    """
    data = b""
    while len(data) <= _MOST_BYTES and (chunk := file.read(_MOST_BYTES + 1 - len(data))):
        data += chunk
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"the file of {name} has more than {_MOST_BYTES:,} bytes; it must hold the API key alone")
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Windows PowerShell's ">"
    key = data.decode("utf-16" if is_wide else "utf-8-sig", errors="replace").strip()
    del data
    if not key:
        raise ConfigError(f"the file of {name} is empty; it must hold the API key")
    return key
