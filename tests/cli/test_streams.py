"""stdout and stderr that take a part, nothing, or are closed: all rows arrive, or the command fails and says so."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command import Command, in_shell, run_command

BARE = {name: value for name, value in os.environ.items() if not name.startswith(("ISNOTAI_", "PYTHONUNBUFFERED"))}
# One of each way to write; the other reading commands write as `sessions` and `whoami` do.
WAYS = [
    "whoami --sandbox", "sessions --sandbox", "events big-500 --sandbox", "show big-9 --sandbox",
    "export --sandbox --session big-9 --out o.jsonl --json",
    "export --sandbox --session big-9 --out o.csv --estimate",
    "sandbox", "completion bash", "events --help", "--version",
]  # fmt: skip


def shell(
    command: str, *, place: Path, environment: Mapping[str, str] | None = None, code: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash, with ISNOTAI for the command; check its exit code if one is given."""
    line = command.replace("ISNOTAI", in_shell())
    environment = BARE | dict(environment or {})
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env=environment, cwd=place, timeout=60, check=False
    )
    assert code is None or done.returncode == code, (done.returncode, done.stderr)
    return done


def read_slowly(command: str, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """Run a command with a stdout that takes what fits and no more; return its exit code and what arrived."""
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4_096)
    os.set_blocking(theirs, False)
    process = Command(command.split(), stdout=theirs, env=BARE | dict(environment))
    os.close(theirs)
    came = bytearray()
    with process:
        while chunk := os.read(ours, 4_096):
            came += chunk
            time.sleep(0.001)  # slower than whatever writes 400 bytes at a time
    os.close(ours)
    return process.returncode, bytes(came)


@pytest.mark.parametrize(
    ("command", "count", "unbuffered"),
    [("events big-5000 --sandbox", 5_000, ""), ("sessions --sandbox", 40, "1")],
    ids=["events, buffered", "sessions, unbuffered"],
)
def test_all_rows_go_through_a_pipe_that_does_not_block(command: str, count: int, unbuffered: str) -> None:
    code, came = read_slowly(command, {"PYTHONUNBUFFERED": unbuffered})

    lines = came.splitlines()
    assert (code, len(lines)) == (0, count)
    assert all(json.loads(line) for line in lines)


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [("events big-100 --sandbox", ""), ("sessions --sandbox", "1"), ("export --help", "1")],
    ids=["events, buffered", "sessions, unbuffered", "help, unbuffered"],
)
def test_a_limit_on_the_size_of_files_is_an_error(command: str, unbuffered: str, tmp_path: Path) -> None:
    unit = 1 if "help" in command else 8  # KiB
    done = shell(
        f"ulimit -f {unit}; {sys.executable} -m isnotai_async {command} > o",
        place=tmp_path,
        # Python would cut its files of bytecode at the limit too, and other processes would read them.
        environment={"PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"},
        code=1,
    )
    assert done.stderr == b"isnotai: cannot write to stdout: File too large\n"


@pytest.mark.parametrize("command", WAYS)
def test_a_full_disk_under_stdout_is_an_error(command: str, tmp_path: Path) -> None:
    done = shell(f"PYTHONUNBUFFERED=1 ISNOTAI {command} > /dev/full", place=tmp_path, code=1)
    assert done.stderr.splitlines()[-1] == b"isnotai: cannot write to stdout: No space left on device"


@pytest.mark.parametrize("command", WAYS[::3])
def test_a_closed_stdout_is_an_error_in_words(command: str, tmp_path: Path) -> None:
    done = shell(f"ISNOTAI {command} >&-", place=tmp_path, code=1)
    assert done.stderr.splitlines()[-1] == b"isnotai: cannot write to stdout: it is closed"
    assert b"Traceback" not in done.stderr


def test_a_closed_stdout_does_not_matter_to_an_export_that_says_nothing(tmp_path: Path) -> None:
    done = shell("ISNOTAI export --sandbox --session big-90 --out o.jsonl --quiet >&-", place=tmp_path, code=0)

    assert done.stderr == b""
    assert len((tmp_path / "o.jsonl").read_bytes().splitlines()) == 90


@pytest.mark.parametrize("ending", ["2>&-", "2>/dev/full", "2> >(exit)"], ids=["closed", "full", "reader gone"])
def test_words_that_stderr_does_not_take_are_nowhere(ending: str, tmp_path: Path) -> None:
    done = shell(f"ISNOTAI export --sandbox --session big-9 --out o.jsonl --json {ending}", place=tmp_path, code=0)
    assert json.loads(done.stdout)["rows"] == 9


@pytest.mark.parametrize(
    ("command", "code"), [("events none --sandbox 2>&-", 1), ("nonsense 2>&-", 2), ("nonsense 2>/dev/full", 2)]
)
def test_an_error_that_stderr_does_not_take_is_in_the_exit_code(command: str, code: int, tmp_path: Path) -> None:
    assert shell(f"ISNOTAI {command}", place=tmp_path, code=code).stdout == b""


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    line = "ISNOTAI export --sandbox --session big-90 --out o.jsonl --quiet <&- >&- 2>&-"
    assert shell(line, place=tmp_path, code=0).stdout == b""
    assert len((tmp_path / "o.jsonl").read_bytes().splitlines()) == 90


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_letters_that_the_terminal_lacks_are_escaped_and_the_table_fits(encoding: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = BARE | {"PYTHONIOENCODING": encoding, "COLUMNS": "80", "TERM": "dumb"}
    shown = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(ours, 65_536):
                shown.extend(chunk)
        except OSError:  # the end of a terminal, on Linux
            pass

    reader = threading.Thread(target=read)
    reader.start()
    done = run_command(["users", "--sandbox"], stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    reader.join(timeout=10)
    os.close(ours)

    assert (done.returncode, done.stderr) == (0, b"")
    lines = shown.decode(encoding).splitlines()
    assert any(r"\u0141ukasz " in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert len(lines) > 5


@pytest.mark.parametrize("command", ["--help", "events --help", "sessions --sandbox", "events big-100000 --sandbox"])
def test_a_reader_who_goes_away_ends_it_quietly(command: str, tmp_path: Path) -> None:
    done = shell(f"ISNOTAI {command} | head -n 1; echo ${{PIPESTATUS[0]}}", place=tmp_path, code=0)

    assert done.stdout.splitlines()[-1] == b"0"
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == b""
