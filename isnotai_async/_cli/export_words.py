"""What is said about an export before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from isnotai_async._cli.output import say, write_json
from isnotai_async._models.tiers import Tier
from isnotai_async.errors import printable, quoted
from isnotai_async.export import ExportEstimate, ExportReport

_MOST_FAILURES: Final = 20  # that are listed; --json has them all


def say_plan(sessions: int) -> None:
    """Say what so many sessions take at least; nobody was asked for this."""
    least = f"{_count(sessions, 'session')}, so {_count(sessions, 'request')} or more"
    if sessions < min(tier.requests_per_minute for tier in Tier):
        say(least)
        return
    each = ", ".join(f"{_minutes(sessions / tier.requests_per_minute)} on {tier}" for tier in reversed(Tier))
    say(f"{least}: by the quota, at least {each}")


def write_estimate(estimate: ExportEstimate, *, json: bool) -> None:
    """Write an estimate to stdout."""
    if json:
        write_json(estimate)
        return
    for name, value in _estimate_rows(estimate):
        print(f"{name:<18}{value}")


def _estimate_rows(estimate: ExportEstimate) -> Iterator[tuple[str, str]]:
    unknown = "not known before all are listed"
    yield "sessions", unknown if estimate.sessions is None else f"{estimate.sessions:,}"
    if not estimate.sampled:
        yield "events", "not known: none of the sessions that were looked at is there"
        return
    yield "events", f"about {estimate.events_each:,.0f} a session, by {estimate.sampled} of them"
    if estimate.events is not None:
        yield "", f"about {estimate.events:,} in all"
    yield "requests", f"about {estimate.pages_each:,.1f} a session"
    if estimate.pages is not None:
        yield "", f"about {estimate.pages:,} in all"
    if estimate.minutes is not None:
        yield "time", f"about {_minutes(estimate.minutes)} at the quota of tier {estimate.tier}"


def write_report(report: ExportReport) -> None:
    """Write what an export did to stdout, as JSON."""
    write_json({**attrs.asdict(report, recurse=False), "path": str(report.path)})


def say_report(report: ExportReport) -> None:
    """Say on stderr what an export did."""
    if report.is_complete:
        say(
            f"exported {_count(report.rows, 'event')} of {_count(report.sessions, 'session')} to "
            f"{printable(str(report.path))} "
            f"({report.size / 1e6:.1f} MB) in {report.elapsed:.1f} s"
        )
    if not report.sessions:
        say("isnotai: warning: there was no session to export")
    for name, value in _report_rows(report):
        say(f"  {name:<10}{value}")
    for failure in report.failures[:_MOST_FAILURES]:
        say(f"  {quoted(failure.session_id)} in {printable(failure.name)}: {failure.error}: {failure.message}")
    if len(report.failures) > _MOST_FAILURES:
        say(f"  … and {len(report.failures) - _MOST_FAILURES:,} more; --json lists all")


def _report_rows(report: ExportReport) -> Iterator[tuple[str, str]]:
    if report.resumed_rows:
        yield "resumed", f"{report.resumed_rows:,} rows were there from before"
    yield "requests", f"{report.requests:,}"
    if report.waited >= 0.05:
        yield "waited", f"{report.waited:.1f} s for the quota or before trying again"
    if report.failures:
        yield "failed", _count(len(report.failures), "session")


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return "a minute" if minutes > 0.5 else f"{max(1, round(minutes * 60))} s"
    return f"{minutes:,.0f} minutes" if minutes < 120 else f"{minutes / 60:,.1f} hours"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
