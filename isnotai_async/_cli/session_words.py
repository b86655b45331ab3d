"""The texts of a session's picture, the same in the terminal and in the HTML page: facts, captions and tables.

All texts are escaped by `printable`, so that the data cannot control a terminal or change the direction of a line.
They are not HTML: the page escapes them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from isnotai_async._cli.output import count_of
from isnotai_async._cli.session_summary import PAUSE_MS, Runs, SessionSummary, Source, total_of
from isnotai_async._models.times import to_milliseconds, to_time
from isnotai_async.errors import printable

BOT_SCORE: Final = 0.7
"""The API counts a session with this score or more as a bot."""

MOST_VISITS: Final = 20
_SHORT_MS: Final = 10_000
_FULL: Final = "%Y-%m-%d %H:%M:%S"


@frozen
class SummaryTable:
    """A table under the picture. All columns but the last hold numbers or times.

    Attributes:
        title: What it shows.
        columns: Heads of its columns; none if the title says it all.
        rows: Its cells.
        note: What it leaves out, or an empty string.
        is_long: Whether its last column holds long texts, such as addresses.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""
    is_long: bool = False


def describe_facts(summary: SessionSummary) -> list[tuple[str, str]]:
    """Return the known facts of the session, as names and values."""
    session = summary.session
    facts = [
        ("user", _name_user(session.user_name, session.user_id)),
        ("user's page", _text(session.user_url)),
        ("browser", _text(session.user_agent_summary)),
        ("status", _text(session.status)),
        ("when", _describe_time(summary)),
        ("how long", _describe_length(summary)),
        ("bot score", _describe_score(session.bot_score)),
        ("flags", ", ".join(map(_text, session.detection_flags)) or "none"),
        ("pages", _describe_pages(summary)),
        ("events", _describe_count(summary)),
        ("by kind", _describe_kinds(summary)),
    ]
    return [(name, value) for name, value in facts if value]


def describe_source(summary: SessionSummary) -> str:
    """Return the source of the picture if it was not drawn from all events; else an empty string."""
    match summary.source:
        case Source.TIMELINE:
            return (
                "Drawn from the timeline of the session's details, without reading the events: a row shows the "
                "stretches in which its type is the most frequent. --full reads all events."
            )
        case Source.FIRST_EVENTS:
            return f"Drawn from the first {summary.total:,} events; more follow. --full reads all events."
        case _:
            return "" if summary.details is not None else "The API could not compute the session's details (503)."


def describe_columns(summary: SessionSummary) -> str:
    """Return the meaning of a column of the picture."""
    if summary.start_ms == summary.end_ms:
        return "all events at one instant"
    return f"a column is {length(summary.column_ms)}, each row has a scale of its own"


def make_tables(summary: SessionSummary) -> list[SummaryTable]:
    """Return the tables that are shown under the picture."""
    tables = [_busiest(summary)]
    if summary.bursts is not None and summary.pauses is not None:
        tables += [_bursts(summary, summary.bursts), _pauses(summary, summary.pauses)]
    if summary.details is not None:
        tables.append(_visits(summary))
    return tables


def clock(time_ms: int, summary: SessionSummary) -> str:
    """Return a time (UTC) as exact as the session needs: with the day if it has several, to the ms if it is short."""
    start_ms, end_ms = summary.start_ms or 0, summary.end_ms or 0
    try:
        moment, first, last = map(to_time, (time_ms, start_ms, end_ms))
    except OverflowError:
        return f"{time_ms} ms"
    if not first.year == last.year == moment.year:
        return f"{moment:{_FULL}}"
    if not first.date() == last.date() == moment.date():
        return f"{moment:%m-%d %H:%M:%S}"
    is_short = end_ms - start_ms < _SHORT_MS
    return f"{moment:%H:%M:%S}" + (f".{moment.microsecond // 1_000:03d}" if is_short else "")


