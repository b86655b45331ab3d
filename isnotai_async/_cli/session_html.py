"""The picture of a session as one HTML page that needs nothing else: inline SVG, no script, light and dark.

`session_page.html` has its head and its style.

Every string of the data passes through `_safe`: control characters and marks of direction are escaped first, then
HTML. Addresses are shown as text, not as links, because a link may run a script. The page's policy forbids scripts
and requests, so that even a mistake here could run nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from isnotai_async._cli.session_summary import Series, SessionSummary
from isnotai_async._cli.session_words import (
    BOT_SCORE,
    SummaryTable,
    clock,
    describe_columns,
    describe_facts,
    describe_source,
    make_tables,
)
from isnotai_async.errors import printable

COLUMNS: Final = 120
_HEIGHT: Final = 28
_NAME: Final = 60


def draw_html(summary: SessionSummary) -> str:
    """Return the HTML page of a session's summary."""
    page = Template((files("isnotai_async._cli") / "session_page.html").read_text(encoding="utf-8"))
    title = f"Session {_safe(summary.session.id)}"
    return page.substitute(title=title, height=_HEIGHT, body="".join(_body(summary)))


def _body(summary: SessionSummary) -> Iterator[str]:
    yield f"<h1>Session <bdi>{_safe(summary.session.id)}</bdi></h1>\n<dl>\n"
    for name, value in describe_facts(summary):
        yield f"<dt>{name}</dt><dd{_score_class(name, summary)}><bdi>{_safe(value)}</bdi></dd>\n"
    yield "</dl>\n"
    if source := describe_source(summary):
        yield f'<p class="note">{_safe(source)}</p>\n'
    if summary.series:
        yield from _chart(summary)
    for table in make_tables(summary):
        yield from _table(table)


def _score_class(name: str, summary: SessionSummary) -> str:
    score = summary.session.bot_score
    if name != "bot score" or score is None:
        return ""
    return f' class="{"bot" if score >= BOT_SCORE else "person"}"'


def _chart(summary: SessionSummary) -> Iterator[str]:
    yield f"<h2>Events over time</h2>\n<figure>\n<figcaption>{_safe(describe_columns(summary))}</figcaption>\n"
    for series in summary.series:
        yield _row(series, "row")
    if len(summary.series) > 1:
        yield _row(summary.everything, "row all")
    if any(summary.openings):
        yield _row(Series("pages opened", summary.openings), "row marks")
    times = dict.fromkeys(clock(at or 0, summary) for at in (summary.start_ms, summary.end_ms))
    ends = "".join(f"<span>{_safe(time)}</span>" for time in times)
    yield f'<div class="row axis"><span class="ends">{ends}</span></div>\n</figure>\n'


def _row(series: Series, kind: str) -> str:
    return (
        f'<div class="{kind}"><bdi>{_safe(series.name, _NAME)}</bdi><span class="number">{series.total:,}</span>'
        f'{_bars(series)}<span class="peak">peak {max(series.columns):,}</span></div>\n'
    )


def _bars(series: Series) -> str:
    count, peak = len(series.columns), max(series.columns)
    # At least a fourteenth of the height, so that a single event is visible next to thousands.
    heights = [_HEIGHT * max(value / peak, 1 / 14) if value else 0.0 for value in series.columns]
    path = "".join(f"M{at} {_HEIGHT}v{-height:.1f}h1v{height:.1f}z" for at, height in enumerate(heights) if height)
    label = f"{series.total:,} events of {_safe(series.name, _NAME)} over time"
    return (
        f'<svg viewBox="0 0 {count} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<path d="{path}"/></svg>'
    )


def _table(table: SummaryTable) -> Iterator[str]:
    note = f" <small>{_safe(table.note)}</small>" if table.note else ""
    yield f"<h2>{_safe(table.title)}{note}</h2>\n"
    if table.columns:
        yield f'<div class="scroll"><table class="{"long" if table.is_long else "short"}">\n'
        yield _cells("th", table.columns)
        yield from (_cells("td", row) for row in table.rows)
        yield "</table></div>\n"


def _cells(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}><bdi>{_safe(cell)}</bdi></{tag}>" for cell in cells) + "</tr>\n"


def _safe(text: str, limit: int = 500) -> str:
    return escape(printable(text, limit))
