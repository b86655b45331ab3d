"""The scanner that looks for the API key, and the watch over the whole run: both really find it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import isnotai_async as isnotai
from tests.canary import CANARY_KEY, KeyWatch, find_key, show_trace, shows_key

ROOT = Path(__file__).parents[1]


def test_the_scanner_finds_the_key_whole_or_cut_and_wherever_it_hides() -> None:
    class Shows:
        def __init__(self, text: str) -> None:
            self.text = text

        def __repr__(self) -> str:
            return self.text

    assert not shows_key("aik_v1_CANARY and nothing else")
    for at in range(len("aik_v1_CANARY"), len(CANARY_KEY) - 8):
        assert shows_key(f"…{CANARY_KEY[at : at + 9]}…")
    assert find_key([{"a": (Shows("harmless"), {Shows(CANARY_KEY)})}])
    assert find_key(ValueError(f"bad key {CANARY_KEY}"))
    assert find_key(isnotai.ConfigError("harmless")) == []
    try:
        raise ValueError("harmless") from KeyError(CANARY_KEY)
    except ValueError as error:
        assert shows_key(show_trace(error))


HARMLESS = """
from tests.canary import CANARY_KEY as KEY
import logging, os, warnings
def test_harmless(): print("harmless")
"""
LEAKS = """
def test_log(): logging.getLogger("x").debug("sent %s", KEY)
def test_extra(): logging.getLogger("y").info("sent", extra={"headers": [KEY]})
def test_stdout(): print(KEY)
def test_stderr(): os.write(2, KEY.encode())
def test_warning(): warnings.warn(KEY)
"""
SHOWN = {
    "test_log: the log of x",
    "test_extra: the log of y",
    "test_stdout: Captured stdout call",
    "test_stderr: Captured stderr call",
    "test_warning: a warning",
}


def run_pytest(folder: Path, tests: str, workers: int) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_leaks.py").write_text(tests)
    options = ["-p", "no:cacheprovider", "-n", str(workers), "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.heavy
def test_a_run_in_which_the_key_was_shown_fails_though_all_its_tests_pass(tmp_path: Path, workers: int) -> None:
    ran = run_pytest(tmp_path, HARMLESS + LEAKS, workers)
    assert "6 passed" in ran.stdout
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    shown = [line for line in ran.stdout.splitlines() if line.startswith("THE API KEY WAS SHOWN")]
    assert {line.rpartition("::")[2] for line in shown} >= SHOWN
    assert "harmless" not in "".join(shown)


@pytest.mark.heavy  # as does each run of the whole suite
def test_a_run_in_which_it_was_not_passes(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, HARMLESS, 0)
    assert ran.returncode == pytest.ExitCode.OK, ran.stdout
    assert "THE API KEY" not in ran.stdout


def test_what_a_test_showed_is_not_blamed_on_the_one_that_began_meanwhile() -> None:
    watch = KeyWatch()
    report = pytest.TestReport("shows", ("", None, ""), {}, "passed", None, "call", sections=[("stderr", CANARY_KEY)])
    watch.pytest_runtest_logstart("shows")
    watch.pytest_runtest_logstart("harmless")

    watch.pytest_runtest_logreport(report)

    assert watch.leaks == ["shows: stderr"]
