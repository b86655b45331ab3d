"""What each command shows: tables on a terminal 80 columns wide, JSON in a pipe, and its words on stderr."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from typing import Any

import pytest
from rich.cells import cell_len

from isnotai_async._cli import main
from tests.command import run_command

COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "sessions": (["sessions", "--limit", "3"], ["id", "created", "status", "bot", "user", "name"]),
    "session": (["session", "big-9"], ["id", "created_at", "bot_score", "user_name", "user_url"]),
    "users": (["users", "--limit", "3"], ["id", "sessions", "bots", "mean", "risk", "last seen (UTC)", "name"]),
    "sessions of a user": (["sessions", "--user", "u-1012"], ["id", "created", "status", "user", "u-1012"]),
    "events": (["events", "big-50"], ["time (UTC)", "2026-06-04 12:00:00.002", "keypress"]),
    "health": (["health"], ["status", "healthy"]),
    "whoami": (["whoami"], ["integration.data.apiKeyMasked"]),
    "courses": (["courses"], ["courseId", "sessionCount", "física-2"]),
    "analytics": (
        ["analytics"],
        ["summary.total_sessions", "browser_counts.Safari", "with user", "bot %", "https://learn"],
    ),
    "stats": (["stats"], ["data.sessions", "data.events"]),
    "usage": (["usage"], ["period", "ApiCalls", "BotAnalyses", "total"]),
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "REGION", "BASE_URL"):
        monkeypatch.delenv(f"ISNOTAI_{name}", raising=False)


def sit_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_terminal_gets_a_table_that_fits_it(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sit_at_a_terminal(monkeypatch)
    argv, shows = COMMANDS[name]

    assert main([*argv, "--sandbox"]) == 0

    said = capsys.readouterr()
    assert said.err == ""
    assert all(text in said.out for text in shows)
    assert all(cell_len(line) <= 80 for line in said.out.splitlines())
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
        json.loads(said.out)


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_one_document_and_jsonl_the_same_records_a_line_each(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sit_at_a_terminal(monkeypatch)
    argv, _ = COMMANDS[name]

    def written(*options: str) -> str:
        assert main([*argv, "--sandbox", *options]) == 0
        return capsys.readouterr().out

    document = written("--json")
    assert document == written("--format", "json")
    assert document.isascii()
    found = json.loads(document)
    lines = written("--format", "jsonl")
    assert [json.loads(line) for line in lines.splitlines()] == (found if isinstance(found, list) else [found])
    assert ": " not in lines.partition("http")[0][:40]  # one style: no spaces
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert [json.loads(line) for line in written().splitlines()] == [json.loads(line) for line in lines.splitlines()]


@pytest.mark.parametrize("name", COMMANDS)
def test_csv_is_a_head_and_rows_of_the_same_width(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv, _ = COMMANDS[name]
    assert main([*argv, "--sandbox", "--format", "csv"]) == 0

    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def test_fields_choose_and_order_whatever_the_form_is(capsys: pytest.CaptureFixture[str]) -> None:
    def written(*options: str) -> str:
        assert main(["sessions", "--sandbox", "--limit", "1", "--fields", "status,id", *options]) == 0
        return capsys.readouterr().out

    assert list(json.loads(written())) == ["status", "id"]
    assert list(json.loads(written("--json"))[0]) == ["status", "id"]
    assert written("--format", "csv").splitlines()[0] == "status,id"
    assert written("--format", "table").splitlines()[0].split() == ["status", "id"]
    assert main(["analytics", "--sandbox", "--fields", "summary.total_sessions"]) == 0
    assert capsys.readouterr().out == '{"summary.total_sessions":40}\n'


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["sessions", "--fields", "idd"], "--fields: there is no field 'idd'; the fields are: id, created_at"),
        (["events", "big-3", "--fields", "time"], "the fields are: region, session_id, event_id"),
        (["stats", "--fields", "x"], "the fields are: data"),
        (["courses", "--fields", "x"], "the fields are: courseId"),
        (["users", "--json", "--format", "csv"], "--json is --format json, and there is --format csv"),
        (["sessions", "--user", "u-1012", "--bot-only"], "--user lists all sessions of a user"),
    ],
    ids=str,
)
def test_output_that_cannot_be_is_a_usage_error(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--sandbox"]) == 2
    assert says in capsys.readouterr().err


def test_no_value_of_a_users_row_is_cut_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sit_at_a_terminal(monkeypatch)
    assert main(["users", "--sandbox"]) == 0
    table = capsys.readouterr().out
    assert main(["users", "--sandbox", "--json"]) == 0

    for user in json.loads(capsys.readouterr().out):
        row = next(line for line in table.splitlines() if line.startswith(user["user_id"]))
        for value in (user["session_count"], user["risk_level"], user["last_seen"][:10]):
            assert str(value) in row
        assert user["user_name"] is None or row.endswith(user["user_name"])


def test_a_real_terminal_of_80_columns_shows_a_table() -> None:
    # In a process of its own: a terminal is a property of one.
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
    command = ["analytics", "--sandbox"]
    done = run_command(command, stdout=theirs, stderr=subprocess.PIPE, env=environment, check=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # the end of a terminal, on Linux
            break
    os.close(ours)

    assert done.stderr == b""
    assert b"summary.total_sessions" in shown
    assert max(map(len, shown.decode().splitlines())) <= 80


def test_filters_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*argv: str) -> list[dict[str, Any]]:
        assert main([*argv, "--sandbox"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [user["user_name"] for user in told("users", "--search", "SOUZA", "--page-size", "1")] == ["Ana Souza"]
    assert len(told("sessions", "--user", "u-1000", "--limit", "2")) == 2
    assert len(told("courses", "--limit", "1")) == 1
    (analytics,) = told("analytics", "--period", "24h", "--group-by", "hour")
    assert (analytics["period"], len(analytics["time_series"])) == ("24h", 25)
    (usage,) = told("usage", "--metric", "events", "--since", "2026-06-08", "--until", "2026-06-08")
    assert (usage["start_date"], usage["end_date"], list(usage["totals"])) == ("2026-06-08", "2026-06-08", ["Events"])


def test_a_plain_day_counts_whole_for_events_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "big-50", "--sandbox", "--start", "2026-06-04", "--end", "2026-06-04"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 50
    assert main(["events", "big-50", "--sandbox", "--end", "2026-06-03"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["--limit=-1", "--page-size=0"])
def test_numbers_that_cannot_be_are_told_by_the_option_that_has_them(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["users", "--sandbox", option]) == 2

    said = " ".join(capsys.readouterr().err.replace("│", " ").replace('"', "").split())
    assert f"for {option.partition('=')[0]}. Must be >=" in said
    assert "max_items" not in said


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["usage", "--metric", "x"], "metric must be ApiCalls"),
        (["sessions", "--user", ".."], "--user '..' would point at another path"),
        (["stats", "--base-url", "http://127.0.0.1:9"], "--sandbox brings its own address; leave out --base-url"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_a_usage_error(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--sandbox"]) == 2
    assert says in capsys.readouterr().err


def test_an_address_in_the_environment_does_not_matter_to_a_sandbox(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISNOTAI_BASE_URL", "http://127.0.0.1:9")

    assert main(["stats", "--sandbox"]) == 0
    assert main(["health"]) == 4
    assert "cannot connect to 127.0.0.1:9" in capsys.readouterr().err


def test_an_empty_list_from_before_the_history_window_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "--sandbox", "--since", "2001-01-01"]) == 0

    said = capsys.readouterr()
    assert said.out == ""
    interval, warning, empty = said.err.splitlines()
    assert empty == "isnotai: no session matches; the sandbox has only 2026-06-04 to 2026-06-10"
    assert interval == "sessions created from 2001-01-01 00:00:00 (UTC)"
    assert warning.startswith("isnotai: warning: nothing was found, and --since 2001-01-01T00:00:00.000000Z is")
    assert "the history window of the enterprise tier: up to 7 years" in said.err
