"""How rows become text, and how to find them in it again."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any, Final, Literal, Protocol

import msgspec

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.export.rows import COLUMNS, encode_rows

# What a spreadsheet takes for a formula's beginning (OWASP ASVS 1.2.10), and the guard itself.
_TRIGGERS: Final = frozenset("=+-@\t\r\0'")


class Encoding(Protocol):
    """How rows become bytes, and which of them are there."""

    @property
    def header(self) -> bytes:
        """What the file begins with."""
        ...

    def encode(self, page: Page[Event]) -> bytes:
        """Encode the rows of a page; the result does not depend on other pages."""
        ...

    def read_ids(self, chunks: Iterator[bytes], name: str, session_id: str) -> set[str]:
        """Find the event ids of a session in the bytes of a file."""
        ...


class JSONLines:
    """One JSON object a line; see `rows`."""

    header = b""

    def encode(self, page: Page[Event]) -> bytes:
        """Encode a page."""
        return encode_rows(page)

    def read_ids(self, chunks: Iterator[bytes], name: str, session_id: str) -> set[str]:
        """Find event ids."""
        needle = msgspec.json.encode(session_id)
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        rows = (decode(line) for line in _lines(chunks) if needle in line)
        return {row["event_id"] for row in rows if (row["region"], row["session_id"]) == (name, session_id)}


class GzipJSONLines(JSONLines):
    """JSON Lines in gzip. Each page is a gzip member of its own, so the bytes do not depend on the commits."""

    def encode(self, page: Page[Event]) -> bytes:
        """Encode a page."""
        # zlib writes a header without time and name, so that the same rows are the same bytes.
        packer = zlib.compressobj(wbits=31)
        return packer.compress(encode_rows(page)) + packer.flush()

    def read_ids(self, chunks: Iterator[bytes], name: str, session_id: str) -> set[str]:
        """Find event ids."""
        return super().read_ids(_unpack(chunks), name, session_id)


class CSV:
    r"""Comma-separated values after RFC 4180, but for the lines, which end in ``\n``: a header, then the rows, UTF-8.

    Args:
        formula_guard: Put a ``'`` before strings that a spreadsheet would run as a formula, and before those that
            begin with one, so that it can be taken away again. Numbers stay as they are.
    """

    header = f"{','.join(COLUMNS)}\n".encode()

    def __init__(self, *, formula_guard: bool = True) -> None:
        self._guard = _guard if formula_guard else str

    def encode(self, page: Page[Event]) -> bytes:
        """Encode a page."""
        guard = self._guard
        name, session_id = guard(page.name), guard(page.session_id or "")
        rows = [
            (
                name,
                session_id,
                guard(event.event_id),
                event.message_id,
                guard(event.event_type_name or ""),
                event.timestamp,
                event.payload_size,
            )
            for event in page.data
        ]
        text = _write_csv(rows, csv.QUOTE_MINIMAL)
        # Python 3.11 leaves a lone carriage return unquoted, which readers take for the end of a line.
        return (_write_csv(rows, csv.QUOTE_NONNUMERIC) if "\r" in text else text).encode()

    def read_ids(self, chunks: Iterator[bytes], name: str, session_id: str) -> set[str]:
        """Find event ids, as they were before the guard."""
        lines = (line.decode() for line in _lines(chunks))
        wanted = self._guard(name), self._guard(session_id)
        return {self._unguard(row[2]) for row in csv.reader(lines) if (row[0], row[1]) == wanted}

    def _unguard(self, cell: str) -> str:
        return cell[1:] if self._guard is _guard and cell[:1] == "'" else cell


def _write_csv(rows: Sequence[tuple[str | int, ...]], quoting: Literal[0, 2]) -> str:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()


def _guard(text: str) -> str:
    return f"'{text}" if text[:1] in _TRIGGERS else text


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"


def _unpack(chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        rest = chunk
        while rest:
            yield unpacker.decompress(rest)
            rest = unpacker.unused_data
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=31)
