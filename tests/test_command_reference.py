"""docs/command-line.md is the help of the commands."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from isnotai_async._cli.app import COMMANDS, app
from tests.command_reference import PLACE, SHARED, describe

NAMES = [place.rpartition(":")[2] for place, _ in COMMANDS]


def sections() -> dict[str, str]:
    """Return the text below each heading of the page."""
    text = PLACE.read_text(encoding="utf-8")
    return {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}


def test_the_page_is_the_help_of_the_commands() -> None:
    assert PLACE.read_text(encoding="utf-8") == describe(), "run: python -m tests.command_reference"


def test_the_page_has_every_command() -> None:
    text = PLACE.read_text(encoding="utf-8")
    assert all(f"\n## isnotai {place.rpartition(':')[2]}\n" in text for place, _ in COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_each_option_of_a_command_is_in_its_section_or_in_a_section_it_names(name: str) -> None:
    page = sections()
    own = page[f"isnotai {name}"]
    named = [page[f"Options of {what}"] for what in SHARED.values() if f"[{what}](#options-of-" in own]
    options = [argument.names[0] for argument in app[name].assemble_argument_collection() if argument.show]

    assert [option for option in options if option not in "".join((own, *named))] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_section_that_a_command_names_has_no_option_that_it_lacks(name: str) -> None:
    page = sections()
    own = page[f"isnotai {name}"]
    options = {each for argument in app[name].assemble_argument_collection() for each in argument.names}
    shared = {
        option
        for what in SHARED.values()
        if f"[{what}](#options-of-" in own
        for option in re.findall(r"^ +(--[\w-]+)", page[f"Options of {what}"], re.MULTILINE)
    }
    left_out = set(re.findall(r"--[\w-]+", own.rpartition(", without ")[2])) if ", without " in own else set()

    assert shared - options == left_out


@pytest.mark.parametrize("name", NAMES)
def test_no_help_of_an_option_breaks_in_mid_sentence(name: str) -> None:
    out = StringIO()
    app.help_print([name], console=Console(file=out, width=1_000, no_color=True))  # wide enough for each help
    rows = [line.strip("│ ") for line in out.getvalue().splitlines() if line.startswith("│")]

    assert [row for row in rows if not re.match(r"(\*  )?(--[a-z-]+|[A-Z]+ )", row)] == []