def length(milliseconds: float) -> str:
    """Return a length of time in at most two units."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.1f}".removesuffix(".0") + " s"
    left, parts = round(milliseconds / 1_000), list[tuple[int, str]]()
    for name, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count:,} {name}" for count, name in parts[:2] if count)


def _text(value: str | None) -> str:
    return "" if value is None else printable(value)


def _name_user(name: str | None, user_id: str | None) -> str:
    if name is None or user_id is None:
        return _text(name or user_id)
    return f"{_text(name)} ({_text(user_id)})"


def _describe_score(score: float | None) -> str:
    if score is None:
        return "not known"
    return f"{score:.2f}, {'a bot' if score >= BOT_SCORE else 'below the score of a bot'} ({BOT_SCORE} and above)"


def _describe_time(summary: SessionSummary) -> str:
    details, session = summary.details, summary.session
    start = session.created_at if details is None else details.start_time
    end = session.updated_at if details is None else details.end_time
    is_one_day = start is not None and end is not None and start.date() == end.date()
    return f"{_moment(start)} to {_moment(end, '%H:%M:%S' if is_one_day else _FULL)} UTC"


def _moment(moment: datetime | None, form: str = _FULL) -> str:
    return "?" if moment is None else moment.strftime(form)


def _describe_length(summary: SessionSummary) -> str:
    details = summary.details
    if details is not None and details.duration_seconds is not None:
        return length(details.duration_seconds * 1_000)
    if summary.start_ms is None or summary.end_ms is None:
        return ""
    return length(summary.end_ms - summary.start_ms)


def _describe_pages(summary: SessionSummary) -> str:
    visits = () if summary.details is None else summary.details.page_history
    if not visits:
        return _text(summary.session.page_url)
    different = len({visit.url for visit in visits})
    return f"{len(visits):,} opened, {different:,} different"


def _describe_count(summary: SessionSummary) -> str:
    reported = total_of(summary.details)
    if summary.source is Source.TIMELINE:
        return f"{summary.total:,}, as the session's details report"
    if summary.details is None or reported == summary.total:
        return f"{summary.total:,}"
    return f"{summary.total:,} listed; the session's details report {reported:,}"


def _describe_kinds(summary: SessionSummary) -> str:
    counts = None if summary.details is None else summary.details.event_counts
    kinds = {name: getattr(counts, name, None) for name in ("mouse", "scroll", "keyboard", "touch", "form")}
    return ", ".join(f"{name} {count:,}" for name, count in kinds.items() if count)


def _busiest(summary: SessionSummary) -> SummaryTable:
    busiest = summary.busiest
    if busiest is None:
        return SummaryTable("No events")
    which = f"stretch of {length(busiest.length_ms)}" if summary.source is Source.TIMELINE else "minute"
    when = clock(busiest.start_ms, summary)
    return SummaryTable(f"Busiest {which} from {when}: {count_of(busiest.events, 'event')}")


def _bursts(summary: SessionSummary, bursts: Runs) -> SummaryTable:
    rows = tuple(
        (
            clock(each.start_ms, summary),
            length(each.length_ms),
            f"{each.events:,}",
            f"{each.events * 1_000 / each.length_ms:,.1f}" if each.length_ms else "-",
        )
        for each in bursts.largest
    )
    title = f"{count_of(bursts.count, 'burst')} of activity, {length(bursts.length_ms)} together"
    return SummaryTable(title, ("from", "for", "events", "a second"), rows, _rest(bursts.count, rows, "largest"))


def _pauses(summary: SessionSummary, pauses: Runs) -> SummaryTable:
    least = length(PAUSE_MS)
    if not pauses.count:
        return SummaryTable(f"No pause of {least} or more")
    rows = tuple((clock(each.start_ms, summary), length(each.length_ms)) for each in pauses.largest)
    title = f"{count_of(pauses.count, 'pause')} of {least} or more, {length(pauses.length_ms)} together"
    return SummaryTable(title, ("from", "for"), rows, _rest(pauses.count, rows, "longest"))


def _visits(summary: SessionSummary) -> SummaryTable:
    visits = () if summary.details is None else summary.details.page_history
    if not visits:
        return SummaryTable("No page history")
    rows = tuple(
        (
            "?" if visit.timestamp is None else clock(to_milliseconds(visit.timestamp), summary),
            "-" if visit.duration_ms is None else length(visit.duration_ms),
            _text(visit.type) or "-",
            _text(visit.url) or "-",
        )
        for visit in visits[:MOST_VISITS]
    )
    note = _rest(len(visits), rows, "first")
    return SummaryTable("Page history", ("opened", "for", "type", "page"), rows, note, is_long=True)


def _rest(count: int, rows: Sequence[object], which: str) -> str:
    return f"the {which} {len(rows)} of {count:,}" if count > len(rows) else ""
