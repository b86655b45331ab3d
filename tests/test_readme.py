"""The README: its programs run and print what it says, and so does its command."""

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Command, run_command

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", README, re.DOTALL)
CONSOLES = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
SECONDS = re.compile(r"\d+\.\d s\b")
COUNT = re.compile(r"\d+\.\d s\b|(?<=requests  )[\d,]+|[\d,]+(?= rows)")  # what differs from run to run


@pytest.mark.parametrize(("program", "output"), PROGRAMS, ids=[str(number) for number in range(len(PROGRAMS))])
def test_each_program_runs_and_prints_what_is_shown(
    program: str, output: str, run_program: Callable[[str], tuple[str, str]]
) -> None:
    assert run_program(program) == (output, "")


def test_the_first_program_is_one_of_ten_lines() -> None:
    assert len([line for line in PROGRAMS[0][0].splitlines() if line.strip()]) <= 10


def test_the_command_prints_what_is_shown(tmp_path: Path) -> None:
    command, said, requests, look, *rows = CONSOLES[1].splitlines()
    assert command.startswith("$ isnotai ")
    arguments = shlex.split(command.partition(" isnotai ")[2])

    done = run_command(arguments, cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")
    lines = [line for line in done.stderr.splitlines() if "requests/min" not in line]  # how far it is, if it is slow
    assert [SECONDS.sub("", line) for line in lines] == [SECONDS.sub("", line) for line in (said, requests)]
    assert look == "$ head -n 2 events.jsonl"
    assert (tmp_path / "events.jsonl").read_text().splitlines()[:2] == rows


EMPTY_STORE = 100_000  # bytes, at most


def run_until_it_commits(arguments: list[str], folder: Path) -> str:
    """Run a command; interrupt it when the first rows are in its store. Returns what it said."""
    with Command(arguments, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while not any(store.stat().st_size > EMPTY_STORE for store in folder.glob(".*.isnotai")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = str(process.communicate(timeout=60)[1])
    assert process.returncode == 130, said
    return said


def test_the_interrupted_export_says_what_is_shown_and_resumes(tmp_path: Path) -> None:
    interrupted, broken_off, command, *said = CONSOLES[2].splitlines()
    assert interrupted == f"$ timeout -s INT 4 {command.removeprefix('$ ')}"
    # How long it is does not matter, so it is a shorter one.
    arguments = [word.replace("big-300000", "big-150000") for word in shlex.split(command)[2:]]

    first = run_until_it_commits(arguments, tmp_path)
    done = run_command(arguments, cwd=tmp_path, capture_output=True, text=True)

    shown = [broken_off, *said]
    printed = f"{first}{done.stderr}".replace("150,000 events", "300,000 events").replace("24.6 MB", "49.2 MB")
    lines = [line for line in printed.splitlines() if "requests/min" not in line]  # how far it is
    assert [COUNT.sub("", line) for line in lines] == [COUNT.sub("", line) for line in shown]
    assert COUNT.findall(lines[0]) == COUNT.findall(lines[2])
    assert COUNT.findall(shown[0]) == COUNT.findall(shown[2])


def test_the_test_command_is_the_one_that_runs_these() -> None:
    export, tests = CONSOLES[3].splitlines()
    assert export == f"$ pip install uv && uv run --extra cli {CONSOLES[1].splitlines()[0].removeprefix('$ ')}"
    assert tests == "$ pip install uv && uv run pytest"
    assert "pip install --quiet uv && uv run pytest" in (ROOT / ".ci" / "run").read_text()


def test_every_link_leads_to_a_heading() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(#([^)]+)\)", README):
        assert target in headings


def test_the_figures_are_those_of_the_saved_run() -> None:
    section = README.partition("## What it costs")[2].partition("\n## ")[0]
    heads = ("| target", "| client")
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith(heads)]
    results = (ROOT / "benchmarks" / "results" / "results.md").read_text(encoding="utf-8").splitlines()

    assert len(rows) >= 6
    assert set(rows) <= set(results)
