"""The picture of a session as one HTML page that needs nothing else: inline SVG, no script, light and dark.

Every string of the data passes through `_safe`: control characters and marks of direction are escaped first, then
HTML. Addresses are shown as text, not as links, because a link may run a script. The page's policy forbids scripts
and requests, so that even a mistake here could run nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
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

_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{
  --paper: #ffffff; --ink: #1c2126; --faint: #5b6570; --line: #dfe3e8; --band: #f4f6f8;
  --bar: #2a6fb5; --mark: #a3377f; --bot: #b3261e; --person: #1b7a43;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --paper: #14181c; --ink: #e4e8ec; --faint: #9aa5b1; --line: #303840; --band: #1c2228;
    --bar: #6bb0f5; --mark: #e58ac6; --bot: #ff8a80; --person: #6fd39a;
  }}
}}
* {{ box-sizing: border-box; }}
body {{
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif;
}}
h1 {{ margin: 0 0 1rem; font-size: 1.35rem; overflow-wrap: anywhere; }}
h2 {{ margin: 2rem 0 .4rem; font-size: 1.05rem; }}
h2 small, .note, figcaption {{ color: var(--faint); font-size: .85rem; font-weight: normal; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }}
dt {{ color: var(--faint); }}
dd {{ margin: 0; overflow-wrap: anywhere; min-width: 0; }}
.bot {{ color: var(--bot); font-weight: 600; }}
.person {{ color: var(--person); font-weight: 600; }}
.note {{ border-left: 3px solid var(--line); padding-left: .75rem; margin: 1.5rem 0 0; }}
figure {{ margin: 0; }}
.row {{
  display: grid; grid-template-columns: 10.5rem 5rem 1fr 6.5rem; gap: 0 .75rem; align-items: end;
  padding: .25rem 0; border-bottom: 1px solid var(--line);
}}
.row bdi {{ overflow-wrap: anywhere; min-width: 0; }}
.number, .peak {{ text-align: right; font-variant-numeric: tabular-nums; }}
.peak {{ color: var(--faint); font-size: .85rem; }}
.all bdi, .all .number {{ font-weight: 600; }}
svg {{ display: block; width: 100%; height: {height}px; background: var(--band); fill: var(--bar); }}
.marks svg {{ fill: var(--mark); height: 14px; }}
.axis {{ border: 0; color: var(--faint); font-size: .85rem; }}
.axis .ends {{ grid-column: 3; display: flex; justify-content: space-between; gap: 1rem; flex-wrap: wrap; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: .2rem 1.25rem .2rem 0; vertical-align: top; white-space: nowrap; }}
th {{ color: var(--faint); font-weight: normal; border-bottom: 1px solid var(--line); }}
td:last-child {{ white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }}
@media (max-width: 40rem) {{
  .row {{ grid-template-columns: 1fr max-content max-content; }}
  .row svg {{ grid-column: 1 / -1; grid-row: 2; }}
  .axis .ends {{ grid-column: 1 / -1; }}
  .long, .long tbody {{ display: block; }}
  .long tr {{ display: flex; flex-wrap: wrap; padding-bottom: .4rem; }}
  .long th, .long td {{ border: 0; padding-bottom: 0; }}
  .long th:last-child, .long td:last-child {{ flex: 0 0 100%; }}
}}
</style>
</head>
<body>
"""


def draw_html(summary: SessionSummary) -> str:
    """Return the HTML page of a session's summary."""
    return "".join(_parts(summary))


def _parts(summary: SessionSummary) -> Iterator[str]:
    title = f"Session {_safe(summary.session.id)}"
    yield _HEAD.format(title=title, height=_HEIGHT)
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
    yield "</body>\n</html>\n"


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
