"""Writes docs/command-line.md out of the help of the commands, so that the page says what they say.

Run ``python -m tests.command_reference`` after a change of an option or of a command's docstring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console

from isnotai_async._cli.app import COMMANDS, app, show_whole_help

PLACE = Path(__file__).parent.parent / "docs" / "command-line.md"
WIDTH = 96
SHARED = {"Connection": "the connection", "Output": "the output"}

HEAD = """\
# The command `isnotai`

```console
$ pip install "isnotai-async[cli]"
$ isnotai sessions --sandbox --limit 3
```

Data goes to stdout, messages go to stderr. `--sandbox` tries any command without a key and without a network.
[Operations](operations.md#on-the-command-line) explains how to write times, keys and formats;
[Errors](errors.md#exit-codes-of-the-command) lists the exit codes. This page is made from the help of the commands.
"""


def describe() -> str:
    """Return the whole page."""
    sections = [HEAD]
    helps = {name: _read_help(name) for name in (place.rpartition(":")[2] for place, _ in COMMANDS)}
    # A command may lack some of the shared options, so the whole list is the longest one.
    shared = {title: max((panels.get(title, []) for _, panels in helps.values()), key=len) for title in SHARED}
    for name, (intro, panels) in helps.items():
        own = {title: lines for title, lines in panels.items() if title not in SHARED}
        text = f"## isnotai {name}\n\n{intro}\n"
        if own:
            text += f"\n```text\n{_show_panels(own)}```\n"
        if more := [_link(title, panels[title], shared[title]) for title in reversed(SHARED) if title in panels]:
            text += f"\nAnd the options of {' and '.join(more)}.\n"
        sections.append(text)
    sections += [
        f"## Options of {SHARED[title]}\n\n```text\n{_lines(shared[title])}```\n" for title in reversed(SHARED)
    ]
    return "\n".join(sections)


def _link(title: str, lines: list[str], whole: list[str]) -> str:
    """Return the link to the shared options of a panel, and which of them the command lacks."""
    lacks = [option for option in _options(whole) if option not in _options(lines)]
    without = f", without {', '.join(f'`{option}`' for option in lacks)}" if lacks else ""
    return f"[{SHARED[title]}](#options-of-{SHARED[title].replace(' ', '-')}){without}"


def _options(lines: list[str]) -> list[str]:
    return [found[0] for line in lines if (found := re.match(r"--[\w-]+", line))]


def _read_help(name: str) -> tuple[str, dict[str, list[str]]]:
    show_whole_help(name)
    out = StringIO()
    app.help_print([name], console=Console(file=out, width=WIDTH, no_color=True))
    usage, *rest = out.getvalue().splitlines()
    panels: dict[str, list[str]] = {}
    intro: list[str] = []
    for line in rest:
        if title := re.match(r"╭─ (.+?) ─+╮", line):
            panels[title[1]] = []
        elif line.startswith("│"):
            panels[list(panels)[-1]].append(line.strip("│")[1:].rstrip())
        elif not line.startswith("╰"):
            intro.append(line.strip())
    words = re.sub(r"(?<=\S)\n(?=\S)", " ", "\n".join(intro).strip())
    return f"`{usage.removeprefix('Usage: ')}`\n\n{words}", panels


def _show_panels(panels: dict[str, list[str]]) -> str:
    return "\n".join(f"{title}\n{_lines(lines)}" for title, lines in panels.items())


def _lines(lines: list[str]) -> str:
    return "".join(_indent(lines))


def _indent(lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield f"  {line}\n"


if __name__ == "__main__":
    PLACE.write_text(describe(), encoding="utf-8")
