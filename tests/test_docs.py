"""The pages of docs/: their programs run and print what is shown, and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import isnotai_async
from isnotai_async import errors, sandbox

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
OF_THEIR_OWN = {"export"}  # pages whose programs build on each other have a test of their own
PROGRAMS = [
    pytest.param(program, output, id=f"{name}-{number}")
    for name, text in PAGES.items()
    if name not in OF_THEIR_OWN
    for number, (program, output) in enumerate(
        re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)
    )
]


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_each_program_runs_and_prints_what_is_shown(
    program: str, output: str, run_program: Callable[[str], tuple[str, str]]
) -> None:
    assert run_program(program) == (output, "")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_or_a_heading(name: str) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", PAGES[name]):
        file, _, heading = target.partition("#")
        place = DOCS / file if file else DOCS / f"{name}.md"
        assert place.exists(), target
        if heading:
            assert heading in _headings(place.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"index"}))
def test_every_page_is_in_the_table_of_contents(name: str) -> None:
    assert re.search(rf"^{name}$", PAGES["index"], re.MULTILINE)


def _headings(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_error_has_a_heading_that_says_what_to_do() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    raised = {kind.__name__ for kind in classes if not issubclass(kind, Warning)}

    assert raised <= set(re.findall(r"^## (\w+)$", PAGES["errors"], re.MULTILINE))


def test_each_fault_of_the_reliability_page_is_held_by_a_test_that_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGES["reliability"])
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _source(file)]

    assert len(named) > 50
    assert missing == []


def _source(file: str) -> str:
    path = DOCS.parent / file
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_each_row_of_the_reliability_page_names_its_test() -> None:
    rows = [line for line in PAGES["reliability"].splitlines() if line.startswith("| ") and "| fault |" not in line]
    assert [row for row in rows if row.count(" | ") != 3 or "::test_" not in row] == []


def test_every_public_name_is_in_the_reference_below_an_example() -> None:
    described: dict[str, str] = {}
    for section in re.split(r"^## ", PAGES["api"], flags=re.MULTILINE)[1:]:
        entries = re.findall(r"^\.\. (?:auto\w+|py:data):: isnotai_async\.([\w.]+)", section, re.MULTILINE)
        described |= dict.fromkeys(entries, section)
    inner = {f"sandbox.{name}" for name in sandbox.__all__ if name not in isnotai_async.__all__}
    names = {*isnotai_async.__all__, *inner} - {"__version__"}

    assert set(described) - {"export.encode_rows"} == names
    assert [name for name, section in described.items() if "```python" not in section] == []


def test_llms_txt_lists_every_page() -> None:
    text = (DOCS / "llms.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+)\.html\)", text)) == PAGES.keys() - {"index"}


def test_each_heading_of_an_error_has_a_cause_and_what_to_do() -> None:
    sections = re.split(r"^## ", PAGES["errors"], flags=re.MULTILINE)[1:]
    errors_only = [section for section in sections if section.split()[0].endswith("Error")]
    assert [text for text in errors_only if "**Cause**" not in text or "**What to do**" not in text] == []
    assert len([text for text in errors_only if "```text" in text]) >= len(errors_only) - 2  # two are only bases


def test_links_to_other_sites_are_well_formed() -> None:
    pages = [*PAGES.values(), *(path.read_text(encoding="utf-8") for path in DOCS.parent.glob("*.md"))]
    links = [link for text in pages for link in re.findall(r"\]\((https?://[^)]*)\)", text)]
    assert links
    assert [link for link in links if not re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/[\w./?=&#-]*)?", link)] == []


def test_the_reference_describes_no_name_twice() -> None:
    entries = re.findall(r"^\.\. auto\w+:: (\S+)", PAGES["api"], re.MULTILINE)
    assert sorted(entries) == sorted(set(entries))
