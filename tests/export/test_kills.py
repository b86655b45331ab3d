"""The real command: ``kill -9`` at any moment, real errors at real system calls, and a disk that is really full."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest

from isnotai_async.export.places import store_of
from tests.command import Command
from tests.export.faulty_system import names_in

EVENTS = 12_000

# The real command, but for commits each 20 ms, so that a short export has many.
PROGRAM = """
import sys
from isnotai_async._cli import main
from isnotai_async.export import runner
runner.COMMIT_SECONDS = 0.02
sys.exit(main(sys.argv[1:]))
"""


def command(out: Path, *options: str, events: int = EVENTS) -> list[str]:
    """An export out of a sandbox, which has the same data each time."""
    return ["export", "--sandbox", "--session", f"big-{events}", "--out", str(out), *options]


def start(out: Path, *options: str, events: int = EVENTS) -> Command:
    argv = command(out, *options, events=events)
    return Command(argv, program=PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(out: Path, *options: str) -> str:
    with start(out, *options) as process:
        words = str(process.communicate(timeout=50)[1])
    assert process.returncode == 0, words
    return words


def kill_at(process: Command, store: Path, size: int) -> bool:
    """Kill a process when its store has reached a size; return whether it was still running."""
    deadline = monotonic() + 40
    while process.poll() is None and monotonic() < deadline:
        if store.exists() and store.stat().st_size >= size:
            process.kill()
            break
        sleep(0.001)  # two processors have to do for both
    process.communicate()
    return process.returncode == -9


@pytest.mark.timeout(120)
def test_killed_again_and_again_it_makes_the_same_file(tmp_path: Path) -> None:
    whole, out, random = tmp_path / "whole.jsonl", tmp_path / "out.jsonl", Random(1)
    finish(whole)
    killed = sum(
        kill_at(start(out), store_of(out), size) for size in sorted(random.randrange(150_000, 350_000) for _ in "ab")
    )
    words = finish(out)

    assert out.read_bytes() == whole.read_bytes()
    assert names_in(tmp_path) == sorted([out.name, whole.name, store_of(out).name, store_of(whole).name])
    assert killed == 2
    assert "resumed" in words


def test_two_processes_on_one_target_exclude_each_other_and_a_dead_one_does_not(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with start(out, events=1_000_000) as first:
        while not (store_of(out).exists() and store_of(out).stat().st_size > 50_000):
            assert first.poll() is None
            sleep(0.01)
        with start(out) as second:
            _, words = second.communicate(timeout=50)
        assert second.returncode == 1
        assert "another export is writing" in words
        first.kill()
        first.communicate()
    finish(out, "--no-resume")
    assert len(out.read_bytes().splitlines()) == EVENTS


def run_traced(out: Path, inject: str, folder: Path) -> tuple[int, str]:
    """Run the command under strace, which makes a system call fail, or kills the process at it."""
    log = folder / "strace.log"
    traced = ["strace", "-f", "-qq", "-o", str(log), "-P", str(store_of(out)), "-P", f"{store_of(out)}-journal"]
    traced += ["-P", str(store_of(out)) + "-new", "-e", f"trace={inject.split(':')[0]}", "-e", f"inject={inject}"]
    done = subprocess.run(
        [*traced, sys.executable, "-c", PROGRAM, *command(out, events=2_000)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "inject",
    [
        "fdatasync:error=EIO:when=5",
        "pwrite64:error=ENOSPC:when=40",
        "pwrite64:signal=SIGKILL:when=45",
        "fsync:signal=SIGKILL:when=1",
    ],
)
def test_an_error_or_death_at_a_real_system_call_costs_no_row(tmp_path: Path, inject: str) -> None:
    out = tmp_path / "out.jsonl"
    code, words = run_traced(out, inject, tmp_path)
    assert code in ({1} if "error" in inject else {137, -9}), words
    if "ENOSPC" in inject:
        assert "the disk is full; " in words, "how much more the rows would take is not known"
    elif "error" in inject:
        assert "disk I/O error" in words, words
    assert not out.exists()
    with start(out, events=2_000) as process:
        _, words = process.communicate(timeout=50)
    assert process.returncode == 0, words
    lines = out.read_bytes().splitlines()
    assert len(lines) == len(set(lines)) == 2_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
@pytest.mark.timeout(120)
def test_a_small_disk_fills_up_and_the_export_resumes_when_there_is_room(small_disk: Path) -> None:
    out = small_disk / "out.jsonl"
    with start(out) as process:
        _, words = process.communicate(timeout=50)
    assert process.returncode == 1, words
    missing = re.search(r"the disk is full, about ([\d,]+) bytes are missing; ([\d,]+) rows are safe", words)
    assert missing is not None, words
    assert names_in(small_disk) == [store_of(out).name], "what was written of the target has gone, the store stays"

    enough = (2 << 20) + int(missing[1].replace(",", "")) + (64 << 10)
    subprocess.run(["mount", "-o", f"remount,size={enough}", str(small_disk)], check=True)
    assert f"{missing[2]} rows were there from before" in finish(out)
    assert len(out.read_bytes().splitlines()) == EVENTS
