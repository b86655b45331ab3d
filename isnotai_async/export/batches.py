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

from collections.abc import Iterable, Sequence
from typing import Final, get_type_hints

import msgspec
from attrs import frozen
from msgspec.structs import astuple

from isnotai_async._models.records import Event

SCHEMA_VERSION: Final = 1


class Columns(msgspec.Struct, array_like=True, gc=False):
    """Columns of the events of a session; all of the same length."""

    event_id: list[str]
    message_id: list[int]
    event_type_name: list[str | None]
    timestamp: list[int]
    payload_size: list[int]


EVENT_COLUMNS: Final = Columns.__struct_fields__
COLUMNS: Final = ("region", "session_id", *EVENT_COLUMNS)

_AFFINITIES: Final = {list[str]: "TEXT NOT NULL", list[int]: "INTEGER NOT NULL", list[str | None]: "TEXT"}
SQL_COLUMNS: Final = ", ".join(
    f"{name} {_AFFINITIES[kind]}"
    for name, kind in {"region": list[str], "session_id": list[str], **get_type_hints(Columns)}.items()
)
"""The columns of a table in SQLite, with their types."""


@frozen
class Batch:
    """Rows of one session, in their order."""

    region: str
    session_id: str
    columns: Columns  # without those two

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns.event_id)


def to_columns(events: Iterable[Event]) -> Columns:
    """Return the columns of events."""
    rows = tuple(events)
    return Columns(
        [row.event_id for row in rows],
        [row.message_id for row in rows],
        [row.event_type_name for row in rows],
        [row.timestamp for row in rows],
        [row.payload_size for row in rows],
    )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_pages: Final = msgspec.msgpack.Decoder(list[Columns]).decode


def pack_page(events: Iterable[Event]) -> bytes:
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
        for column, more in zip(astuple(first), astuple(page), strict=True):
            column.extend(more)
    lengths = {len(column) for column in astuple(first)}
    if len(lengths) != 1:
        raise ValueError("the columns differ in length")
    return len(pages), first
