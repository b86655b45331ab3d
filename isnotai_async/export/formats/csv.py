r"""CSV after RFC 4180, but lines end in ``\n``: a header, then the rows, UTF-8.

A null is nothing between the commas, the empty string is ``""``. Strings that a spreadsheet would run as a formula
get a ``'`` before them (OWASP ASVS 1.2.10), and so do those that start with one, so that it can be removed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

from isnotai_async.export.batches import COLUMNS, Batch

_HEADER: Final = f"{','.join(COLUMNS)}\n".encode()
_BOM: Final = "\ufeff".encode()  # with it, spreadsheets read UTF-8
_TRIGGERS: Final = frozenset("=+-@\t\r\0'")
_SPECIAL: Final = (",", '"', "\r", "\n")
_first: Final = itemgetter(0)


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
        columns = batch.columns
        start = f"{cell(batch.region)},{cell(batch.session_id)},"
        rows = zip(
            columns.event_id if _are_plain(columns.event_id) else map(cell, columns.event_id),
            columns.message_id,
            map({name: cell(name) for name in set(columns.event_type_name)}.__getitem__, columns.event_type_name),
            columns.timestamp,
            columns.payload_size,
            strict=True,
        )
        yield "".join([f"{start}{a},{b},{c},{d},{e}\n" for a, b, c, d, e in rows]).encode()


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
