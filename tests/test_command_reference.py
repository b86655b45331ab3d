"""docs/command-line.md is the help of the commands."""

from __future__ import annotations

from isnotai_async._cli.app import COMMANDS
from tests.command_reference import PLACE, describe


def test_the_page_is_the_help_of_the_commands() -> None:
    assert PLACE.read_text(encoding="utf-8") == describe(), "run: python -m tests.command_reference"


def test_the_page_has_every_command() -> None:
    text = PLACE.read_text(encoding="utf-8")
    assert all(f"\n## isnotai {place.rpartition(':')[2]}\n" in text for place, _ in COMMANDS)
