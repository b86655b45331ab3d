"""Row 60 with the real command: ``kill -9`` at any moment, and again while it goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest

KILLS = 3
EVENTS = 12_000

# The real command, but for commits each 20 ms, so that a short export has many.
PROGRAM = """
import sys
from isnotai_async._cli import main
from isnotai_async.export import exporter
exporter.COMMIT_SECONDS = 0.02
sys.exit(main(sys.argv[1:]))
"""


def start(out: Path, *options: str, events: int = EVENTS) -> subprocess.Popen[str]:
    """Start an export out of a sandbox, which has the same data each time."""
    argv = ["export", "--sandbox", "--session", f"big-{events}", "--concurrency", "1", "--out", str(out), *options]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(out: Path, *options: str) -> str:
    with start(out, *options) as process:
        _, words = process.communicate(timeout=50)
    assert process.returncode == 0, words
    return words


def kill_at(process: subprocess.Popen[str], part: Path, size: int) -> bool:
    """Kill a process when a file has reached a size; tell whether it was still running."""
    deadline = monotonic() + 40
    while process.poll() is None and monotonic() < deadline:
        if part.exists() and part.stat().st_size >= size:
            process.kill()
            break
        sleep(0.001)  # two processors have to do for both
    process.communicate()
    return process.returncode == -9


@pytest.mark.timeout(240)  # a dozen processes, each of which has to import everything
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv"])
def test_row_60_killed_again_and_again_it_makes_the_same_file(tmp_path: Path, ending: str) -> None:
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    part, random, killed, resumed = out.with_name(f"{out.name}.part"), Random(ending), 0, 0
    finish(whole)

    # Not in the last quarter, which may be written before the kill comes.
    for size in sorted(random.randrange(whole.stat().st_size * 3 // 4) for _ in range(KILLS)):
        killed += kill_at(start(out), part, size)
    words = finish(out) if not out.exists() else ""
    resumed += "resumed" in words

    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, whole.name])
    assert killed == KILLS
    assert resumed == 1


@pytest.mark.timeout(240)
def test_row_65_two_processes_on_one_target_exclude_each_other_and_a_dead_one_does_not(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with start(out, events=1_000_000) as first:
        while not out.with_name("out.jsonl.part").exists():
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
