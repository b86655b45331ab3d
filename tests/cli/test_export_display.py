"""How far an export is: on a terminal, in a log, and in numbers."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

import pytest
from attrs import evolve
from rich.cells import cell_len

from isnotai_async._cli.progress import describe
from isnotai_async.export import ExportProgress
from tests.command import Command

WORD = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")  # what steers a terminal
COLOUR = re.compile("\x1b\\[[0-9;]*m")
BEGIN = ExportProgress(
    rows=0,
    size=0,
    sessions_taken=0,
    sessions_done=0,
    sessions_failed=0,
    sessions=400,
    requests=0,
    rate=0,
    quota=None,
    waited=0.0,
    waiting=0.0,
    reason="",
    elapsed=0.0,
)
UNDER_WAY = evolve(BEGIN, rows=55_000, sessions_done=100, requests=500, rate=500, quota=600, elapsed=20.0)


def watch(out: Path, *options: str, columns: int = 80, **environment: str) -> str:
    """Run the real command at a terminal, and return all that it showed."""
    # In a process of its own: a terminal is a property of one.
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    argv = ["export", "--sandbox", "--session", "big-9000", "--session", "big-100", "--out", str(out), *options]
    with Command(argv, stderr=theirs, env={**inherited, "TERM": "xterm-256color", **environment}) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # the end of a terminal, on Linux
                break
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def test_on_a_terminal_of_80_columns_nothing_is_cut(tmp_path: Path) -> None:
    shown = watch(tmp_path / "o.jsonl")

    lines = [line.rstrip() for line in WORD.sub("", shown).replace("\r", "\n").splitlines()]
    lines = lines[: next(number for number, line in enumerate(lines) if line.startswith("exported"))]
    assert max(map(cell_len, lines)) <= 80
    assert "…" not in shown
    assert any(line.endswith("of 2 sessions 0:00:00") for line in lines)
    assert any(re.fullmatch(r"[\d,]+ rows \([\d,]+/s\), [\d,]+ of 6,000 requests/min", line) for line in lines)
    assert COLOUR.search(shown)


def test_no_color_means_none(tmp_path: Path) -> None:
    shown = watch(tmp_path / "o.jsonl", NO_COLOR="1")

    assert " rows (" in shown
    assert not COLOUR.search(shown)


def test_quiet_means_nothing_at_all(tmp_path: Path) -> None:
    assert watch(tmp_path / "o.jsonl", "--quiet") == ""


def test_what_is_left_is_guessed_by_the_quota_and_not_by_the_burst_of_the_first_minute() -> None:
    assert describe(UNDER_WAY, BEGIN) == (
        "100 of 400 sessions, 55,000 rows (2,750/s), 500 of 600 requests/min, 0:02:30 left"
    )


@pytest.mark.parametrize(
    "progress",
    [evolve(UNDER_WAY, quota=None), evolve(UNDER_WAY, rate=700), evolve(UNDER_WAY, requests=50)],
    ids=["not known", "not kept to", "not what it waits for"],
)
def test_where_the_quota_does_not_matter_the_time_so_far_tells_what_is_left(progress: ExportProgress) -> None:
    assert describe(progress, BEGIN).endswith("0:01:00 left")


def test_where_nobody_knows_nothing_is_guessed() -> None:
    assert "left" not in describe(evolve(UNDER_WAY, sessions=None), BEGIN)
    assert "left" not in describe(UNDER_WAY, UNDER_WAY)
    assert "left" not in describe(evolve(UNDER_WAY, sessions_done=400), BEGIN)


def test_waits_and_failures_are_told_without_what_could_steer_a_terminal() -> None:
    progress = evolve(UNDER_WAY, sessions_failed=2, waiting=12.3, reason="quota\x1b[31m")
    assert ", 2 failed, waiting 12 s: quota\\x1b[31m, " in describe(progress, BEGIN)
