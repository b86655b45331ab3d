r"""CSV after RFC 4180, but lines end in ``\n``: a header, then the rows, UTF-8.

A null is nothing between the commas, the empty string is ``""``. Strings that a spreadsheet would run as a formula
get a ``'`` before them (OWASP ASVS 1.2.10), and so do those that start with one, so that it can be removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

import msgspec

from isnotai_async.export.batches import COLUMNS, Batch

_HEADER: Final = f"{','.join(COLUMNS)}\n".encode()
_BOM: Final = "\ufeff".encode()  # with it, spreadsheets read UTF-8
_TRIGGERS: Final = frozenset("=+-@\t\r\0'")
_SPECIAL: Final = (",", '"', "\r", "\n")
_BRACKETS: Final = frozenset("[]")
_first: Final = itemgetter(0)
_encode_lines: Final = msgspec.json.Encoder().encode_lines


class _Row(msgspec.Struct, array_like=True, gc=False):
    event_id: str
    message_id: int
    event_type_name: str
    timestamp: int
    payload_size: int


def encode_csv(batches: Iterable[Batch], *, formula_guard: bool = True, bom: bool = False) -> Iterator[bytes]:
    """Encode batches, a chunk of whole lines each.

    Args:
        batches: The rows.
        formula_guard: Put a ``'`` before strings that a spreadsheet would run as a formula. Numbers stay as they are.
        bom: Start with a byte order mark.
    """
    yield _BOM + _HEADER if bom else _HEADER
    cell = partial(_cell, guard=formula_guard)
    for batch in batches:
        yield _encode_batch(batch, cell)


def _encode_batch(batch: Batch, cell: Callable[[str | None], str]) -> bytes:
    columns, start = batch.columns, f"{cell(batch.region)},{cell(batch.session_id)},"
    names = {name: cell(name) for name in set(columns.event_type_name)}
    named = map(names.__getitem__, columns.event_type_name)
    if _are_plain(columns.event_id) and _BRACKETS.isdisjoint("".join(names.values())):
        # As JSON arrays, because that encoder takes a sixth of a loop: without brackets and quotes, they are the
        # lines, unless a cell has a quote, a backslash or a control character of its own. JSON escapes these.
        rows = map(_Row, columns.event_id, columns.message_id, named, columns.timestamp, columns.payload_size)
        lines = _encode_lines(list(rows))
        if b"\\" not in lines:
            first = start.encode()
            return first + lines[:-1].translate(None, b'"[]').replace(b"\n", b"\n" + first) + b"\n"
        named = map(names.__getitem__, columns.event_type_name)
    ids = map(cell, columns.event_id)
    cells = zip(ids, columns.message_id, named, columns.timestamp, columns.payload_size, strict=True)
    return "".join([f"{start}{a},{b},{c},{d},{e}\n" for a, b, c, d, e in cells]).encode()


def _are_plain(texts: Sequence[str]) -> bool:
    """Return whether there are texts, and none needs quotes or a guard, or has a bracket; searched as one text."""
    joined = "".join(texts)
    if not joined or "" in texts or any(special in joined for special in (*_SPECIAL, *_BRACKETS)):
        return False
    return _TRIGGERS.isdisjoint(map(_first, texts))


def _cell(text: str | None, *, guard: bool) -> str:
    if text is None:
        return ""
    if guard and text[:1] in _TRIGGERS:
        text = f"'{text}"
    if not text or any(special in text for special in _SPECIAL):
        return '"' + text.replace('"', '""') + '"'
    return text
