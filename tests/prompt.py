"""The prompt of ``python -m asyncio``, at which `await` works: it runs the examples of docstrings."""

from __future__ import annotations

import ast
import doctest
import io
import sys
import types
from collections.abc import AsyncIterator
from contextlib import redirect_stdout
from inspect import iscoroutine
from typing import Any

import pytest


async def run(text: str, names: dict[str, Any]) -> list[str]:
    """Run the examples of a text, and return a line for each that prints something else than is written."""
    return [
        f"{example.source}printed {printed!r}, not {example.want!r}"
        async for example, printed in enter(text, names)
        if not doctest.OutputChecker().check_output(example.want, printed, doctest.ELLIPSIS)
    ]


async def enter(text: str, names: dict[str, Any]) -> AsyncIterator[tuple[doctest.Example, str]]:
    """Enter each example of a text, and give it with what it printed."""
    for example in doctest.DocTestParser().get_examples(text):
        code = compile(example.source, "<example>", "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "displayhook", _show)
            result = types.FunctionType(code, names)()
            if iscoroutine(result):
                await result
        yield example, printed.getvalue()


def _show(value: object) -> None:
    """Show a value as the prompt does, but do not keep it as ``_``: a client would never be freed."""
    if value is not None:
        sys.stdout.write(f"{value!r}\n")
