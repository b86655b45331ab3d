"""Names: nothing that the package defines bears a name that was given up, and private classes share no name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "isnotai_async"

GIVEN_UP = {
    *("Gate", "Shape", "IntervalLog", "Answer", "KeyLimiter", "Line", "Memory", "Ask", "Reply", "Terms", "Ended"),
    *(
        "RetryingTransport",
        "PacedTransport",
        "Connections",
        "Slots",
        "Trouble",
        "Verdict",
        "Kind",
        "Turns",
        "Narrator",
    ),
    *("Ledger", "SessionWork", "Window", "Span", "Tally", "Reading", "Arrival", "Crew", "Feed", "Lane", "Target"),
    *("Taken", "Unfinished", "Books", "Origin", "CheckpointError"),
    *(
        "admit",
        "tell",
        "overhear",
        "hear",
        "again",
        "verdict",
        "ledger",
        "tally",
        "tallies",
        "crew",
        "feed",
        "arrival",
    ),
}
"""Metaphors of an earlier edition; each has a standard term now, such as `RateLimitPolicy` or `WaitQueue`."""

PROTOCOLS = {("export/formats/parquet.py", "tell")}  # what Arrow calls of a file object


def defined_names(tree: ast.AST) -> Iterator[str]:
    """Return the names that a module gives: to classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


@cache
def modules() -> list[tuple[str, ast.AST]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def test_no_name_that_was_given_up_is_defined() -> None:
    found = {(module, name) for module, tree in modules() for name in defined_names(tree)}

    assert {(module, name) for module, name in found if name.strip("_") in GIVEN_UP} == PROTOCOLS


@pytest.mark.parametrize(
    "source",
    [
        "class Gate: ...",
        "class _Gate: ...",
        "def hear(): ...",
        "def f(crew): ...",
        "feed = 1",
        "self._ledger: int = 1",
    ],
)
def test_such_a_name_is_found(source: str) -> None:
    assert any(name.strip("_") in GIVEN_UP for name in defined_names(ast.parse(source)))


def test_one_class_name_stands_for_one_class() -> None:
    places = defaultdict[str, list[str]](list)
    for module, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)

    assert {name: found for name, found in places.items() if len(found) > 1} == {}
