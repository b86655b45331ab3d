"""Times as people write them, with the clock given."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isnotai_async._cli import main
from isnotai_async._cli.intervals import SANDBOX_DAYS, Clock
from isnotai_async._cli.times import read_time
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
    interval = Clock(NOW).read("events", ("--start", text), ("--end", text))
    assert str(interval) == f"events from {start} to {end} (UTC)"


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


CLOCK = "(UTC, by the sandbox's clock, which always shows 2026-06-10 12:00)"


@pytest.mark.parametrize(
    ("argv", "interval"),
    [
        (["sessions", "--since", "7d", "--limit", "1"], "sessions created from 2026-06-03 12:00:00"),
        (["events", "big-3", "--end", "today"], "events to 2026-06-10 23:59:59.999"),
        (["usage", "--since", "30d"], "consumption from 2026-05-11 12:00:00"),
        (["export", "--all", "--since", "yesterday"], "sessions created from 2026-06-09 00:00:00"),
        (["export", "--session", "big-3", "--start", "12d"], "events from 2026-05-29 12:00:00"),
        (["sync", "--since", "30d"], "sessions created from 2026-05-11 12:00:00"),
    ],
    ids=str,
)
def test_with_the_sandbox_relative_times_count_from_its_clock(
    argv: list[str], interval: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = {"export": ["--out", str(tmp_path / "o.jsonl")], "sync": ["--out", str(tmp_path / "o.db")]}
    assert main([*argv, "--sandbox", *out.get(argv[0], [])]) == 0
    said = capfd.readouterr().err
    assert f"{interval} {CLOCK}\n" in said
    assert "no session" not in said
    assert "no event" not in said


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["sessions", "--since", "2026-11-01"], "isnotai: no session matches"),
        (["events", "big-3", "--start", "2026-11-01"], "isnotai: no event matches"),
        (["export", "--all", "--since", "2026-11-01"], "isnotai: warning: there was no session to export"),
        (["export", "--session", "big-3", "--end", "2020-01-01"], "isnotai: warning: there was no event to export"),
    ],
    ids=str,
)
def test_what_is_empty_with_the_sandbox_says_which_days_it_has(
    argv: list[str], what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "o.jsonl")] if argv[0] == "export" else []
    assert main([*argv, "--sandbox", *out]) == 0
    assert f"{what}; the sandbox has only 2026-06-04 to 2026-06-10\n" in capfd.readouterr().err


def test_the_days_of_the_sandbox_are_those_of_its_data(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["sessions", "--sandbox", "--format", "jsonl"]) == 0
    days = {json.loads(line)["created_at"][:10] for line in capfdbinary.readouterr().out.splitlines()}
    assert f"{min(days)} to {max(days)}" == SANDBOX_DAYS


def test_a_usage_that_starts_after_the_sandboxs_now_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--sandbox", "--since", "2026-11-01"]) == 1
    assert "must not be after now, which is always 2026-06-10T12:00:00Z in the sandbox" in capsys.readouterr().err


def test_the_same_export_of_the_sandbox_with_a_relative_time_finds_its_receipt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["export", "--sandbox", "--all", "--since", "2d", "--out", str(tmp_path / "o.csv")]
    assert main(argv) == 0
    assert main(argv) == 0
    assert "rows were there from before" in capsys.readouterr().err
