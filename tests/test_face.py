"""The public face: what is exported, and when it is imported."""

import inspect
import subprocess
import sys
from pathlib import Path

import isnotai_async


def test_the_exported_names_are_sorted_and_there() -> None:
    assert all(hasattr(isnotai_async, name) for name in isnotai_async.__all__)
    assert list(isnotai_async.__all__) == sorted(
        isnotai_async.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n)
    )


def test_what_many_programs_do_without_is_imported_when_it_is_asked_for() -> None:
    program = """
import sys, isnotai_async as isnotai
rooms = ["isnotai_async.export", "isnotai_async._ratelimit.redis.limiter", "isnotai_async.sandbox"]
assert not [room for room in rooms if room in sys.modules], "imported early"
isnotai.export_events, isnotai.RedisLimiter, isnotai.sandbox.Fault
assert all(room in sys.modules for room in rooms)
assert not hasattr(isnotai, "export_event") and set(isnotai.__all__) <= set(dir(isnotai))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_cattrs_is_imported_when_a_client_is_opened_and_not_within_a_request() -> None:
    program = """
import asyncio, sys, isnotai_async as isnotai
assert "cattrs" not in sys.modules, "imported early"
async def open_one():
    async with MAKE:
        assert "cattrs" in sys.modules
asyncio.run(open_one())
"""
    for make in ("isnotai.Client('k')", "isnotai.SessionManager({'us': 'k'})"):
        subprocess.run([sys.executable, "-c", program.replace("MAKE", make)], check=True)


def test_every_public_class_says_what_it_is() -> None:
    for name in isnotai_async.__all__:
        value = getattr(isnotai_async, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(isnotai_async.__file__).parent / "py.typed").exists()
