"""The API reference: each public name is in it, with an example that runs."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import isnotai_async
from isnotai_async import IsNotAIWarning
from tests import prompt
from tests.public_api import PLACE
from tests.redis_server import running_redis

TEXT = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^\.\. auto(class|function):: isnotai_async\.([\w.]+)\n((?:   .*\n)*)", TEXT, re.MULTILINE)
START = re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL)[0]


def _documented() -> Iterator[str]:
    for kind, name, options in ENTRIES:
        yield name
        value = attrgetter(name)(isnotai_async)
        if kind == "class" and ":members:" in options:
            left_out = set(re.findall(r"[\w]+", "".join(re.findall(r":exclude-members:(.*)", options))))
            members = inspect.getmembers(value, lambda member: inspect.isfunction(member) or inspect.ismethod(member))
            yield from (f"{name}.{member}" for member, _ in members if member[0] != "_" and member not in left_out)


NAMES = sorted(_documented())
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


@pytest.mark.parametrize("name", NAMES)
async def test_each_name_of_the_reference_has_an_example_that_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = inspect.getdoc(attrgetter(name)(isnotai_async)) or ""
    assert ">>>" in text
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


async def test_an_example_that_prints_something_else_is_found() -> None:
    assert await prompt.run(">>> 1 + 1\n3", {}) == ["1 + 1\nprinted '2\\n', not '3\\n'"]
