"""The picture of a session as text: facts, a sparkline for each event type, tables.

It returns rich's `Text`, in which no string is ever read as markup, and which becomes plain text if stdout is no
terminal or ``NO_COLOR`` is set. Every line fits the width.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator
from typing import Final

from attrs import frozen
from rich.cells import cell_len, set_cell_size
from rich.text import Text

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

MOST_COLUMNS: Final = 200
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_LETTERS: Final = " .:-=+*#@"
_CHART_TITLE: Final = "Events over time"
_LABEL: Final = 17
_COUNT: Final = 9
_PEAK: Final = 11
_CELL: Final = 18
LEAST_WIDTH: Final = 60
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"


@frozen
class Screen:
    """The screen for which the text is drawn.

    Attributes:
        width: Cells of a line, at least `LEAST_WIDTH`.
        encoding: Encoding of the stream; letters that it lacks become backslash escapes, and blocks become ASCII.
    """

    width: int
    encoding: str = "utf-8"

    @property
    def columns(self) -> int:
        """Number of cells for a sparkline, without its name and its numbers."""
        taken = 2 + _LABEL + 1 + _COUNT + 2 + _PEAK
        return min(MOST_COLUMNS, self.width - taken)

    @property
    def levels(self) -> str:
        """Nine characters, from the lowest to the highest bar."""
        return _BLOCKS if self._has(_BLOCKS) else _LETTERS

    @property
    def mark(self) -> str:
        """The character that marks one place."""
        return "╵" if self._has("╵") else "|"

    def fit(self, text: str, width: int) -> str:
        """Cut text in its middle to a number of cells, because addresses differ at their ends, or fill it up."""
        if not text.isascii():
            text = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        text = set_cell_size(self._cut(text, width), width)
        if any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in text):
            # Else a terminal that supports right-to-left text would move the numbers next to such a name.
            return f"{_ISOLATE}{text}{_END_OF_ISOLATE}"
        return text

    def _cut(self, text: str, width: int) -> str:
        if cell_len(text) <= width:
            return text
        dots = "…" if self._has("…") else "..."
        head = set_cell_size(text, (width - len(dots)) // 3)
        tail = text[-1 - width :]
        while cell_len(tail) > width - len(dots) - cell_len(head):
            tail = tail[1:]
        return f"{head}{dots}{tail}"

    def _has(self, text: str) -> bool:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True


def draw_text(summary: SessionSummary, screen: Screen) -> Iterator[Text]:
    """Return the picture, line by line."""
    yield Text(f"Session {printable(summary.session.id)}", "bold")
    for name, value in describe_facts(summary):
        yield _fact(name, value, summary, screen)
    if source := describe_source(summary):
        yield Text()
        yield from (Text(line, "yellow") for line in textwrap.wrap(source, screen.width))
    if summary.series:
        yield Text()
        yield from _chart(summary, screen)
    for table in make_tables(summary):
        yield Text()
        yield from _table(table, screen)


def _fact(name: str, value: str, summary: SessionSummary, screen: Screen) -> Text:
    line = Text().append(f"  {screen.fit(name, 11)}  ", "dim")
    style = ""
    if name == "bot score" and summary.session.bot_score is not None:
        style = "bold red" if summary.session.bot_score >= BOT_SCORE else "green"
    return line.append(screen.fit(value, screen.width - 15).rstrip(), style)


def _chart(summary: SessionSummary, screen: Screen) -> Iterator[Text]:
    caption = screen.fit(f": {describe_columns(summary)}", screen.width - len(_CHART_TITLE)).rstrip()
    yield Text(_CHART_TITLE, "bold").append(caption, "not bold")
    yield Text(f"  {'':{_LABEL}} {'events':>{_COUNT}}  {'':{len(summary.everything.columns)}}  peak", "dim")
    for series in summary.series:
        yield _sparkline(series, screen, "cyan")
    if len(summary.series) > 1:
        yield _sparkline(summary.everything, screen, "bold")
    if any(summary.openings):
        marks = "".join(screen.mark if count else " " for count in summary.openings)
        yield _row("pages opened", sum(summary.openings), screen).append(marks.rstrip(), "magenta")
    yield _axis(summary)


def _sparkline(series: Series, screen: Screen, style: str) -> Text:
    peak, levels = max(series.columns), screen.levels
    # Rounded up, so that a single event is visible next to thousands.
    blocks = "".join(levels[-(-count * 8 // peak)] if peak else levels[0] for count in series.columns)
    return _row(series.name, series.total, screen).append(blocks, style).append(f"  {peak:,}", "dim")


def _row(name: str, total: int, screen: Screen) -> Text:
    return Text(f"  {screen.fit(printable(name), _LABEL)} {total:>{_COUNT},}  ")


def _axis(summary: SessionSummary) -> Text:
    start, end = (clock(time_ms or 0, summary) for time_ms in (summary.start_ms, summary.end_ms))
    room = len(summary.everything.columns) - len(start) - len(end)
    text = f"{start}{' ' * room}{end}" if room > 0 else start
    return Text(f"{'':{_LABEL + _COUNT + 5}}{text}", "dim")


def _table(table: SummaryTable, screen: Screen) -> Iterator[Text]:
    title = Text(screen.fit(table.title, screen.width).rstrip(), "bold")
    if not table.columns:
        yield title
        return
    yield title.append(f" ({table.note})" if table.note else "", "not bold dim")
    widths = [max(map(cell_len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    widths = [min(width, _CELL) for width in widths[:-1]] + widths[-1:]
    widths[-1] = min(widths[-1], screen.width - sum(widths[:-1]) - 2 * len(widths))
    yield Text(_cells(table.columns, widths, screen), "dim")
    for row in table.rows:
        yield Text(_cells(row, widths, screen))


def _cells(row: tuple[str, ...], widths: list[int], screen: Screen) -> str:
    return "".join(f"  {screen.fit(cell, width)}" for cell, width in zip(row, widths, strict=True)).rstrip()
