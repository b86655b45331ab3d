"""The API reference: each public name is in it, with an example that runs."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from operator import attrgetter
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import isnotai_async
from isnotai_async import IsNotAIWarning
from tests import prompt
from tests.public_api import PLACE
from tests.redis_server import running_redis

TEXT = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
ENTRIES = re.findall(
    r"^\.\. auto(class|function):: isnotai_async\.([\w.]+)\n((?:   .*\n|\n(?=   ))*)", TEXT, re.MULTILINE
)
BLOCK = re.compile(r"^   \.\. code-block:: pycon\n\n((?:      .*\n)+)", re.MULTILINE)
BLOCKS = {name: [dedent(block) for block in BLOCK.findall(content)] for _, name, content in ENTRIES}
START = re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL)[0]


def _documented() -> Iterator[str]:
    for kind, name, options in ENTRIES:
        yield name
        value = attrgetter(name)(isnotai_async)
        if kind == "class" and ":members:" in options:
            left_out = set(re.findall(r"[\w]+", "".join(re.findall(r":exclude-members:(.*)", options))))
            members = inspect.getmembers(value, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
            yield from (f"{name}.{member}" for member, _ in members if member[0] != "_" and member not in left_out)


def examples_of(name: str) -> list[str]:
    """Return the examples of a name: in its docstring, or on the page below its class."""
    text = inspect.getdoc(attrgetter(name)(isnotai_async)) or ""
    if ">>>" in text:
        return [text]
    if name in BLOCKS:
        return BLOCKS[name]
    owner, _, method = name.rpartition(".")
    return [block for block in BLOCKS[owner] if f".{method}(" in block]


NAMES = sorted(_documented())
EXAMPLES = {text: name for name in NAMES for text in examples_of(name)}
FOR_THE_PACKAGE_ITSELF = {
    "EventStream.take_news",
    "LocalLimiter.expect",
    "LocalLimiter.is_idle",
    "ManagedEventStream.take_news",
    "Position.at",
    "Position.check",
    "Position.start",
    "SessionFailure.describe",
    "StreamPosition.check",
    "errors.ResumePosition",
    "errors.ResumePosition.to_json",
    "errors._mask",
    "errors._revive",
    "errors.has_key",
    "errors.masked",
    "errors.printable",
    "errors.quoted",
    "sandbox.RegionStats.arrive",
    "sandbox.RegionStats.begin",
    "sandbox.RegionStats.end",
}


def test_each_public_name_is_in_the_reference() -> None:
    lines = PLACE.read_text(encoding="utf-8")
    public = set(re.findall(r"^(?:class|def|async def) isnotai_async\.([\w.]+)", lines, re.MULTILINE))
    assert public - set(NAMES) == FOR_THE_PACKAGE_ITSELF
    assert set(NAMES) <= public


def test_each_name_of_the_reference_has_an_example() -> None:
    assert [name for name in NAMES if not examples_of(name)] == []


@pytest.mark.parametrize("text", EXAMPLES, ids=[f"{name}, {n}" for n, name in enumerate(EXAMPLES.values(), 1)])
async def test_each_example_of_the_reference_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ISNOTAI_API_KEY_US", "")  # an example sets it
    with running_redis(tmp_path) if "REDIS_URL" in text else nullcontext() as redis:
        monkeypatch.setenv("REDIS_URL", redis.url if redis else "")
        names: dict[str, Any] = {}
        assert await prompt.run(START, names) == []
        async with names["sandbox"], names["client"]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", IsNotAIWarning)
                assert await prompt.run(text, names) == []


def test_each_example_of_the_page_belongs_to_a_name() -> None:
    written = [block for blocks in BLOCKS.values() for block in blocks]
    assert written
    assert [block for block in written if block not in EXAMPLES] == []


async def test_an_example_that_prints_something_else_is_found() -> None:
    assert await prompt.run(">>> 1 + 1\n3", {}) == ["1 + 1\nprinted '2\\n', not '3\\n'"]
