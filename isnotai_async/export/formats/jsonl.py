"""JSON Lines: one object a line, UTF-8; a newline byte ends a row and occurs nowhere else. Also in gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Final

import msgspec

from isnotai_async._models.pages import Page
from isnotai_async._models.records import Event
from isnotai_async.export.batches import COLUMNS, Batch, to_columns

# zlib's code for a gzip header, which it writes without time and name: the same rows, the same bytes.
_GZIP: Final = 31

_encode_lines: Final = msgspec.json.Encoder().encode_lines
_Row: Final = msgspec.defstruct("_Row", COLUMNS, gc=False)


def encode_jsonl(batches: Iterable[Batch]) -> Iterator[bytes]:
    """Encode batches, a chunk of whole lines each."""
    for batch in batches:
        yield _encode_batch(batch)


def encode_gzip(batches: Iterable[Batch]) -> Iterator[bytes]:
    """Encode batches as one gzip member: some readers stop at the end of the first one, without an error."""
    packer = zlib.compressobj(wbits=_GZIP)
    for chunk in encode_jsonl(batches):
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _encode_batch(batch: Batch) -> bytes:
    rows = map(_Row, repeat(batch.region), repeat(batch.session_id), *batch.columns)
    return _encode_lines(list(rows))


def encode_rows(page: Page[Event], session_id: str | None = None) -> bytes:
    r"""Encode a page of one session as JSON lines, the last one ended too.

    Line breaks within strings are escaped, so a newline byte ends a row and nothing else does.

    Example:
        >>> from isnotai_async.export import encode_rows
        >>> lines = encode_rows(await client.list_events("big-1"))
        >>> lines[:57]
        b'{"region":"us","session_id":"big-1","event_id":"ev-30ba33'

    Args:
        page: The page.
        session_id: The session, if the page does not have it.
    """
    return _encode_batch(Batch(page.name, session_id or page.session_id or "", to_columns(page.data)))
