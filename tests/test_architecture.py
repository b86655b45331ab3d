"""How long a module may be; and docs/architecture.md: its links lead to files, its life of a page is the real one."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import aiohttp
import pytest

import isnotai_async as isnotai

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "isnotai_async"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@contextmanager
def modules_entered(names: set[str]) -> Iterator[None]:
    """Collect the modules of the client whose functions are called in this thread."""

    def see(frame: FrameType, event: str, _value: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "sandbox"):
            names.add(path.relative_to(PACKAGE).as_posix())

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        yield
    finally:
        sys.setprofile(before)


async def test_the_life_of_a_page_names_the_modules_that_a_warm_call_enters() -> None:
    entered: set[str] = set()
    async with isnotai.Sandbox() as sandbox, isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        await client.list_events("big-1000")
        with modules_entered(entered):
            await client.list_events("big-1000")

    steps = section("The life of one page").partition("A stream does the same")[0]
    assert set(re.findall(r"\]\(\.\./isnotai_async/([\w/]+\.py)\)", steps)) == entered


async def test_the_stack_of_a_request_is_the_one_that_the_page_shows() -> None:
    stack: list[tuple[str, str]] = []

    async def note_stack(*_: object) -> None:
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(PACKAGE):
                stack.insert(0, (path.relative_to(PACKAGE).as_posix(), frame.f_code.co_qualname))
            frame = frame.f_back

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note_stack)
    async with (
        isnotai.Sandbox() as sandbox,
        isnotai.Client(sandbox.api_key, base_url=sandbox.base_url, trace_configs=[trace]) as client,
    ):
        await client.list_events("big-3")

    shown = section("The life of one page").partition("```text\n")[2].partition("```")[0]
    assert [tuple(line.split()) for line in shown.splitlines()] == stack


async def test_a_page_enters_few_modules(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="isnotai_async")
    page, streamed = set[str](), set[str]()
    async with isnotai.Sandbox() as sandbox, isnotai.Client(sandbox.api_key, base_url=sandbox.base_url) as client:
        await client.list_events("big-1000")
        with modules_entered(page):
            await client.list_events("big-1000")
        with modules_entered(streamed):
            async with client.stream_events(["big-1000"]) as pages:
                await anext(pages)

    assert len(page) <= 18
    assert len(streamed) <= 26


MOST_LINES = 400


def test_no_module_is_longer_than_one_reading() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    lines = {path: len(source.splitlines()) for path, source in sources.items()}

    assert len(lines) > 100
    assert {path.relative_to(PACKAGE).as_posix(): n for path, n in lines.items() if n > MOST_LINES} == {}


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)

    assert links
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]


def test_every_file_of_the_table_is_there() -> None:
    table = section("To change X, open Y")
    paths = [word for word in re.findall(r"`([\w/.]+)`", table) if "/" in word or word.endswith((".py", ".md"))]

    assert len(paths) > 40
    assert not [path for path in paths if not ((PACKAGE / path).exists() or (ROOT / path).exists())]
