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


def encode_csv(batches: Iterable[Batch], *, formula_guard: bool = True, bom: bool = False) -> Iterator[bytes]:
    """Encode batches, a chunk of whole lines each."""
    yield _BOM + _HEADER if bom else _HEADER
    cell = partial(_cell, guard=formula_guard)
    for batch in batches:
        yield _encode_batch(batch, cell)


def _encode_batch(batch: Batch, cell: Callable[[str | None], str]) -> bytes:
    start = f"{cell(batch.region)},{cell(batch.session_id)},"
    ids, messages, names, times, sizes = batch.columns
    cells = {name: cell(name) for name in set(names)}
    if _are_plain(ids) and _BRACKETS.isdisjoint("".join(cells.values())):
        # As JSON arrays, because that encoder takes a sixth of a loop: without brackets and quotes, they are the
        # lines, unless a cell has a quote, a backslash or a control character of its own. JSON escapes these.
        rows = zip(ids, messages, map(cells.__getitem__, names), times, sizes, strict=True)
        lines = _encode_lines(list(rows))
        if b"\\" not in lines:
            first = start.encode()
            return first + lines[:-1].translate(None, b'"[]').replace(b"\n", b"\n" + first) + b"\n"
    written = zip(map(cell, ids), messages, map(cells.__getitem__, names), times, sizes, strict=True)
    return "".join([f"{start}{a},{b},{c},{d},{e}\n" for a, b, c, d, e in written]).encode()


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
