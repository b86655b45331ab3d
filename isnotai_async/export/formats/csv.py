r"""CSV after RFC 4180, but lines end in ``\n``: a header, then the rows, UTF-8.

A null is nothing between the commas, the empty string is ``""``. Strings that a spreadsheet would run as a formula
get a ``'`` before them (OWASP ASVS 1.2.10), and so do those that start with one, so that it can be removed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

import msgspec
from msgspec.structs import astuple

from isnotai_async.export.batches import COLUMNS, Batch

_HEADER: Final = f"{','.join(COLUMNS)}\n".encode()
_BOM: Final = "\ufeff".encode()  # with it, spreadsheets read UTF-8
_TRIGGERS: Final = frozenset("=+-@\t\r\0'")
_SPECIAL: Final = (",", '"', "\r", "\n")
_first: Final = itemgetter(0)
_encode_lines: Final = msgspec.json.Encoder().encode_lines


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
        ids, messages, names, times, sizes = astuple(batch.columns)
        cells = {name: cell(name) for name in set(names)}
        rows = zip(
            ids if _are_plain(ids) else map(cell, ids),
            messages,
            map(cells.__getitem__, names),
            times,
            sizes,
            strict=True,
        )
        yield _join(f"{cell(batch.region)},{cell(batch.session_id)},", list(rows))


def _join(start: str, rows: Sequence[tuple[str, int, str, int, int]]) -> bytes:
    """Return lines of cells, each with the same start."""
    # As JSON, because its encoder is twice as fast as a loop: without brackets and quotes, the lines are the same
    # unless a cell has a quote, a backslash or a control character of its own. JSON escapes these.
    lines = _encode_lines(rows)
    if not rows or b"\\" in lines:
        return "".join([f"{start}{a},{b},{c},{d},{e}\n" for a, b, c, d, e in rows]).encode()
    prefix = start.encode()
    return prefix + lines[1:-2].replace(b'"', b"").replace(b"]\n[", b"\n" + prefix) + b"\n"


def _are_plain(texts: Sequence[str]) -> bool:
    """Return whether no text needs quotes or a guard. They are searched as one, because that is rare."""
    joined = "".join(texts)
    if any(special in joined for special in _SPECIAL) or "" in texts:
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
