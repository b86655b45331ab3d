"""The fixtures for users' tests, each tried in a pytest of its own, as a user would."""

from __future__ import annotations

import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import isnotai_async as isnotai
from isnotai_async.integrations import pytest_plugin

PLAIN = """
import asyncio, os
import isnotai_async as isnotai

def test_plain(isnotai_sandbox):
    assert os.environ["ISNOTAI_BASE_URL"] == isnotai_sandbox.base_url
    async def count():
        async with isnotai.Client() as client:  # finds the sandbox by itself
            return len((await client.list_events("big-100")).data)
    assert asyncio.run(count()) == 100
    assert isnotai_sandbox.stats.requests == 1
"""
ANYIO = """
import pytest
from isnotai_async.sandbox import Fault

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_anyio(isnotai_sandbox, isnotai_client):
    isnotai_sandbox.inject(Fault.status(503, times=2))
    async with isnotai_client as client:
        assert len((await client.list_events("big-100")).data) == 100
    assert isnotai_sandbox.stats.requests == 3
"""
ASYNCIO = """
import pytest

@pytest.mark.asyncio
async def test_asyncio(isnotai_client):
    async with isnotai_client as client:
        assert len([event async for event in client.list_events("big-1000")]) == 1000
"""
OPTIONS = """
import asyncio, pytest

@pytest.fixture
def isnotai_sandbox_options():
    return {"sessions": 3}

def test_options(isnotai_client):
    async def count():
        async with isnotai_client as client:
            return len([session async for session in client.list_sessions()])
    assert asyncio.run(count()) == 3
"""
OWN_CLIENT = """
import anyio, pytest
import isnotai_async as isnotai
from isnotai_async.sandbox import Fault

@pytest.mark.parametrize("fault", [Fault.rate_limited(), Fault.rate_limited(0), Fault.status(429)])
def test_own_client(isnotai_sandbox, fault):
    waits = []
    async def count():
        async with isnotai.Client(retry=isnotai.Retry(base=0.01), on_notice=waits.append) as client:
            return len((await client.list_events("big-100")).data)
    anyio.run(count)
    isnotai_sandbox.inject(fault)
    assert anyio.run(count) == 100
    assert sum(getattr(notice, "wait", 0) for notice in waits) < 0.5  # of a minute: a second at least
    assert isnotai_sandbox.stats.statuses[429] == fault.times
"""
OF_A_TIER = """
import asyncio, pytest
import isnotai_async as isnotai

@pytest.fixture
def isnotai_sandbox_options():
    return {"tier": "free", "window": 0.2}

def test_quota(isnotai_sandbox):
    async def walk():
        async with isnotai.Client() as client:
            return len([event async for event in client.list_events("big-7000", page_size=100)])
    assert asyncio.run(walk()) == 7000
    assert not isnotai_sandbox.stats.statuses[429]  # the client's window is the sandbox's
"""


PAGE = Path(__file__).parent.parent.parent / "docs" / "testing.md"
OF_ASYNCIO = ["-o", "asyncio_default_fixture_loop_scope=function"]  # pytest-asyncio warns without it


def run_pytest(*files: Path, timeout: int) -> str:
    """Run files in a pytest that loads all plugins by itself; return what it printed."""
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", *OF_ASYNCIO]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    done = subprocess.run(command, cwd=files[0].parent, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program_of_the_page() -> str:
    programs = [text.partition("```")[0] for text in PAGE.read_text(encoding="utf-8").split("```python\n")]
    (program,) = [program for program in programs if "isnotai_sandbox" in program]
    return program


def test_the_fixtures_work_in_every_kind_of_a_users_test_and_the_file_of_the_page_passes_as_it_is(
    tmp_path: Path,
) -> None:
    programs = {"plain": PLAIN, "anyio": ANYIO, "asyncio": ASYNCIO, "options": OPTIONS}
    programs |= {"own_client": OWN_CLIENT, "of_a_tier": OF_A_TIER, "page": program_of_the_page()}
    files = [tmp_path / f"test_{name}.py" for name in programs]
    for file, program in zip(files, programs.values(), strict=True):
        file.write_text(program)

    assert "11 passed" in run_pytest(*files, timeout=50)  # a window is 60 s


def test_a_pytest_that_does_not_use_them_does_not_import_the_sandbox(tmp_path: Path) -> None:
    program = """
import sys, isnotai_async.integrations.pytest_plugin
assert "isnotai_async.sandbox" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


@pytest.mark.parametrize("fixture", [pytest_plugin.isnotai_sandbox, pytest_plugin.isnotai_client])
def test_the_annotations_of_a_fixture_resolve(fixture: Any) -> None:
    found = typing.get_type_hints(fixture.__wrapped__)["return"]
    assert found in {Iterator[isnotai.Sandbox], isnotai.Client}
