"""HTML tables for notebooks. Every text is escaped, for the eye first and then for HTML, so none of it is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isnotai_async.errors import printable


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table.

    Args:
        caption: What it shows.
        columns: Heads of its columns; none for a table of names and values.
        rows: Its cells; None is an empty one.
    """
    head = f"<thead>{_row('th', columns)}</thead>" if columns else ""
    body = "".join(_row("td", row) for row in rows)
    return f"<p>{_safe(caption)}</p><table>{head}<tbody>{body}</tbody></table>"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}><bdi>{_safe(cell)}</bdi></{tag}>' for cell in cells)}</tr>"


def _safe(value: object) -> str:
    from html import escape  # which has a table of 2,000 names; no program without a notebook waits for it

    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return escape(printable(text, 120))
