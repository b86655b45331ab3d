"""What every test stands on."""

import gc
import logging
import os
import runpy
import sys
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from isnotai_async._ratelimit import local
from tests.canary import KeyWatch
from tests.examples import scaled
from tests.loops import backend_of
from tests.redis_server import running_redis

ROOT = Path(__file__).parent.parent

if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    # Some hundred processes import the same modules, and compiling them costs each a second. The environment asks for
    # no bytecode next to the sources, so it is kept in pytest's cache.
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(ROOT / ".pytest_cache" / "bytecode")
    sys.dont_write_bytecode = False

settings.register_profile(
    "suite",
    # How long an example takes, or making one up, depends on what else the machine does.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=scaled(50),
    # The check of a change takes the same examples each time, so that it judges the change; other runs find new ones.
    derandomize=os.environ.get("ISNOTAI_TEST_EXAMPLES", "random") == "fixed",
)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(KeyWatch(), "key-watch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Tests that are given more time start first: one that starts last leaves the other processors idle.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # The tests and what they import stay. Without this, each collection of garbage looks through all of it again.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_runtest_setup() -> None:
    # A sandbox may get the port of an earlier one, and its key is the same: what that one used must not count.
    local._shared.clear()
    local._users.clear()


def pytest_xdist_auto_num_workers() -> int:
    """Return four processes more than there are processors: many tests wait for a window or a lease to pass."""
    return (os.cpu_count() or 1) + 4


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend_of(os.environ.get("ISNOTAI_TEST_LOOP", "asyncio"))


@pytest.fixture
def run_program(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[[str], tuple[str, str]]:
    """Return a function that runs a program of a page, and returns what it printed on stdout and stderr.

    It runs in this process, in an empty folder, because a process for each program costs a second of CPU.
    """

    def run(program: str) -> tuple[str, str]:
        file = tmp_path / "program.py"
        file.write_text(program, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ISNOTAI_API_KEY", "aik_v1_" + "a" * 40)
        with running_redis(tmp_path) if "REDIS_URL" in program else nullcontext() as redis:
            monkeypatch.setenv("REDIS_URL", redis.url if redis else "")
            runpy.run_path(str(file), run_name="__main__")
        gc.collect()  # what it left open is logged or warned about
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        # asyncio's debug mode (`python -X dev`) warns of each step of the loop that took long: of a busy machine.
        assert [text for text in said if not text.startswith("Executing ")] == []
        return capsys.readouterr()

    return run
