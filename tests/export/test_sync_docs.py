"""The page on syncs: its program prints what it shows, and its commands have the options that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from isnotai_async.export.store_file import READER_SECONDS
from isnotai_async.export.sync_rules import AUDITED

PAGE = (Path(__file__).parents[2] / "docs" / "sync.md").read_text(encoding="utf-8")


def test_its_program_prints_what_is_shown(tmp_path: Path) -> None:
    [(program, printed)] = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


def test_its_options_are_those_of_the_commands() -> None:
    command = [sys.executable, "-m", "isnotai_async"]
    shown = "".join(
        subprocess.run([*command, name, "--help"], capture_output=True, text=True, timeout=60).stdout
        for name in ("sync", "export", "sandbox")
    )
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert {option for option in options if f"{option} " not in shown} == set()
    assert {"--since", "--watch", "--settle", "--max-open", "--include-open"} <= options


def test_its_figures_are_those_of_the_rules() -> None:
    assert f"reads {AUDITED} final sessions" in PAGE
    assert f"for more than {READER_SECONDS:g} s" in PAGE
