"""The page on exports: its commands and programs run one after the other, and print what it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import in_shell

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:console\n(.*?)|python\n(.*?)```\n\n```text\n(.*?))```", PAGE, re.DOTALL)


def run_session(session: str, folder: Path) -> str:
    """Run the commands of a console; return what it showed."""
    shown = ""
    for line in session.splitlines():
        if not line.startswith("$ "):
            continue
        script = f'isnotai() {{ {in_shell()} "$@"; }}; {line[2:]}'
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        shown += f"{line}\n{done.stdout}{done.stderr}"
    return shown


@pytest.mark.timeout(120)  # seven processes, one of which exports 120,000 events
def test_commands_and_programs_print_what_is_shown(
    tmp_path: Path, run_program: Callable[[str], tuple[str, str]]
) -> None:
    assert len(BLOCKS) == 5
    for session, program, printed in BLOCKS:
        if session:
            assert run_session(session, tmp_path) == session
            continue
        assert run_program(program) == (printed, "")
