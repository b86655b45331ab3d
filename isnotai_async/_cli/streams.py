"""A stdout that writes everything or raises an error, and a stderr that never raises one.

Python's own streams guarantee less. With ``PYTHONUNBUFFERED=1``, or on a non-blocking pipe, a write may write only a
part of the bytes, or none. It reports this in a return value that `print` ignores, so rows would be missing and no
error raised. A stream that was closed before the start (``>&-``) is None, and text for a None stderr goes to stdout.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from io import BytesIO, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


STDIN: Final = Path("-")
"""What an option for a file takes for stdin."""


class StdoutError(Exception):
    """A write to stdout failed.

    It is not an OSError, because libraries handle those themselves: rich ends the process at a BrokenPipeError.

    Attributes:
        reason: The system's description of the error.
        is_reader_gone: Whether the reader of a pipe went away, which is how ``isnotai … | head`` ends.
    """

    def __init__(self, error: OSError) -> None:
        self.reason = error.strerror or type(error).__name__
        self.is_reader_gone = isinstance(error, BrokenPipeError)
        super().__init__(f"cannot write to stdout: {self.reason}")


class _Whole(RawIOBase):
    """A binary stream whose `write` returns only after all bytes are written.

    Args:
        text: The text stream whose binary stream is used; None if it was closed before the start.
    """

    def __init__(self, text: TextIO | None) -> None:
        self._text = text
        buffer = None if text is None else text.buffer
        self._raw = getattr(buffer, "raw", buffer)  # below the buffer, which would keep what a full disk rejects

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._text is not None and self._text.isatty()

    def fileno(self) -> int:
        return super().fileno() if self._text is None else self._text.fileno()

    def write(self, data: ReadableBuffer, /) -> int:
        if self._raw is None:
            raise OSError(errno.EBADF, "it is closed")
        with memoryview(data).cast("B") as view:
            done = 0
            while done < len(view):
                taken = self._raw.write(view[done:])
                if taken is None:  # EAGAIN: the pipe or terminal is non-blocking
                    select.select([], [self._raw], [])
                done += taken or 0
            return done


class _Data(_Whole):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise StdoutError(error) from None


class _Words(_Whole):
    def write(self, data: ReadableBuffer, /) -> int:
        # An error of stderr can be reported nowhere, and the work must not fail because of it.
        with suppress(OSError):
            super().write(data)
        return memoryview(data).nbytes


@contextmanager
def whole_streams() -> Iterator[None]:
    """Put streams over `sys.stdout` and `sys.stderr` that take all of it, within this block.

    Writing to stdout raises `StdoutError`. Letters that the encoding lacks become backslash escapes.
    """
    _take_free_descriptors()
    with redirect_stdout(_over(sys.stdout, _Data)), redirect_stderr(_over(sys.stderr, _Words)):
        yield


def _over(text: TextIO | None, kind: type[_Whole]) -> TextIO:
    if text is not None and not hasattr(text, "buffer"):  # StringIO of a caller: there is nothing below it
        return text
    encoding = "utf-8" if text is None else text.encoding
    return TextIOWrapper(kind(text), encoding, errors="backslashreplace", line_buffering=True)  # type: ignore[type-var] # RawIOBase suffices


def _take_free_descriptors() -> None:
    """Open the null device in place of closed standard streams, else the next file opened would get their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


def open_stdin() -> BinaryIO:
    """Return stdin as bytes; what was closed before the start has none."""
    return BytesIO() if sys.stdin is None else sys.stdin.buffer
