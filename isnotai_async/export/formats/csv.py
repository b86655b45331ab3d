r"""CSV after RFC 4180, but lines end in ``\n``: a header, then the rows, UTF-8.

A null is nothing between the commas, the empty string is ``""``. Strings that a spreadsheet would run as a formula
get a ``'`` before them (OWASP ASVS 1.2.10), and so do those that start with one, so that it can be removed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from isnotai_async.export.batches import COLUMNS, Batch

_HEADER: Final = f"{','.join(COLUMNS)}\n".encode()
_BOM: Final = "\ufeff".encode()  # with it, spreadsheets read UTF-8
_TRIGGERS: Final = frozenset("=+-@\t\r\0'")
_SPECIAL: Final = (",", '"', "\r", "\n")
_RARE_FIRST: Final = frozenset([*_TRIGGERS, ""])


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
            _cells(columns.event_id, guard=formula_guard),
            columns.message_id,
            _cells(columns.event_type_name, guard=formula_guard),
            columns.timestamp,
            columns.payload_size,
            strict=True,
        )
        yield "".join([f"{start}{a},{b},{c},{d},{e}\n" for a, b, c, d, e in rows]).encode()


def _cells(texts: Sequence[str | None], *, guard: bool) -> Sequence[str | None]:
    # Searched as one text, because what has to be quoted or guarded is rare.
    if None not in texts and _RARE_FIRST.isdisjoint({text[:1] for text in texts if text is not None}):
        joined = "".join(texts)  # type: ignore[arg-type] # no None is in it
        if not any(special in joined for special in _SPECIAL):
            return texts
    return [_cell(text, guard=guard) for text in texts]


def _cell(text: str | None, *, guard: bool) -> str:
    if text is None:
        return ""
    if guard and text[:1] in _TRIGGERS:
        text = f"'{text}"
    if not text or any(special in text for special in _SPECIAL):
        return '"' + text.replace('"', '""') + '"'
    return text
