"""The event loops that the suite runs on: asyncio's own, uvloop, or asyncio's with eager tasks.

``ISNOTAI_TEST_LOOP=uvloop`` or ``ISNOTAI_TEST_LOOP=eager`` (Python 3.12 or newer) before pytest chooses another one.
Tests that start a loop or a process themselves keep asyncio's own.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def backend_of(name: str) -> tuple[str, dict[str, Any]]:
    """Return what anyio's pytest plugin takes as a backend.

    Args:
        name: ``"asyncio"``, ``"uvloop"`` or ``"eager"``.

    Raises:
        ValueError: There is no such loop, or this Python has no eager tasks.
    """
    if name == "asyncio":
        return "asyncio", {}
    if name == "uvloop":
        return "asyncio", {"use_uvloop": True}
    if name == "eager" and sys.version_info >= (3, 12):

        def open_eager_loop() -> asyncio.AbstractEventLoop:
            loop = asyncio.new_event_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            return loop

        return "asyncio", {"loop_factory": open_eager_loop}
    raise ValueError(f"ISNOTAI_TEST_LOOP is {name!r}; it must be asyncio, uvloop, or, from Python 3.12 on, eager")
