"""`Batch`: rows of one session as columns, the form in which the store keeps them and the formats take them.

The row of an export is an event's fields after the region and session that it belongs to. Schema, version 1, the same
columns in the same order in every format:

================== ============== ====================================================================
column             type           meaning
================== ============== ====================================================================
region             string         name that was asked: the region's, or that of the credential
session_id         string         session that the event belongs to
event_id           string         id of the event
message_id         int            the message-type byte
event_type_name    string or null name of that type, such as ``keypress``; an open list
timestamp          int            Unix time in milliseconds; in Parquet a timestamp in milliseconds, UTC
payload_size       int            size of the payload in bytes
================== ============== ====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias
from typing import Any, Final, get_type_hints

import msgspec
from attrs import frozen
from msgspec.structs import astuple

from isnotai_async._models.records import Event

SCHEMA_VERSION: Final = 1

_TYPES: Final = get_type_hints(Event)  # in their order: version 1 has the fields that the record has
EVENT_COLUMNS: Final = tuple(_TYPES)
COLUMNS: Final = ("region", "session_id", *EVENT_COLUMNS)

Columns = tuple[Sequence[Any], ...]
"""The values of each of `EVENT_COLUMNS`; all of the same length."""

_AFFINITIES: Final = {str: "TEXT NOT NULL", int: "INTEGER NOT NULL", str | None: "TEXT"}
SQL_COLUMNS: Final = ", ".join(
    f"{name} {_AFFINITIES[kind]}" for name, kind in {"region": str, "session_id": str, **_TYPES}.items()
)
"""The columns of a table in SQLite, with their types."""


@frozen(eq=False, repr=False)
class Batch:
    """Rows of one session, in their order."""

    region: str
    session_id: str
    columns: Columns  # without those two

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0])

    def column(self, name: str) -> Sequence[Any]:
        """Return the values of one of `EVENT_COLUMNS`."""
        return self.columns[EVENT_COLUMNS.index(name)]


_NO_ROWS: Final[Columns] = ((),) * len(EVENT_COLUMNS)


def to_columns(events: Sequence[Event]) -> Columns:
    """Return the columns of events."""
    return tuple(zip(*map(astuple, events), strict=True)) or _NO_ROWS


_encode: Final = msgspec.msgpack.Encoder().encode
_PAGE: Final = GenericAlias(tuple, tuple(GenericAlias(list, kind) for kind in _TYPES.values()))
_decode_pages: Final[Any] = msgspec.msgpack.Decoder(GenericAlias(list, _PAGE)).decode


def pack_page(events: Sequence[Event]) -> bytes:
    """Encode the events of one page as msgpack; `join_pages` makes a blob of one or several."""
    return _encode(to_columns(events))


def join_pages(pages: Sequence[bytes]) -> bytes:
    """Return consecutive pages as one msgpack array, without encoding them again."""
    return b"".join([b"\xdd", len(pages).to_bytes(4), *pages])  # array 32


def unpack_pages(blob: bytes) -> tuple[int, Columns]:
    """Return how many pages a blob has, and their columns as one.

    Raises:
        ValueError: It is no such blob, or its columns differ in length.
    """
    first, *others = pages = _decode_pages(blob)
    for page in others:
        for column, more in zip(first, page, strict=True):
            column.extend(more)
    if len(set(map(len, first))) != 1:
        raise ValueError("the columns differ in length")
    return len(pages), first
