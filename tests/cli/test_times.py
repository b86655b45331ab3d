"""Times as people write them, with the clock given."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from isnotai_async._cli import main
from isnotai_async._cli.times import describe_interval, read_time
from isnotai_async.errors import ConfigError

NOW = datetime(2026, 6, 10, 12, 30, 15, 999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("7d", "2026-06-03 12:30:15", "2026-06-03 12:30:15"),
        ("12h", "2026-06-10 00:30:15", "2026-06-10 00:30:15"),
        ("30m", "2026-06-10 12:00:15", "2026-06-10 12:00:15"),
        ("2w", "2026-05-27 12:30:15", "2026-05-27 12:30:15"),
        ("now", "2026-06-10 12:30:15", "2026-06-10 12:30:15"),
        ("yesterday", "2026-06-09 00:00:00", "2026-06-09 23:59:59.999"),
        ("today", "2026-06-10 00:00:00", "2026-06-10 23:59:59.999"),
        ("2026-06-01", "2026-06-01 00:00:00", "2026-06-01 23:59:59.999"),
        ("2026-06-01T12:00:00+02:00", "2026-06-01 10:00:00", "2026-06-01 10:00:00"),
        ("1781092800000", "2026-06-10 12:00:00", "2026-06-10 12:00:00"),
    ],
)
def test_a_day_counts_whole_and_everything_else_is_an_instant(text: str, start: str, end: str) -> None:
    first, last = read_time(text, "--start", now=NOW), read_time(text, "--end", is_end=True, now=NOW)
    assert describe_interval("events", first, last) == f"events from {start} to {end} (UTC)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("soon", "--start 'soon' is no time; write 7d or 12h"),
        ("7 d", "is no time"),
        ("-7d", "is no time"),
        ("999999w", "is no time"),
        ("2026-06-10T12:00:00", "has no time zone"),
        ("20260610", "looks like a day"),
        ("1781092800", "looks like seconds"),
        ("99999999999999999", "is no time"),
    ],
)
def test_what_is_no_time_is_an_error_in_words(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_time(text, "--start", now=NOW)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["events", "big-3", "--start", "2026-06-04"], "events from 2026-06-04 00:00:00 (UTC)\n"),
        (["sessions", "--until", "2026-06-04"], "sessions created to 2026-06-04 23:59:59.999 (UTC)\n"),
        (["usage", "--since", "2026-06-04"], "consumption from 2026-06-04 00:00:00 (UTC)\n"),
    ],
    ids=str,
)
def test_the_interval_that_was_understood_is_said(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--sandbox"]) == 0
    assert capsys.readouterr().err == says
