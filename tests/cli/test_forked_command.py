"""The command that most tests run is forked and not started: it is as Python would have made it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import Command, in_shell, run_command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux the command is forked")

# It writes to a file, because its streams may be closed.
LOOK = """
import json, os, signal, sys
def look(stream):
    if stream is None: return None
    made = [stream.encoding, stream.errors, stream.line_buffering, stream.write_through]
    return [type(stream.buffer).__name__, *made, stream.isatty(), stream.fileno()]
seen = {
    "streams": [look(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "originals": [sys.__stdin__ is sys.stdin, sys.__stdout__ is sys.stdout, sys.__stderr__ is sys.stderr],
    "files": sorted(os.listdir("/proc/self/fd")),
    "threads": len(os.listdir("/proc/self/task")),
    "folder": os.getcwd(),
    "environment": {name: value for name, value in os.environ.items() if name != "_"},
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "argv": sys.argv[1:],
}
with open("seen.json", "w") as file: json.dump(seen, file)
"""
BARE = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONUNBUFFERED")}


def read(folder: Path) -> dict[str, Any]:
    file = folder / "seen.json"
    seen: dict[str, Any] = json.loads(file.read_text())
    file.unlink()
    return seen


@pytest.mark.parametrize(
    "line",
    [
        "IT", "IT >&-", "IT 2>&-", "IT <&- >&- 2>&-", "IT | cat", "IT </dev/null >/dev/full", "PYTHONUNBUFFERED=1 IT",
        "PYTHONUNBUFFERED=1 IT >&-", "PYTHONIOENCODING=ascii IT", "PYTHONIOENCODING=cp1252:replace IT",
    ],
)  # fmt: skip
def test_in_a_shell_it_is_that_of_python(line: str, tmp_path: Path) -> None:
    seen = []
    for command in (f"{sys.executable} -c '{LOOK}'", in_shell(LOOK)):
        script = line.replace("IT", f"{command} a 'b c'")
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=BARE, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        seen.append(read(tmp_path))

    assert seen[0] == seen[1]


def test_at_a_terminal_it_is_that_of_python(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    options: dict[str, Any] = {"stdout": theirs, "stderr": subprocess.PIPE, "cwd": tmp_path, "env": BARE | {"A": "1"}}
    subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=60, **options)
    started = read(tmp_path)
    with Command([], program=LOOK, **options) as process:
        assert (process.communicate(), process.returncode) == ((None, b""), 0)
    os.close(theirs)
    os.close(ours)

    assert read(tmp_path) == started
    assert started["environment"]["A"] == "1"


def test_it_has_its_own_exit_codes_and_signals() -> None:
    assert run_command(["7"], program="import sys; sys.exit(int(sys.argv[1]))").returncode == 7
    ready = "print('ready', flush=True); import time; time.sleep(60)"
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, -2)):
        with Command([], program=ready, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(number)
        assert process.returncode == code


def test_what_a_fork_would_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="does not have umask"):
        Command([], umask=0o077)


def test_it_is_the_command() -> None:
    done = run_command(["sessions", "--sandbox", "--format", "csv"], capture_output=True, text=True)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 41)


def test_two_of_one_pipe_run_at_the_same_time_although_the_reader_starts_first(tmp_path: Path) -> None:
    reads = in_shell("import sys; open('started', 'w').close(); print(len(sys.stdin.read()))")
    writes = in_shell("print('x' * 100_000)")
    line = f"(until [ -e started ]; do :; done; {writes}) | {reads}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, timeout=30, check=True)
    assert done.stdout == b"100001\n"
